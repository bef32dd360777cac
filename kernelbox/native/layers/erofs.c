/* A layer's archive becomes one EROFS image: entry by entry, each in place of what an earlier one left under its name.
 * What is replaced stays in the image, where nothing leads to it. Archive for archive the verdict is that of the folder
 * that apply.c makes. */
#include "layers/erofs_inner.h"

#include <sys/stat.h>

static const size_t MOST_FOLDER_ATTRIBUTES = 64 << 20; /* which are kept in memory */
static const uint32_t MOST_MAPPED = 1 << 24;           /* chunks of files with holes, in all */

static int put_node(struct image *image, uint32_t folder, const char *name, uint64_t inode, uint32_t mode)
{
    uint32_t node = tree_node(&image->tree, inode, mode);
    return node == NONE ? -ENOMEM : tree_put(&image->tree, folder, name, strlen(name), node);
}

static int add_attribute(struct image *image, uint32_t at, const char *name, const void *value, size_t size)
{
    struct attributes *attributes = &folder_at(&image->tree, at)->attributes;
    size_t before = attributes->room;
    int result = attributes_add(attributes, name, value, size);
    image->tree.attribute_bytes += attributes->room - before;
    if (result < 0)
        return result;
    bool too_large =
        image->tree.attribute_bytes > MOST_FOLDER_ATTRIBUTES || (!at && attributes->size > ROOT_ATTRIBUTES);
    return too_large ? -E2BIG : 0;
}

/* Nothing of a folder of this name in the layers below shows through. */
static int mark_opaque(struct image *image, uint32_t folder)
{
    return add_attribute(image, folder, "trusted.overlay.opaque", "y", 1);
}

int folder_make(struct image *image, uint32_t parent, const char *name, size_t size, uint32_t *folder)
{
    struct tree *tree = &image->tree;
    uint32_t found = tree_find(tree, parent, name, size);
    bool hides = found != NONE && tree_at(tree, tree_name(tree, found)->node)->whiteout;
    *folder = found == NONE ? NONE : tree_at(tree, tree_name(tree, found)->node)->folder;
    if (*folder != NONE)
        return 0;
    *folder = tree_folder(tree, parent);
    if (*folder == NONE)
        return -ENOMEM;
    int result = tree_put(tree, parent, name, size, folder_at(tree, *folder)->node);
    return result >= 0 && hides ? mark_opaque(image, *folder) : result;
}

static int take_folder(struct image *image, uint32_t folder, const char *name, const struct kb_entry *entry)
{
    int result = *name ? folder_make(image, folder, name, strlen(name), &folder) : 0;
    if (result < 0)
        return result;
    struct folder *made = folder_at(&image->tree, folder);
    made->mode = entry->mode;
    made->uid = entry->uid;
    made->gid = entry->gid;
    made->mtime = entry->mtime;
    made->mtime_ns = entry->mtime_ns;
    for (size_t at = 0; at < entry->xattr_count && result >= 0; at++)
        result = add_attribute(image, folder, entry->xattrs[at].name, entry->xattrs[at].value, entry->xattrs[at].size);
    return result;
}

static int take_file(struct image *image, uint32_t folder, const char *name, const struct kb_entry *entry)
{
    struct attributes *attributes = &image->attributes;
    uint64_t inode;
    int result = 0;
    attributes->size = 0;
    for (size_t at = 0; at < entry->xattr_count && result >= 0; at++)
        result = attributes_add(attributes, entry->xattrs[at].name, entry->xattrs[at].value, entry->xattrs[at].size);
    if (result >= 0)
        result = content_write(image, entry, &inode);
    return result < 0 ? result : put_node(image, folder, name, inode, entry->mode);
}

/* A symbolic link, a device or a FIFO. The text of a link lies behind its inode, where both fit into a block. */
static int take_node(struct image *image, uint32_t folder, const char *name, const struct kb_entry *entry)
{
    struct erofs_inode inode = inode_of(entry);
    size_t size = S_ISLNK(entry->mode) ? strlen(entry->link) : 0;
    uint64_t number;
    int result = 0;
    if ((S_ISCHR(entry->mode) || S_ISBLK(entry->mode)) && !entry->major && !entry->minor) {
        image->result->devices_left++; /* it would be a whiteout, which has another way to be said */
        return 0;
    }
    image->attributes.size = 0;
    if (size) {
        inode.mode = htole16(S_IFLNK | 0777);
        inode.size = htole64(size);
        inode.format = htole16(EROFS_EXTENDED | EROFS_INLINE << 1);
    }
    if (sizeof inode + size > EROFS_BLOCK) {
        if ((result = stream_align(&image->stream)) >= 0) {
            inode.where = htole32((uint32_t)(image->stream.at >> EROFS_BLOCK_BITS));
            inode.format = htole16(EROFS_EXTENDED | EROFS_PLAIN << 1);
            result = stream_put(&image->stream, entry->link, size);
        }
        size = 0;
    }
    if (result >= 0 && (result = stream_align(&image->stream)) >= 0)
        result = inode_place(image, &inode, entry->link, size, &number);
    return result < 0 ? result : put_node(image, folder, name, number, entry->mode);
}

static bool lies_in(const struct tree *tree, uint32_t folder, uint32_t above)
{
    for (; folder && folder != above;)
        folder = folder_at(tree, folder)->parent;
    return folder == above;
}

