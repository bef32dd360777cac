/* Folders, at the end of the image: first all their inodes, each with what is left over of its entries, then the
 * entries that fill whole blocks. Entries are sorted by the bytes of their names, "." and ".." among them. */
#include "layers/erofs_inner.h"

static const uint32_t SELF = NONE - 1, ABOVE = NONE - 2; /* in `sorted`, for "." and ".." */

static const char *text_of(const struct tree *tree, uint32_t name, size_t *size)
{
    *size = name == SELF ? 1 : 2;
    if (name == SELF || name == ABOVE)
        return "..";
    const char *text = (const char *)tree->texts.items + tree_name(tree, name)->text;
    *size = (unsigned char)*text;
    return text + 1;
}

static int by_text(const void *left, const void *right, void *context)
{
    size_t left_size, right_size;
    const char *left_text = text_of(context, *(const uint32_t *)left, &left_size);
    const char *right_text = text_of(context, *(const uint32_t *)right, &right_size);
    int order = memcmp(left_text, right_text, left_size < right_size ? left_size : right_size);
    return order ? order : left_size < right_size ? -1 : left_size > right_size;
}

/* How many entries from `first` on one block takes; `used` gets its bytes. */
static uint32_t fill_block(const struct tree *tree, const struct folder *folder, uint32_t first, size_t *used)
{
    const uint32_t *sorted = (const uint32_t *)tree->sorted.items + folder->sorted;
    uint32_t count = 0;
    for (*used = 0; first + count < folder->count; count++) {
        size_t size;
        text_of(tree, sorted[first + count], &size);
        if (*used + sizeof(struct erofs_dirent) + size > EROFS_BLOCK)
            break;
        *used += sizeof(struct erofs_dirent) + size;
    }
    return count;
}

static int gather(struct tree *tree, uint32_t at)
{
    uint32_t *name = array_add(&tree->sorted, sizeof *name, 2);
    if (!name)
        return -ENOMEM;
    struct folder *folder = folder_at(tree, at);
    folder->sorted = (uint32_t)(tree->sorted.count - 2);
    name[0] = SELF;
    name[1] = ABOVE;
    for (uint32_t each = folder->first; each != NONE; each = tree_name(tree, each)->next) {
        if (tree_name(tree, each)->node == NONE)
            continue;
        struct node *node = tree_at(tree, tree_name(tree, each)->node);
        node->links++;
        folder->below += node->folder != NONE;
        uint32_t *below = node->folder == NONE ? NULL : array_add(&tree->order, sizeof *below, 1);
        if ((node->folder != NONE && !below) || !(name = array_add(&tree->sorted, sizeof *name, 1)))
            return -ENOMEM;
        if (below)
            *below = node->folder;
        *name = each;
    }
    folder->count = (uint32_t)tree->sorted.count - folder->sorted;
    qsort_r((uint32_t *)tree->sorted.items + folder->sorted, folder->count, sizeof *name, by_text, tree);
    size_t used = 0;
    for (uint32_t first = 0; first < folder->count;) {
        folder->size += used ? EROFS_BLOCK : 0;
        first += fill_block(tree, folder, first, &used);
    }
    folder->size += used;
    return 0;
}

/* The bytes at the end of the entries that lie behind the inode. The root's inode is in block 0, alone. */
static size_t inline_size(const struct folder *folder, bool root)
{
    size_t end = folder->size % EROFS_BLOCK;
    return !root && sizeof(struct erofs_inode) + folder->attributes.size + end <= EROFS_BLOCK ? end : 0;
}

/* Where the inode goes that needs `size` bytes: one that fits into a block does not lie in two. */
static uint64_t next_place(uint64_t at, size_t size)
{
    uint64_t left = EROFS_BLOCK - at % EROFS_BLOCK;
    return size > left ? at + left : at;
}

static size_t inode_size(const struct folder *folder, bool root)
{
    return sizeof(struct erofs_inode) + folder->attributes.size + inline_size(folder, root);
}

/* Numbers of inodes and blocks of entries, for all folders in order. Returns where the image ends, 0 when it is too
 * large. */
static uint64_t assign(struct image *image)
{
    struct tree *tree = &image->tree;
    const uint32_t *order = tree->order.items;
    uint64_t at = image->stream.at, most = (uint64_t)UINT32_MAX << EROFS_BLOCK_BITS;
    tree_at(tree, 0)->inode = EROFS_ROOT_AT / EROFS_UNIT;
    for (size_t each = 1; each < tree->order.count; each++) {
        const struct folder *folder = folder_at(tree, order[each]);
        size_t size = inode_size(folder, false);
        at = next_place(at, size);
        tree_at(tree, folder->node)->inode = at / EROFS_UNIT;
        at += (size + EROFS_UNIT - 1) / EROFS_UNIT * EROFS_UNIT;
    }
    at = (at + EROFS_BLOCK - 1) / EROFS_BLOCK * EROFS_BLOCK;
    for (size_t each = 0; each < tree->order.count; each++) {
        struct folder *folder = folder_at(tree, order[each]);
        if (at >= most)
            return 0;
        folder->block = (uint32_t)(at >> EROFS_BLOCK_BITS);
        uint64_t own = folder->size - inline_size(folder, !each);
        at += (own + EROFS_BLOCK - 1) / EROFS_BLOCK * EROFS_BLOCK;
    }
    return at <= most ? at : 0;
}

