/* Sparse files, as GNU tar writes them: an old kind of header, and three ways of extended headers. */
#include "layers/tar_inner.h"

struct old_region { char offset[12], size[12]; };

/* What such a header has from byte 386 on, over the fields of the other kinds. */
struct old_header {
    char before[386];
    struct old_region regions[4];
    char more, real_size[12];
};

struct old_extension {
    struct old_region regions[21];
    char more, rest[7];
};
_Static_assert(sizeof(struct old_extension) == BLOCK, "it is one block");

int tar_add_region(struct kb_tar *tar, uint64_t offset, uint64_t size)
{
    if (tar->region_count == tar->region_room) {
        size_t room = tar->region_room ? 2 * tar->region_room : 16;
        if (room > MOST_REGIONS)
            return kb_tar_fault(tar, KB_FAULT_SPARSE);
        struct region *regions = realloc(tar->regions, room * sizeof *regions);
        if (!regions)
            return -ENOMEM;
        tar->regions = regions;
        tar->region_room = room;
    }
    tar->regions[tar->region_count++] = (struct region){offset, size};
    return 0;
}

/* "OFFSET,SIZE,OFFSET,SIZE": version 0.1. */
int tar_sparse_text(struct kb_tar *tar, char *map)
{
    tar->region_count = 0;
    for (char *next = map; next && *next;) {
        uint64_t offset, size;
        char *first = strsep(&next, ","), *second = strsep(&next, ",");
        if (!second || !tar_decimal(first, MOST_SIZE, &offset) || !tar_decimal(second, MOST_SIZE, &size))
            return kb_tar_fault(tar, KB_FAULT_SPARSE);
        int result = tar_add_region(tar, offset, size);
        if (result < 0)
            return result;
    }
    return 0;
}

static int add_old(struct kb_tar *tar, const struct old_region *regions, size_t count)
{
    for (size_t at = 0; at < count && regions[at].size[0]; at++) {
        int64_t offset, size;
        if (!tar_number(regions[at].offset, sizeof regions->offset, &offset) || offset < 0 ||
            !tar_number(regions[at].size, sizeof regions->size, &size) || size < 0)
            return kb_tar_fault(tar, KB_FAULT_SPARSE);
        int result = tar_add_region(tar, (uint64_t)offset, (uint64_t)size);
        if (result < 0)
            return result;
    }
    return 0;
}

int tar_sparse_old(struct kb_tar *tar, const struct header *header, uint64_t *real_size)
{
    const struct old_header *old = (const struct old_header *)header;
    int64_t size;
    tar->region_count = 0;
    if (!tar_number(old->real_size, sizeof old->real_size, &size) || size < 0)
        return kb_tar_fault(tar, KB_FAULT_SPARSE);
    *real_size = (uint64_t)size;
    int result = add_old(tar, old->regions, 4);
    for (bool more = old->more; more && result >= 0;) {
        const struct old_extension *block = (const struct old_extension *)tar_block(tar, &result);
        if (!block)
            return result < 0 ? result : kb_tar_fault(tar, KB_FAULT_ENDS_EARLY);
        more = block->more;
        result = add_old(tar, block->regions, 21);
    }
    return result;
}

/* A decimal number and a newline, at the beginning of the content; blocks are taken as they are needed. */
static int inline_number(struct kb_tar *tar, const char **at, const char **end, uint64_t *number)
{
    char text[24];
    for (size_t used = 0; used < sizeof text - 1; used++) {
        if (*at == *end) {
            int result = tar->left < BLOCK ? kb_tar_fault(tar, KB_FAULT_SPARSE) : 0;
            if (!result && !(*at = tar_block(tar, &result)) && !result)
                result = kb_tar_fault(tar, KB_FAULT_ENDS_EARLY);
            if (result < 0)
                return result;
            *end = *at + BLOCK;
            tar->left -= BLOCK;
        }
        text[used] = *(*at)++;
        if (text[used] == '\n') {
            text[used] = 0;
            return tar_decimal(text, MOST_SIZE, number) ? 0 : kb_tar_fault(tar, KB_FAULT_SPARSE);
        }
    }
    return kb_tar_fault(tar, KB_FAULT_SPARSE);
}

/* Version 1.0: how many there are, then offset and size of each, up to the end of a block. */
int tar_sparse_inline(struct kb_tar *tar)
{
    const char *at = NULL, *end = NULL;
    uint64_t count, offset, size;
    int result = inline_number(tar, &at, &end, &count);
    tar->region_count = 0;
    for (; result >= 0 && count; count--) {
        if ((result = inline_number(tar, &at, &end, &offset)) >= 0 &&
            (result = inline_number(tar, &at, &end, &size)) >= 0)
            result = tar_add_region(tar, offset, size);
    }
    return result;
}

int tar_check_regions(struct kb_tar *tar, uint64_t real_size)
{
    uint64_t before = 0, sum = 0;
    for (size_t at = 0; at < tar->region_count; at++) {
        const struct region *region = &tar->regions[at];
        if (region->offset < before || region->offset > real_size || region->size > real_size - region->offset)
            return kb_tar_fault(tar, KB_FAULT_SPARSE);
        before = region->offset + region->size;
        sum += region->size;
    }
    return sum == tar->left ? 0 : kb_tar_fault(tar, KB_FAULT_SPARSE);
}
