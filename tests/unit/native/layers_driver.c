/* For tests: what the reader of layers finds in archives. Each line of the standard input names one; with a folder
 * behind a tab it is unpacked into that, which is then read as a layer, and becomes an image, too. A line an entry, and
 * one for the end of each. */
#include <fcntl.h>
#include <stdio.h>

#include "layers/tar.h"

/* Sanitizers look at all of it, so that none of it is out of bounds or never set. */
static uint64_t sum_of(uint64_t sum, const void *bytes, size_t size)
{
    for (size_t at = 0; at < size; at++)
        sum = (sum ^ ((const unsigned char *)bytes)[at]) * 0x100000001b3u;
    return sum;
}

static void show(const char *text)
{
    printf(" =");
    for (; text && *text; text++)
        printf("%02x", (unsigned char)*text);
}

static int read_entry(struct kb_tar *tar, const struct kb_entry *entry)
{
    struct kb_piece piece;
    uint64_t sum = 0, bytes = 0;
    int result;
    while ((result = kb_tar_piece(tar, &piece)) > 0) {
        sum = sum_of(sum, piece.bytes, piece.size);
        bytes += piece.size;
    }
    for (size_t at = 0; at < entry->xattr_count; at++)
        sum = sum_of(sum, entry->xattrs[at].value, entry->xattrs[at].size) + strlen(entry->xattrs[at].name);
    printf("%o %d %u %u %llu %lld.%09u %llu %llx", entry->mode, entry->hard_link, entry->uid, entry->gid,
           (unsigned long long)entry->size, (long long)entry->mtime, entry->mtime_ns, (unsigned long long)bytes,
           (unsigned long long)sum);
    show(entry->path);
    show(entry->link);
    printf("\n");
    return result;
}

static int read_all(int input, const struct kb_layer_options *options, struct kb_layer_result *found)
{
    struct kb_tar *tar = kb_tar_open(input, options, found);
    struct kb_entry entry;
    int result;
    while ((result = kb_tar_next(tar, &entry)) > 0)
        if ((result = read_entry(tar, &entry)) < 0)
            break;
    kb_tar_close(tar);
    return result;
}

static void end(const char *what, int result, const struct kb_layer_result *found)
{
    printf("%s %d %d %llu", what, result, found->fault, (unsigned long long)found->entries);
    show(found->name);
    printf("\n");
}

static void write_image(int input, const struct kb_layer_options *options)
{
    FILE *output = tmpfile();
    struct kb_layer_result found;
    lseek(input, 0, SEEK_SET);
    end("image", kb_layer_erofs(input, fileno(output), options, &found), &found);
    fclose(output);
}

static int there_and_back(int input, const char *name, const struct kb_layer_options *options,
                          struct kb_layer_result *found)
{
    int folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), output = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct kb_layer_result back;
    int result = kb_layer_apply(folder, input, options, found);
    int again = kb_layer_diff(folder, output, options, &back);
    end("back", again, &back);
    write_image(input, options);
    close(folder);
    close(output);
    return result;
}

int main(void)
{
    char line[8192];
    while (fgets(line, sizeof line, stdin)) {
        struct kb_layer_options options = {.stop = -1, .most_entries = 100000, .most_bytes = (uint64_t)1 << 37};
        struct kb_layer_result found = {0};
        line[strcspn(line, "\n")] = 0;
        char *folder = strchr(line, '\t');
        if (folder)
            *folder++ = 0;
        int input = open(line, O_RDONLY | O_CLOEXEC);
        int result = folder ? there_and_back(input, folder, &options, &found) : read_all(input, &options, &found);
        end("end", result, &found);
        fflush(stdout);
        close(input);
    }
    return 0;
}