static int take_hard_link(struct image *image, uint32_t folder, const char *name, const struct kb_entry *entry)
{
    struct tree *tree = &image->tree;
    const char *slash = strrchr(entry->link, '/'), *target = slash ? slash + 1 : entry->link;
    uint32_t from;
    int result = way_find(image, entry->link, slash ? (size_t)(slash - entry->link) : 0, &from);
    if (result == -ENOENT || result == -ENOTDIR)
        return kb_tar_fault(image->tar, KB_FAULT_TARGET);
    if (result < 0)
        return result == -ELOOP ? kb_tar_fault(image->tar, KB_FAULT_THROUGH) : result;
    uint32_t found = *target ? tree_find(tree, from, target, strlen(target)) : NONE;
    uint32_t to = found == NONE ? NONE : tree_name(tree, found)->node;
    if (kb_path_kind(entry->link) != KB_PATH_PLAIN || to == NONE || tree_at(tree, to)->folder != NONE ||
        tree_at(tree, to)->whiteout)
        return kb_tar_fault(image->tar, KB_FAULT_TARGET);
    uint32_t there = tree_find(tree, folder, name, strlen(name));
    uint32_t replaced = there == NONE ? NONE : tree_at(tree, tree_name(tree, there)->node)->folder;
    if (replaced != NONE && lies_in(tree, from, replaced)) /* the target goes with the folder */
        return kb_tar_fault(image->tar, KB_FAULT_TARGET);
    return tree_put(tree, folder, name, strlen(name), to);
}

/* "There is no such name below": a whiteout, or where this layer has such a folder of its own, a mark on that. */
static int hide(struct image *image, uint32_t folder, const char *name)
{
    struct tree *tree = &image->tree;
    uint32_t found = tree_find(tree, folder, name, strlen(name));
    if (found != NONE) {
        const struct node *node = tree_at(tree, tree_name(tree, found)->node);
        return node->folder == NONE ? 0 : mark_opaque(image, node->folder);
    }
    const struct kb_entry whiteout = {.mode = S_IFCHR};
    struct erofs_inode inode = inode_of(&whiteout);
    uint64_t number;
    image->attributes.size = 0;
    int result = inode_place(image, &inode, NULL, 0, &number);
    if (result >= 0)
        result = put_node(image, folder, name, number, S_IFCHR);
    if (result >= 0)
        tree_at(tree, (uint32_t)tree->nodes.count - 1)->whiteout = true;
    return result;
}

static int find_parent(struct image *image, const struct kb_entry *entry, uint32_t *folder, const char **name)
{
    const char *slash = strrchr(entry->path, '/');
    size_t length = slash ? (size_t)(slash - entry->path) : 0;
    *name = slash ? slash + 1 : entry->path;
    int result = way_find(image, entry->path, length, folder);
    if (result == -ENOENT || result == -ENOTDIR)
        result = way_make(image, entry, length, folder);
    return result == -ELOOP ? kb_tar_fault(image->tar, KB_FAULT_THROUGH) : result;
}

static int take(struct image *image, const struct kb_entry *entry)
{
    const enum kb_path_kind kind = kb_path_kind(entry->path);
    const char *name;
    uint32_t folder;
    if (kind == KB_PATH_IGNORED)
        return 0;
    if (kind == KB_PATH_REFUSED)
        return kb_tar_fault(image->tar, KB_FAULT_WHITEOUT);
    int result = find_parent(image, entry, &folder, &name);
    if (result < 0)
        return result;
    if (kind == KB_PATH_WHITEOUT)
        return hide(image, folder, name + strlen(".wh."));
    if (kind == KB_PATH_OPAQUE)
        return mark_opaque(image, folder);
    if (entry->hard_link)
        return take_hard_link(image, folder, name, entry);
    if (S_ISDIR(entry->mode))
        return take_folder(image, folder, name, entry);
    return S_ISREG(entry->mode) ? take_file(image, folder, name, entry) : take_node(image, folder, name, entry);
}

static int finish(struct image *image)
{
    uint64_t inodes;
    int result = inode_close_run(image);
    if (result >= 0)
        result = folders_write(image, &inodes);
    return result < 0 ? result : super_write(image, inodes);
}

static int run(struct image *image, int output)
{
    struct kb_entry entry;
    int result = tree_begin(&image->tree);
    image->stream.output = output;
    image->stream.at = EROFS_BLOCK;
    image->map_left = MOST_MAPPED;
    while (result >= 0 && (result = kb_tar_next(image->tar, &entry)) > 0)
        if ((result = take(image, &entry)) == -E2BIG)
            result = kb_tar_fault(image->tar, KB_FAULT_RECORDS);
    if (result < 0 && !image->result->fault)
        kb_tar_note(image->tar);
    return result < 0 ? result : finish(image);
}

static void close_image(struct image *image)
{
    kb_tar_close(image->tar);
    tree_end(&image->tree);
    free(image->attributes.bytes);
    free(image);
}

int kb_layer_erofs(int input, int output, const struct kb_layer_options *options, struct kb_layer_result *result)
{
    *result = (struct kb_layer_result){0};
    if (options->flags & (KB_LAYER_ROOTLESS | KB_LAYER_ONE_OWNER) || options->uid_ranges || options->gid_ranges)
        return -EINVAL;
    struct image *image = calloc(1, sizeof *image);
    if (!image)
        return -ENOMEM;
    image->result = result;
    image->tar = kb_tar_open(input, options, result);
    int outcome = !image->tar ? -ENOMEM : ftruncate(output, 0) < 0 ? -errno : run(image, output);
    close_image(image);
    return outcome;
}
