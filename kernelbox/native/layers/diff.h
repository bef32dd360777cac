/* What the files share that write the archive of a layer. */
#ifndef KB_LAYERS_DIFF_H
#define KB_LAYERS_DIFF_H

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "kb.h"
#include "layers/tar_inner.h"

/* A growing text. */
struct gathered {
    char *bytes;
    size_t used, room;
};

struct first_link {
    dev_t device;
    ino_t inode;
    size_t path; /* where in `paths`, from 1 on; 0: nothing here */
};

struct diff {
    int output;
    const struct kb_layer_options *options;
    struct kb_layer_result *result;

    char path[PATH_MAX]; /* of the entry, as it is called in the archive but for a folder's slash */
    size_t length;

    struct first_link *links; /* of files with several names, by inode: a hash table, at most half full */
    size_t link_count, link_room;
    struct gathered paths;

    struct gathered xattrs;  /* of the entry: records, in order */
    struct gathered records; /* all of them */
    size_t region_count; /* of a sparse file: its pieces that are not holes */

    size_t used;
    char buffer[BUFFER];
};

/* An entry's header and its extended one, made from the path, `found`, and what was gathered. `size` is that of the
 * content in the archive, 0 for all but files; a sparse file's length is `found`'s. */
int diff_header(struct diff *diff, char type, const struct stat *found, const char *link, uint64_t size);

/* Output. */
int diff_write(struct diff *diff, const void *bytes, size_t size);
int diff_pad(struct diff *diff);
int diff_flush(struct diff *diff);
/* `size` bytes of the file from `offset` on. */
int diff_copy(struct diff *diff, int file, uint64_t offset, uint64_t size);

/* A regular file that is open, with its header. */
int diff_file(struct diff *diff, int file, const struct stat *found);

/* Reads the attributes of an open file or folder into `diff->xattrs`; *opaque: a mark says that a folder is. */
int diff_xattrs(struct diff *diff, int fd, bool *opaque);

/* The path under which this inode was written first, or NULL: it is this one. On failure *result is negative. */
const char *diff_first_link(struct diff *diff, const struct stat *found, int *result);

int gather(struct gathered *text, const void *bytes, size_t size);
/* One record of an extended header. */
int gather_record(struct gathered *text, const char *key, const void *value, size_t size);
int diff_fault(struct diff *diff, enum kb_layer_fault fault);

#endif
