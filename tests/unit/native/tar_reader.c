/* For tests: what the reader of layers finds in the archives named, a line an entry and one for the end of each. */
#include <stdio.h>

#include "layers/tar.h"

static void hex(const char *text)
{
    for (; text && *text; text++)
        printf("%02x", (unsigned char)*text);
}

/* FNV-1a of the content with where it stands, so that a hole is not the same as zeros. */
static uint64_t fold(uint64_t sum, const void *bytes, size_t size)
{
    for (size_t at = 0; at < size; at++)
        sum = (sum ^ ((const unsigned char *)bytes)[at]) * 0x100000001b3u;
    return sum;
}

static int show(struct kb_tar *tar, const struct kb_entry *entry)
{
    struct kb_piece piece;
    uint64_t sum = 0xcbf29ce484222325u, bytes = 0;
    int result;
    while ((result = kb_tar_piece(tar, &piece)) > 0) {
        sum = fold(sum, piece.bytes, piece.size);
        bytes += piece.size;
    }
    printf("%o %d %u %u %u %u %llu %lld %u %llu %016llx =", entry->mode, entry->hard_link, entry->uid, entry->gid,
           entry->major, entry->minor, (unsigned long long)entry->size, (long long)entry->mtime, entry->mtime_ns,
           (unsigned long long)bytes, (unsigned long long)sum);
    hex(entry->path);
    printf(" =");
    hex(entry->link);
    for (size_t at = 0; at < entry->xattr_count; at++) {
        printf(" ");
        hex(entry->xattrs[at].name);
        printf("=%zu:%016llx", entry->xattrs[at].size,
               (unsigned long long)fold(0xcbf29ce484222325u, entry->xattrs[at].value, entry->xattrs[at].size));
    }
    printf("\n");
    return result;
}

static void read_all(const char *name)
{
    struct kb_layer_options options = {.stop = -1, .most_entries = 100000, .most_bytes = INT64_MAX};
    struct kb_layer_result found = {0};
    int input = open(name, O_RDONLY | O_CLOEXEC), result;
    struct kb_tar *tar = kb_tar_open(input, &options, &found);
    struct kb_entry entry;
    while ((result = kb_tar_next(tar, &entry)) > 0)
        if ((result = show(tar, &entry)) < 0)
            break;
    printf("end %d %d %llu %llu %llu =", result, found.fault, (unsigned long long)found.entries,
           (unsigned long long)found.bytes, (unsigned long long)found.xattrs_left);
    hex(found.name);
    printf("\n");
    kb_tar_close(tar);
    close(input);
}

int main(int count, char **names)
{
    for (int at = 1; at < count; at++)
        read_all(names[at]);
    return 0;
}