/* One block of entries; returns how many there are in it. */
static uint32_t make_block(const struct tree *tree, const struct folder *folder, uint32_t first, char *block,
                           size_t *used)
{
    const uint32_t *sorted = (const uint32_t *)tree->sorted.items + folder->sorted;
    uint32_t count = fill_block(tree, folder, first, used);
    size_t text_at = count * sizeof(struct erofs_dirent);
    for (uint32_t each = 0; each < count; each++) {
        size_t size;
        uint32_t name = sorted[first + each];
        const char *text = text_of(tree, name, &size);
        uint32_t to = name == SELF    ? folder->node
                      : name == ABOVE ? folder_at(tree, folder->parent)->node
                                      : tree_name(tree, name)->node;
        const struct node *node = tree_at(tree, to);
        struct erofs_dirent entry = {htole64(node->inode), htole16((uint16_t)text_at), node->kind, 0};
        memcpy(block + each * sizeof entry, &entry, sizeof entry);
        memcpy(block + text_at, text, size);
        text_at += size;
    }
    memset(block + text_at, 0, EROFS_BLOCK - text_at);
    return count;
}

struct erofs_inode folder_inode(const struct image *image, uint32_t at)
{
    const struct folder *folder = folder_at(&image->tree, at);
    return (struct erofs_inode){
        .format = htole16(EROFS_EXTENDED | (inline_size(folder, !at) ? EROFS_INLINE : EROFS_PLAIN) << 1),
        .xattr_units = htole16(attributes_units(&folder->attributes)),
        .mode = htole16((uint16_t)folder->mode),
        .size = htole64(folder->size),
        .where = htole32(folder->block),
        .number = htole32(image->placed + at + 1),
        .uid = htole32(folder->uid),
        .gid = htole32(folder->gid),
        .mtime = htole64((uint64_t)folder->mtime),
        .mtime_ns = htole32(folder->mtime_ns),
        .links = htole32(2 + folder->below),
    };
}

static int write_inode(struct image *image, uint32_t at)
{
    struct stream *stream = &image->stream;
    const struct folder *folder = folder_at(&image->tree, at);
    const struct erofs_inode inode = folder_inode(image, at);
    size_t behind = inline_size(folder, false), used;
    char last[EROFS_BLOCK];
    int result = stream_skip(stream, tree_at(&image->tree, folder->node)->inode * EROFS_UNIT - stream->at);
    if (result >= 0)
        result = stream_put(stream, &inode, sizeof inode);
    if (result >= 0 && folder->attributes.size)
        result = stream_put(stream, folder->attributes.bytes, folder->attributes.size);
    if (result < 0 || !behind)
        return result;
    for (uint32_t first = 0; first < folder->count;)
        first += make_block(&image->tree, folder, first, last, &used);
    return stream_put(stream, last, behind);
}

static int write_blocks(struct image *image, uint32_t at)
{
    const struct folder *folder = folder_at(&image->tree, at);
    uint64_t left = folder->size - inline_size(folder, !at);
    char block[EROFS_BLOCK];
    size_t used;
    for (uint32_t first = 0; left; left -= left < EROFS_BLOCK ? left : EROFS_BLOCK) {
        first += make_block(&image->tree, folder, first, block, &used);
        int result = stream_put(&image->stream, block, sizeof block);
        if (result < 0)
            return result;
    }
    return 0;
}

/* Inodes were written when one name led to each. */
static int correct_links(struct image *image, uint64_t *inodes)
{
    const struct tree *tree = &image->tree;
    *inodes = tree->order.count;
    for (uint32_t at = 0; at < tree->nodes.count; at++) {
        const struct node *node = tree_at(tree, at);
        if (node->folder != NONE || !node->links)
            continue;
        uint32_t links = htole32(node->links);
        uint64_t where = node->inode * EROFS_UNIT + offsetof(struct erofs_inode, links);
        int result = node->links == 1 ? 0 : stream_patch(&image->stream, &links, sizeof links, where);
        if (result < 0)
            return result;
        ++*inodes;
    }
    return 0;
}

static int plan(struct image *image)
{
    struct tree *tree = &image->tree;
    uint32_t *root = array_add(&tree->order, sizeof *root, 1);
    if (!root)
        return -ENOMEM;
    *root = 0;
    for (size_t each = 0; each < tree->order.count; each++) {
        int result = gather(tree, ((const uint32_t *)tree->order.items)[each]);
        if (result < 0)
            return result;
    }
    return assign(image) ? 0 : -EFBIG;
}

int folders_write(struct image *image, uint64_t *inodes)
{
    const struct array *order = &image->tree.order;
    int result = stream_align(&image->stream);
    if (result >= 0)
        result = plan(image);
    for (size_t each = 1; result >= 0 && each < order->count; each++)
        result = write_inode(image, ((const uint32_t *)order->items)[each]);
    if (result >= 0)
        result = stream_align(&image->stream);
    for (size_t each = 0; result >= 0 && each < order->count; each++)
        result = write_blocks(image, ((const uint32_t *)order->items)[each]);
    if (result >= 0)
        result = stream_flush(&image->stream);
    return result < 0 ? result : correct_links(image, inodes);
}
