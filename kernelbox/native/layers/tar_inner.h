/* What the files of the tar reader share. */
#ifndef KB_LAYERS_TAR_INNER_H
#define KB_LAYERS_TAR_INNER_H

#include <limits.h>

#include "layers/tar.h"

enum {
    BLOCK = 512,
    BUFFER = 1 << 18,
    WHOLE = 1 << 16,        /* a file up to this size is one piece */
    MOST_HEADERS = 16,      /* in front of one entry */
    MOST_RECORDS = 1 << 20, /* bytes of one of them */
    MOST_XATTRS = 128,
    MOST_REGIONS = 1 << 20,
};

static const uint64_t MOST_SIZE = INT64_MAX;
static const uint64_t MOST_ID = UINT32_MAX - 1u; /* -1 says "leave it" to chown(2) */
static const int64_t MOST_SECONDS = (int64_t)1 << 40;

struct header {
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8], user[32],
        group[32], major[8], minor[8], prefix[155], rest[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "a header is one block");

struct text {
    char *bytes; /* with a NUL behind it; NULL: there is none */
    size_t size;
};

struct region { uint64_t offset, size; };

struct time {
    int64_t seconds;
    uint32_t ns;
};

/* What extended headers said, in place of fields of the header. Text is in `tar->own_text`. */
struct records {
    struct text path, link, sparse_name;
    bool has_size, has_uid, has_gid, has_mtime, has_real_size;
    uint64_t size, uid, gid, real_size;
    struct time mtime;
    uint64_t sparse_major, sparse_minor;
    bool sparse, half_region;
    struct kb_xattr xattrs[MOST_XATTRS];
    size_t xattr_count;
};

struct kb_tar {
    int input;
    const struct kb_layer_options *options;
    struct kb_layer_result *result;

    size_t begin, end; /* what of the buffer has not been used */
    bool ended;
    uint64_t left; /* of the entry's content, in the archive */
    unsigned int padding;

    struct region *regions; /* of the content, in order; a file without holes is one */
    size_t region_count, region_room, region;
    uint64_t done; /* of that region */

    struct text own_text, every_text, long_name, long_link;
    struct records own, every; /* of the next entry, of all that follow */
    const char *called;        /* the entry's name as it stands there */
    char header_name[sizeof((struct header *)0)->prefix + 1 + 100 + 1], header_link[101];
    char path[PATH_MAX], link[PATH_MAX];
    char buffer[BUFFER];
};

/* Input. At least `size` bytes (at most WHOLE) at once: 1; 0 where the input ends first, with what there is. */
int tar_fill(struct kb_tar *tar, size_t size);
/* The next block, or NULL with *result: 0 at the end of the input, negative on failure. */
const char *tar_block(struct kb_tar *tar, int *result);
int tar_skip(struct kb_tar *tar, uint64_t size);
/* Content of a header of `size` bytes, with its padding, in place of what was in `text`. */
int tar_text(struct kb_tar *tar, uint64_t size, struct text *text);

/* Numbers: false where it is none, or out of bounds. */
bool tar_number(const char *field, size_t size, int64_t *number);
bool tar_decimal(const char *text, uint64_t most, uint64_t *number);
bool tar_time(const char *text, struct time *time);

/* Names: KB_FAULT_NONE and the cleaned path, or what is wrong with it. */
enum kb_layer_fault tar_clean(const char *name, char path[PATH_MAX]);

/* Extended headers: takes `text` apart, which is changed by it. */
int tar_records(struct kb_tar *tar, const struct text *text, struct records *records, bool every);
/* Leaves those attributes that files of this kind have and that an archive may set. */
void tar_choose_xattrs(struct kb_tar *tar, struct records *records, uint32_t mode);

/* Sparse files. */
int tar_add_region(struct kb_tar *tar, uint64_t offset, uint64_t size);
int tar_sparse_text(struct kb_tar *tar, char *map);
int tar_sparse_old(struct kb_tar *tar, const struct header *header, uint64_t *real_size);
int tar_sparse_inline(struct kb_tar *tar);
/* The regions must be in order, within the file and all that is in the archive. */
int tar_check_regions(struct kb_tar *tar, uint64_t real_size);

#endif
