/* Ways to entries, as openat2(2) with RESOLVE_IN_ROOT would go them if the tree were mounted: links on the way are
 * followed, and lead nowhere but into the layer. */
#include "layers/erofs_inner.h"

enum { MOST_LINKS = 40 }; /* on one way, as in Linux */

/* Bytes of the image, wherever they are yet. */
static int read_back(const struct image *image, uint64_t at, void *bytes, size_t size)
{
    const struct run *run = &image->run;
    const struct stream *stream = &image->stream;
    if (run->at && at >= run->at && at - run->at < sizeof run->blocks) {
        memcpy(bytes, (const char *)run->blocks + (at - run->at), size);
        return 0;
    }
    if (at >= stream->at - stream->used) {
        memcpy(bytes, stream->buffer + (at - (stream->at - stream->used)), size);
        return 0;
    }
    ssize_t count = pread(stream->output, bytes, size, (off_t)at);
    return count < 0 ? -errno : (size_t)count == size ? 0 : -EIO;
}

/* The text of a link, without a NUL. Links have no attributes. */
static int read_link(const struct image *image, const struct node *node, char text[PATH_MAX], size_t *size)
{
    struct erofs_inode inode;
    uint64_t at = node->inode * EROFS_UNIT;
    int result = read_back(image, at, &inode, sizeof inode);
    if (result < 0)
        return result;
    *size = (size_t)le64toh(inode.size);
    bool behind = le16toh(inode.format) >> 1 == EROFS_INLINE;
    at = behind ? at + sizeof inode : (uint64_t)le32toh(inode.where) << EROFS_BLOCK_BITS;
    return *size < PATH_MAX ? read_back(image, at, text, *size) : -ENAMETOOLONG;
}

/* Puts the link's text in front of what is left of the way, which `rest` has room for: MOST_LINKS of them. */
static int follow(struct image *image, const struct node *node, const char **rest)
{
    char text[PATH_MAX];
    size_t size;
    int result = read_link(image, node, text, &size);
    if (result < 0)
        return result;
    char *to = image->way + (*rest - image->way);
    *--to = '/';
    to -= size;
    memcpy(to, text, size);
    *rest = to;
    return *to == '/';
}

int way_find(struct image *image, const char *path, size_t length, uint32_t *folder)
{
    const struct tree *tree = &image->tree;
    const char *rest = image->way + sizeof image->way - 1 - length;
    memcpy(image->way + sizeof image->way - 1 - length, path, length);
    image->way[sizeof image->way - 1] = 0;
    *folder = 0;
    for (int links = 0; *rest;) {
        size_t size = strcspn(rest, "/");
        const char *name = rest;
        rest += size + (rest[size] == '/');
        if (!size || (size == 1 && *name == '.'))
            continue;
        if (size == 2 && !memcmp(name, "..", 2)) {
            *folder = folder_at(tree, *folder)->parent;
            continue;
        }
        uint32_t found = size > NAME_MAX ? NONE : tree_find(tree, *folder, name, size);
        if (found == NONE)
            return size > NAME_MAX ? -ENAMETOOLONG : -ENOENT;
        const struct node *node = tree_at(tree, tree_name(tree, found)->node);
        if (node->folder != NONE) {
            *folder = node->folder;
            continue;
        }
        if (node->kind != inode_kind(S_IFLNK))
            return -ENOTDIR;
        if (links++ == MOST_LINKS)
            return -ELOOP;
        int result = follow(image, node, &rest);
        if (result < 0)
            return result;
        *folder = result ? 0 : *folder;
    }
    return 0;
}

int way_make(struct image *image, const struct kb_entry *entry, size_t length, uint32_t *folder)
{
    *folder = 0;
    for (size_t begin = 0, end; begin < length; begin = end + 1) {
        uint32_t above = *folder;
        const char *name = entry->path + begin;
        end = begin + strcspn(name, "/");
        int result = way_find(image, entry->path, end, folder);
        if (result != -ENOENT && result != -ENOTDIR) {
            if (result < 0)
                return result;
            continue;
        }
        uint32_t found = tree_find(&image->tree, above, name, end - begin);
        if (found != NONE && !tree_at(&image->tree, tree_name(&image->tree, found)->node)->whiteout)
            return kb_tar_fault(image->tar, KB_FAULT_THROUGH);
        result = folder_make(image, above, name, end - begin, folder);
        if (result < 0)
            return result;
        struct folder *made = folder_at(&image->tree, *folder);
        made->mtime = entry->mtime;
        made->mtime_ns = entry->mtime_ns;
        image->result->parents_made++;
    }
    return 0;
}
