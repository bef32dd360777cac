/* What the files of the EROFS writer share.
 *
 * The image is written front to back: a file's content as it comes, and its inode as soon as the content is known, into
 * a run of blocks that was set aside for inodes and the short ends of files. What is kept in memory is therefore only
 * the tree: names, the numbers of their inodes, and folders. Folders come at the end, the superblock last. */
#ifndef KB_LAYERS_EROFS_INNER_H
#define KB_LAYERS_EROFS_INNER_H

#include <limits.h>
#include <sys/stat.h>

#include "kb.h"
#include "layers/entry.h"
#include "layers/erofs_format.h"
#include "layers/tar.h"

enum {
    RUN = 16,               /* blocks set aside for inodes at a time */
    STREAM = 1 << 18,       /* bytes gathered for one write(2) */
    INLINE = EROFS_BLOCK / 2, /* an inode with the end of its file: what is longer would have a block for itself */
};

static const size_t ROOT_ATTRIBUTES = EROFS_BLOCK - EROFS_ROOT_AT - sizeof(struct erofs_inode); /* in block 0 */
static const uint32_t NONE = UINT32_MAX;

/* Of everything that was written, in order, with where it was written. Not for those who would deceive. */
struct fingerprint { uint64_t a, b; };

struct stream {
    int output;
    uint64_t at; /* where the next byte goes */
    size_t used; /* bytes before `at` that are still in the buffer */
    struct fingerprint seen;
    char buffer[STREAM];
};

/* Blocks that inodes are being put into. */
struct run {
    uint64_t at; /* 0: none is open */
    unsigned int used[RUN];
    char blocks[RUN][EROFS_BLOCK];
};

/* Attributes as they follow an inode. */
struct attributes {
    char *bytes;
    size_t size, room;
};

struct name {
    uint32_t folder, next; /* where it is, and the name that came there after it */
    uint32_t node;         /* NONE once it is gone */
    uint32_t text;         /* in `texts`: one byte of length, then the name */
};

struct node {
    uint64_t inode; /* its number; of a folder not known until the end */
    uint32_t links; /* names that lead to it from the root, counted at the end */
    uint32_t folder;  /* of a folder, its place in `folders`; else NONE */
    uint8_t kind;     /* as in a dirent */
    bool whiteout;
};

struct folder {
    uint32_t node, parent, first, last; /* names in the order they came */
    uint32_t mode, uid, gid, mtime_ns;
    int64_t mtime;
    struct attributes attributes;
    uint32_t sorted, count; /* in `tree.sorted`, at the end */
    uint32_t below;         /* folders in it */
    uint32_t block;         /* the first of its own */
    uint64_t size;
};

struct array {
    void *items;
    size_t count, room;
};

struct tree {
    struct array names, nodes, folders, texts, sorted, order;
    uint32_t *slots; /* of names, by folder and text */
    size_t slot_count;
    uint64_t key; /* of their hash: nobody can choose names that collide */
    size_t attribute_bytes;
};

struct image {
    struct kb_tar *tar;
    struct kb_layer_result *result;
    struct stream stream;
    struct run run;
    struct tree tree;
    struct attributes attributes; /* of the entry at hand */
    uint32_t placed;              /* inodes so far */
    uint32_t map_left;            /* entries that maps of chunks may yet have, in all */
    bool chunked;
    char way[42 * PATH_MAX]; /* what is left of a way, with the text of all links that may be on it */
};

/* Output. All return 0 or -errno. */
int stream_put(struct stream *stream, const void *bytes, size_t size);
int stream_skip(struct stream *stream, uint64_t size);
int stream_align(struct stream *stream); /* to the next block */
int stream_flush(struct stream *stream);
int stream_patch(struct stream *stream, const void *bytes, size_t size, uint64_t at); /* of what has been flushed */
void fingerprint_add(struct fingerprint *seen, const char *bytes, size_t size, uint64_t at);

/* Attributes: an empty set has no bytes. One that is there already gets the new value. */
int attributes_add(struct attributes *into, const char *name, const void *value, size_t size);
uint16_t attributes_units(const struct attributes *attributes);

/* Inodes. */
struct erofs_inode inode_of(const struct kb_entry *entry);
uint8_t inode_kind(uint32_t mode);
/* Writes it with what follows it: attributes, then the end of its content or its map. */
int inode_place(struct image *image, struct erofs_inode *inode, const void *behind, size_t size, uint64_t *number);
int inode_close_run(struct image *image);

/* A file, with its content. */
int content_write(struct image *image, const struct kb_entry *entry, uint64_t *number);

/* The tree. Those that return a node or a folder return NONE where there is no memory. */
int tree_begin(struct tree *tree);
void tree_end(struct tree *tree);
uint32_t tree_find(const struct tree *tree, uint32_t folder, const char *name, size_t size); /* a name, or NONE */
int tree_put(struct tree *tree, uint32_t folder, const char *name, size_t size, uint32_t node);
uint32_t tree_node(struct tree *tree, uint64_t inode, uint32_t mode);
uint32_t tree_folder(struct tree *tree, uint32_t parent);
void *array_add(struct array *array, size_t size, size_t count);

static inline struct name *tree_name(const struct tree *tree, uint32_t at)
{
    return (struct name *)tree->names.items + at;
}
static inline struct node *tree_at(const struct tree *tree, uint32_t at)
{
    return (struct node *)tree->nodes.items + at;
}
static inline struct folder *folder_at(const struct tree *tree, uint32_t at)
{
    return (struct folder *)tree->folders.items + at;
}

/* Ways. The folder that the first `length` bytes of the path lead to, or -ENOENT, -ENOTDIR, -ELOOP, -ENAMETOOLONG. */
int way_find(struct image *image, const char *path, size_t length, uint32_t *folder);
/* The same, of the entry's path; folders that are missing are made, with its time. */
int way_make(struct image *image, const struct kb_entry *entry, size_t length, uint32_t *folder);
/* Makes it, or takes the one that is there; what else is there goes, and a whiteout makes it opaque. */
int folder_make(struct image *image, uint32_t parent, const char *name, size_t size, uint32_t *folder);

/* The end of the image: folders, counts of links, the superblock. */
int folders_write(struct image *image, uint64_t *inodes);
struct erofs_inode folder_inode(const struct image *image, uint32_t folder);
int super_write(struct image *image, uint64_t inodes);

#endif
