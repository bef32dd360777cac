/* The tree of names, as small as it can be: a layer may have a million of them. */
#include "layers/erofs_inner.h"

#include <sys/random.h>

enum { FIRST_SLOTS = 1 << 10 };

void *array_add(struct array *array, size_t size, size_t count)
{
    if (count > NONE - array->count)
        return NULL;
    if (array->count + count > array->room) {
        size_t room = 2 * array->room > array->count + count ? 2 * array->room : array->count + count + 64;
        void *items = realloc(array->items, room * size);
        if (!items)
            return NULL;
        array->items = items;
        array->room = room;
    }
    void *added = (char *)array->items + array->count * size;
    memset(added, 0, count * size);
    array->count += count;
    return added;
}

static size_t slot_of(const struct tree *tree, uint32_t folder, const char *name, size_t size)
{
    uint64_t hash = tree->key ^ folder, word;
    for (; size; name += word, size -= word) {
        uint64_t bytes = size;
        word = size < sizeof bytes ? size : sizeof bytes;
        memcpy(&bytes, name, word);
        hash = (hash ^ bytes) * (tree->key | 1);
        hash ^= hash >> 32;
    }
    return (size_t)(hash * 0x9E3779B97F4A7C15 >> 20) & (tree->slot_count - 1);
}

static const char *text_of(const struct tree *tree, uint32_t name, size_t *size)
{
    const char *text = (const char *)tree->texts.items + tree_name(tree, name)->text;
    *size = (unsigned char)*text;
    return text + 1;
}

/* The slot with the name, or the empty one where it would go. */
static uint32_t *look_up(const struct tree *tree, uint32_t folder, const char *name, size_t size)
{
    for (size_t at = slot_of(tree, folder, name, size);; at = (at + 1) & (tree->slot_count - 1)) {
        uint32_t *slot = &tree->slots[at];
        if (*slot == NONE)
            return slot;
        size_t length;
        const char *text = text_of(tree, *slot, &length);
        if (tree_name(tree, *slot)->folder == folder && length == size && !memcmp(text, name, size))
            return slot;
    }
}

static int grow_slots(struct tree *tree)
{
    size_t count = tree->slot_count ? 2 * tree->slot_count : FIRST_SLOTS;
    uint32_t *slots = malloc(count * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    memset(slots, 0xff, count * sizeof *slots);
    free(tree->slots);
    tree->slots = slots;
    tree->slot_count = count;
    for (uint32_t at = 0; at < tree->names.count; at++) {
        size_t size;
        const char *text = text_of(tree, at, &size);
        *look_up(tree, tree_name(tree, at)->folder, text, size) = at;
    }
    return 0;
}

uint32_t tree_find(const struct tree *tree, uint32_t folder, const char *name, size_t size)
{
    uint32_t found = *look_up(tree, folder, name, size);
    return found == NONE || tree_name(tree, found)->node == NONE ? NONE : found;
}

static int add_name(struct tree *tree, uint32_t folder, const char *text, size_t size, uint32_t node)
{
    if (2 * (tree->names.count + 1) > tree->slot_count) {
        int result = grow_slots(tree);
        if (result < 0)
            return result;
    }
    uint32_t at = (uint32_t)tree->names.count;
    char *copy = array_add(&tree->texts, 1, size + 1);
    struct name *name = copy ? array_add(&tree->names, sizeof *name, 1) : NULL;
    if (!name)
        return -ENOMEM;
    *copy = (char)size;
    memcpy(copy + 1, text, size);
    *name = (struct name){folder, NONE, node, (uint32_t)(copy - (char *)tree->texts.items)};
    struct folder *in = folder_at(tree, folder);
    *(in->last == NONE ? &in->first : &tree_name(tree, in->last)->next) = at;
    in->last = at;
    *look_up(tree, folder, text, size) = at;
    return 0;
}

int tree_put(struct tree *tree, uint32_t folder, const char *name, size_t size, uint32_t node)
{
    uint32_t found = *look_up(tree, folder, name, size);
    if (found == NONE)
        return node == NONE ? 0 : add_name(tree, folder, name, size, node);
    tree_name(tree, found)->node = node;
    return 0;
}

uint32_t tree_node(struct tree *tree, uint64_t inode, uint32_t mode)
{
    uint32_t at = (uint32_t)tree->nodes.count;
    struct node *node = array_add(&tree->nodes, sizeof *node, 1);
    if (!node)
        return NONE;
    *node = (struct node){.inode = inode, .folder = NONE, .kind = inode_kind(mode)};
    return at;
}

uint32_t tree_folder(struct tree *tree, uint32_t parent)
{
    uint32_t at = (uint32_t)tree->folders.count, node = tree_node(tree, 0, S_IFDIR);
    struct folder *folder = node == NONE ? NULL : array_add(&tree->folders, sizeof *folder, 1);
    if (!folder)
        return NONE;
    *folder = (struct folder){.node = node, .parent = parent, .first = NONE, .last = NONE, .mode = S_IFDIR | 0755};
    tree_at(tree, node)->folder = at;
    return at;
}

int tree_begin(struct tree *tree)
{
    if (getrandom(&tree->key, sizeof tree->key, 0) < 0)
        return -errno;
    int result = grow_slots(tree);
    return result < 0 ? result : tree_folder(tree, 0) == NONE ? -ENOMEM : 0;
}

void tree_end(struct tree *tree)
{
    struct folder *folder = tree->folders.items;
    for (size_t at = 0; at < tree->folders.count; at++)
        free(folder[at].attributes.bytes);
    free(tree->names.items);
    free(tree->nodes.items);
    free(tree->folders.items);
    free(tree->texts.items);
    free(tree->sorted.items);
    free(tree->order.items);
    free(tree->slots);
}
