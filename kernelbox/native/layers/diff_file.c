/* Regular files: their content, with its holes, their attributes, and the other names of the same file. */
#include "layers/diff.h"

#include <stdio.h>

#include "syscalls.h"

enum { GRAIN = 4096 }; /* a hole is made of such pieces, wherever a file system has room for smaller ones */

/* -- holes --------------------------------------------------------------------------------------------------------- */

static int add_region(struct diff *diff, struct gathered *regions, uint64_t offset, uint64_t size)
{
    struct region *last = diff->region_count ? (struct region *)regions->bytes + diff->region_count - 1 : NULL;
    if (last && last->offset + last->size == offset) {
        last->size += size;
        return 0;
    }
    struct region region = {offset, size};
    diff->region_count++;
    return gather(regions, &region, sizeof region);
}

/* Pieces of [from, to) that are not all zero. What the file system stores of holes differs; this does not. */
static int find_content(struct diff *diff, struct gathered *regions, int file, uint64_t from, uint64_t to)
{
    static const char zeros[GRAIN];
    char piece[16 * GRAIN];
    for (uint64_t at = from; at < to;) {
        size_t wanted = to - at < sizeof piece ? (size_t)(to - at) : sizeof piece;
        ssize_t count = pread(file, piece, wanted, (off_t)at);
        if (count < 0 && errno != EINTR)
            return -errno;
        if (count >= 0 && (size_t)count < wanted)
            return diff_fault(diff, KB_FAULT_CHANGED);
        for (ssize_t done = 0; done < count; done += GRAIN) {
            size_t size = count - done < GRAIN ? (size_t)(count - done) : GRAIN;
            int result = memcmp(piece + done, zeros, size) ? add_region(diff, regions, at + (uint64_t)done, size) : 0;
            if (result < 0)
                return result;
        }
        at += count < 0 ? 0 : (uint64_t)count;
    }
    return 0;
}

/* Regions of a file that has less on disk than its length; none where that is not for holes. */
static int find_regions(struct diff *diff, struct gathered *regions, int file, uint64_t size)
{
    int result = 0;
    diff->region_count = 0;
    for (uint64_t at = 0; at < size && result >= 0;) {
        off_t data = lseek(file, (off_t)at, SEEK_DATA);
        off_t hole = data < 0 ? 0 : lseek(file, data, SEEK_HOLE);
        if (data < 0 && errno == ENXIO) /* nothing but a hole is left */
            break;
        if (data < 0 || hole < 0)
            return -errno;
        uint64_t from = (uint64_t)data / GRAIN * GRAIN, to = ((uint64_t)hole + GRAIN - 1) / GRAIN * GRAIN;
        from = from < at ? at : from;
        at = to > size ? size : to;
        result = find_content(diff, regions, file, from, at);
    }
    return result;
}

static int map_text(struct diff *diff, const struct region *regions, uint64_t size, struct gathered *map)
{
    const struct region *last = diff->region_count ? regions + diff->region_count - 1 : NULL;
    const bool hole_at_end = !last || last->offset + last->size < size;
    char line[48];
    int count = snprintf(line, sizeof line, "%zu\n", diff->region_count + hole_at_end);
    int result = gather(map, line, (size_t)count);
    for (size_t at = 0; at < diff->region_count && result >= 0; at++) {
        count = snprintf(line, sizeof line, "%llu\n%llu\n", (unsigned long long)regions[at].offset,
                         (unsigned long long)regions[at].size);
        result = gather(map, line, (size_t)count);
    }
    count = hole_at_end ? snprintf(line, sizeof line, "%llu\n0\n", (unsigned long long)size) : 0;
    return result < 0 ? result : gather(map, line, (size_t)count);
}

static int sparse_records(struct diff *diff, uint64_t size)
{
    char text[24];
    int count = snprintf(text, sizeof text, "%llu", (unsigned long long)size);
    int result = gather_record(&diff->records, "GNU.sparse.major", "1", 1);
    if (result >= 0)
        result = gather_record(&diff->records, "GNU.sparse.minor", "0", 1);
    if (result >= 0)
        result = gather_record(&diff->records, "GNU.sparse.name", diff->path, diff->length);
    return result < 0 ? result : gather_record(&diff->records, "GNU.sparse.realsize", text, (size_t)count);
}

/* GNU's version 1.0: the content begins with where the pieces that follow are. */
static int write_sparse(struct diff *diff, int file, const struct stat *found, const struct region *regions)
{
    struct gathered map = {0};
    uint64_t size = 0;
    int result = map_text(diff, regions, (uint64_t)found->st_size, &map);
    for (size_t at = 0; at < diff->region_count; at++)
        size += regions[at].size;
    if (result >= 0)
        result = sparse_records(diff, (uint64_t)found->st_size);
    if (result >= 0)
        result = diff_header(diff, '0', found, NULL, (map.used + BLOCK - 1) / BLOCK * BLOCK + size);
    if (result >= 0)
        result = diff_write(diff, map.bytes, map.used);
    if (result >= 0)
        result = diff_pad(diff);
    for (size_t at = 0; at < diff->region_count && result >= 0; at++)
        result = diff_copy(diff, file, regions[at].offset, regions[at].size);
    free(map.bytes);
    return result < 0 ? result : diff_pad(diff);
}

int diff_file(struct diff *diff, int file, const struct stat *found)
{
    const uint64_t size = (uint64_t)found->st_size;
    struct gathered regions = {0};
    bool holes = (uint64_t)found->st_blocks * 512 < size;
    int result = holes ? find_regions(diff, &regions, file, size) : 0;
    const struct region *first = (const struct region *)regions.bytes;
    holes = holes && diff->region_count < MOST_REGIONS / 2 &&
            !(diff->region_count == 1 && !first->offset && first->size == size);
    if (result >= 0 && holes)
        result = write_sparse(diff, file, found, first);
    else if (result >= 0 && (result = diff_header(diff, '0', found, NULL, size)) >= 0 &&
             (result = diff_copy(diff, file, 0, size)) >= 0)
        result = diff_pad(diff);
    free(regions.bytes);
    return result;
}
