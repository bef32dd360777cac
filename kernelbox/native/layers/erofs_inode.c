/* Inodes, their attributes, and where they are put. */
#include "layers/erofs_inner.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

/* Of each kind of attribute the prefix is a number. */
static const struct {
    const char *text;
    uint8_t number;
} PREFIXES[] = {{"user.", 1}, {"trusted.", 4}, {"security.", 6}};

static const size_t MOST_ATTRIBUTES = sizeof(struct erofs_xattr_head) + 4 * (UINT16_MAX - 1);

static int attributes_room(struct attributes *into, size_t size)
{
    if (size > MOST_ATTRIBUTES)
        return -E2BIG;
    if (size <= into->room)
        return 0;
    char *bytes = realloc(into->bytes, 2 * size);
    if (!bytes)
        return -ENOMEM;
    into->bytes = bytes;
    into->room = 2 * size;
    return 0;
}

static size_t entry_size(const struct erofs_xattr *entry)
{
    return (sizeof *entry + entry->name_size + le16toh(entry->size) + 3) / 4 * 4;
}

static void remove_same(struct attributes *from, const struct erofs_xattr *wanted, const char *name)
{
    struct erofs_xattr entry;
    for (size_t at = sizeof(struct erofs_xattr_head), size; at < from->size; at += size) {
        memcpy(&entry, from->bytes + at, sizeof entry);
        size = entry_size(&entry);
        if (entry.prefix != wanted->prefix || entry.name_size != wanted->name_size ||
            memcmp(from->bytes + at + sizeof entry, name, entry.name_size) != 0)
            continue;
        memmove(from->bytes + at, from->bytes + at + size, from->size - at - size);
        from->size -= size;
        return;
    }
}

int attributes_add(struct attributes *into, const char *name, const void *value, size_t size)
{
    struct erofs_xattr entry = {0};
    for (size_t at = 0; at < sizeof PREFIXES / sizeof *PREFIXES && !entry.prefix; at++)
        if (!strncmp(name, PREFIXES[at].text, strlen(PREFIXES[at].text))) {
            entry.prefix = PREFIXES[at].number;
            name += strlen(PREFIXES[at].text);
        }
    size_t length = strlen(name);
    if (!entry.prefix)
        return -EOPNOTSUPP;
    if (length > UINT8_MAX || size > UINT16_MAX)
        return -E2BIG;
    entry.name_size = (uint8_t)length;
    entry.size = htole16((uint16_t)size);
    remove_same(into, &entry, name);
    size_t begin = into->size ? into->size : sizeof(struct erofs_xattr_head), end = begin + entry_size(&entry);
    int result = attributes_room(into, end);
    if (result < 0)
        return result;
    memset(into->bytes + into->size, 0, end - into->size);
    char *to = into->bytes + begin;
    memcpy(to, &entry, sizeof entry);
    memcpy(to + sizeof entry, name, length);
    if (size)
        memcpy(to + sizeof entry + length, value, size);
    into->size = end;
    return 0;
}

uint16_t attributes_units(const struct attributes *attributes)
{
    return attributes->size ? (uint16_t)((attributes->size - sizeof(struct erofs_xattr_head)) / 4 + 1) : 0;
}

uint8_t inode_kind(uint32_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG: return 1;
    case S_IFDIR: return 2;
    case S_IFCHR: return 3;
    case S_IFBLK: return 4;
    case S_IFIFO: return 5;
    case S_IFLNK: return 7;
    default: return 0;
    }
}

static uint32_t device_number(const struct kb_entry *entry)
{
    return (entry->minor & 0xff) | entry->major << 8 | (entry->minor & ~0xffu) << 12;
}

struct erofs_inode inode_of(const struct kb_entry *entry)
{
    bool device = S_ISCHR(entry->mode) || S_ISBLK(entry->mode);
    return (struct erofs_inode){
        .format = htole16(EROFS_EXTENDED | EROFS_PLAIN << 1),
        .mode = htole16((uint16_t)entry->mode),
        .where = device ? htole32(device_number(entry)) : 0,
        .uid = htole32(entry->uid),
        .gid = htole32(entry->gid),
        .mtime = htole64((uint64_t)entry->mtime),
        .mtime_ns = htole32(entry->mtime_ns),
        .links = htole32(1),
    };
}

int inode_close_run(struct image *image)
{
    struct run *run = &image->run;
    size_t blocks = 0;
    for (size_t at = 0; at < RUN; at++)
        if (run->used[at])
            blocks = at + 1;
    int result = run->at ? stream_patch(&image->stream, run->blocks, blocks * EROFS_BLOCK, run->at) : 0;
    run->at = 0;
    return result;
}

/* The fullest block of the run that has room for `size` bytes, or RUN. */
static size_t fullest(const struct run *run, size_t size)
{
    size_t found = RUN;
    for (size_t at = 0; run->at && at < RUN; at++)
        if (run->used[at] + size <= EROFS_BLOCK && (found == RUN || run->used[at] > run->used[found]))
            found = at;
    return found;
}

static int begin_run(struct image *image)
{
    struct run *run = &image->run;
    int result = inode_close_run(image);
    if (result < 0 || (result = stream_align(&image->stream)) < 0 || (result = stream_flush(&image->stream)) < 0)
        return result;
    run->at = image->stream.at;
    memset(run->used, 0, sizeof run->used);
    memset(run->blocks, 0, sizeof run->blocks);
    return stream_skip(&image->stream, sizeof run->blocks);
}

/* One that is longer than a block has blocks of its own. */
static int place_alone(struct image *image, const struct erofs_inode *inode, const void *behind, size_t size,
                       uint64_t *number)
{
    struct stream *stream = &image->stream;
    const struct attributes *attributes = &image->attributes;
    int result = stream_align(stream);
    *number = stream->at / EROFS_UNIT;
    if (result >= 0)
        result = stream_put(stream, inode, sizeof *inode);
    if (result >= 0 && attributes->size)
        result = stream_put(stream, attributes->bytes, attributes->size);
    if (result >= 0 && size)
        result = stream_put(stream, behind, size);
    return result < 0 ? result : stream_align(stream);
}

int inode_place(struct image *image, struct erofs_inode *inode, const void *behind, size_t size, uint64_t *number)
{
    struct run *run = &image->run;
    const struct attributes *attributes = &image->attributes;
    const size_t whole = sizeof *inode + attributes->size + size;
    inode->number = htole32(++image->placed);
    inode->xattr_units = htole16(attributes_units(attributes));
    if (whole > EROFS_BLOCK)
        return place_alone(image, inode, behind, size, number);
    size_t block = fullest(run, whole);
    if (block == RUN) {
        int result = begin_run(image);
        if (result < 0)
            return result;
        block = 0;
    }
    char *to = run->blocks[block] + run->used[block];
    *number = (run->at + block * EROFS_BLOCK + run->used[block]) / EROFS_UNIT;
    memcpy(to, inode, sizeof *inode);
    if (attributes->size)
        memcpy(to + sizeof *inode, attributes->bytes, attributes->size);
    if (size)
        memcpy(to + sizeof *inode + attributes->size, behind, size);
    run->used[block] += (unsigned int)((whole + EROFS_UNIT - 1) / EROFS_UNIT * EROFS_UNIT);
    return 0;
}
