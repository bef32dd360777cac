/* Headers of entries: POSIX.1-2001. An extended one stands in front only where a plain one cannot say it, so that the
 * same file always has the same header. */
#include "layers/diff.h"

#include <stdio.h>
#include <sys/sysmacros.h>

#include "layers/ids.h"

static const uint64_t MOST_OCTAL_7 = 07777777, MOST_OCTAL_11 = 077777777777;

/* Digits and a NUL; what does not fit stands in a record, and here is 0. */
static void octal(char *field, size_t size, uint64_t number)
{
    field[--size] = 0;
    for (; size; number >>= 3)
        field[--size] = (char)('0' + (number & 7));
}

static int number_record(struct diff *diff, const char *key, uint64_t number)
{
    char text[24];
    int count = snprintf(text, sizeof text, "%llu", (unsigned long long)number);
    return gather_record(&diff->records, key, text, (size_t)count);
}

/* Without zeros at its end. */
static int time_record(struct diff *diff, const struct timespec *time)
{
    char text[40];
    const bool before = time->tv_sec < 0 && time->tv_nsec;
    const long long seconds = before ? -(time->tv_sec + 1) : (long long)time->tv_sec;
    const long ns = before ? 1000 * 1000 * 1000 - time->tv_nsec : time->tv_nsec;
    int count = snprintf(text, sizeof text, "%s%lld.%09ld", before ? "-" : "", seconds, ns);
    while (text[count - 1] == '0')
        count--;
    count -= text[count - 1] == '.';
    return gather_record(&diff->records, "mtime", text, (size_t)count);
}

/* Where to cut a long path in two for the fields of ustar: the length of the first part, 0 if it cannot be. */
static size_t cut_of(const char *path, size_t length)
{
    const size_t prefix = sizeof((struct header *)0)->prefix, name = sizeof((struct header *)0)->name;
    for (size_t at = length > name + 1 ? length - name - 1 : 0; at && at <= prefix && at + 1 < length; at++)
        if (path[at] == '/')
            return at;
    return 0;
}

static int set_path(struct diff *diff, struct header *header, const char *path, size_t length)
{
    if (length <= sizeof header->name) {
        memcpy(header->name, path, length);
        return 0;
    }
    const size_t cut = cut_of(path, length);
    if (cut) {
        memcpy(header->prefix, path, cut);
        memcpy(header->name, path + cut + 1, length - cut - 1);
        return 0;
    }
    memcpy(header->name, path, sizeof header->name);
    return gather_record(&diff->records, "path", path, length);
}

static void seal(struct header *header)
{
    unsigned int sum = 0;
    memcpy(header->magic,
           "ustar\0"
           "00",
           sizeof header->magic);
    memset(header->checksum, ' ', sizeof header->checksum);
    for (size_t at = 0; at < sizeof *header; at++)
        sum += ((const unsigned char *)header)[at];
    octal(header->checksum, sizeof header->checksum - 1, sum);
}

/* The extended header itself, called after what it belongs to. */
static int write_records(struct diff *diff)
{
    struct header header = {.type = 'x'};
    const char *slash = strrchr(diff->path, '/'), *name = slash ? slash + 1 : diff->path;
    if (diff->records.used > MOST_RECORDS)
        return diff_fault(diff, KB_FAULT_RECORDS);
    memcpy(header.name, "PaxHeaders.0/", 13);
    memcpy(header.name + 13, name, strnlen(name, sizeof header.name - 13));
    octal(header.mode, sizeof header.mode, 0644);
    octal(header.uid, sizeof header.uid, 0);
    octal(header.gid, sizeof header.gid, 0);
    octal(header.size, sizeof header.size, diff->records.used);
    octal(header.mtime, sizeof header.mtime, 0);
    seal(&header);
    int result = diff_write(diff, &header, sizeof header);
    if (result >= 0 && (result = diff_write(diff, diff->records.bytes, diff->records.used)) >= 0)
        result = diff_pad(diff);
    return result;
}

static void owner(struct diff *diff, const struct stat *found, uint32_t *uid, uint32_t *gid)
{
    const struct kb_layer_options *options = diff->options;
    if (options->flags & KB_LAYER_ONE_OWNER) {
        *uid = *gid = 0;
        return;
    }
    const bool user = id_inside(options->uids, options->uid_ranges, found->st_uid, uid);
    const bool group = id_inside(options->gids, options->gid_ranges, found->st_gid, gid);
    if (user && group)
        return;
    *uid = user ? *uid : 65534;
    *gid = group ? *gid : 65534;
    diff->result->owners_folded++;
}

/* In the order of their keys: records of a sparse file and attributes are there already. */
static int set_fields(struct diff *diff, struct header *header, const struct stat *found, const char *link,
                      uint64_t size)
{
    uint32_t uid, gid;
    int result = 0;
    char path[PATH_MAX + 1];
    size_t length = diff->length;
    owner(diff, found, &uid, &gid);
    octal(header->mode, sizeof header->mode, found->st_mode & 07777);
    octal(header->uid, sizeof header->uid, uid > MOST_OCTAL_7 ? 0 : uid);
    octal(header->gid, sizeof header->gid, gid > MOST_OCTAL_7 ? 0 : gid);
    if (gid > MOST_OCTAL_7)
        result = number_record(diff, "gid", gid);
    if (link && strlen(link) > sizeof header->link && result >= 0)
        result = gather_record(&diff->records, "linkpath", link, strlen(link));
    if (link)
        memcpy(header->link, link, strnlen(link, sizeof header->link));
    const struct timespec *time = &found->st_mtim;
    const bool plain = time->tv_sec >= 0 && (uint64_t)time->tv_sec <= MOST_OCTAL_11 && !time->tv_nsec;
    octal(header->mtime, sizeof header->mtime, plain ? (uint64_t)time->tv_sec : 0);
    if (!plain && result >= 0)
        result = time_record(diff, time);
    memcpy(path, diff->path, length);
    if (S_ISDIR(found->st_mode))
        path[length++] = '/';
    if (result >= 0)
        result = set_path(diff, header, path, length);
    octal(header->size, sizeof header->size, size > MOST_OCTAL_11 ? 0 : size);
    if (size > MOST_OCTAL_11 && result >= 0)
        result = number_record(diff, "size", size);
    return uid > MOST_OCTAL_7 && result >= 0 ? number_record(diff, "uid", uid) : result;
}

int diff_header(struct diff *diff, char type, const struct stat *found, const char *link, uint64_t size)
{
    struct header header = {.type = type};
    const bool device = type == '3' || type == '4';
    int result = gather(&diff->records, diff->xattrs.bytes, diff->xattrs.used);
    if (result >= 0)
        result = set_fields(diff, &header, found, link, size);
    octal(header.major, sizeof header.major, device ? major(found->st_rdev) : 0);
    octal(header.minor, sizeof header.minor, device ? minor(found->st_rdev) : 0);
    seal(&header);
    if (result >= 0 && diff->records.used)
        result = write_records(diff);
    diff->records.used = diff->xattrs.used = 0;
    const struct kb_layer_options *options = diff->options;
    if (++diff->result->entries > options->most_entries)
        return diff_fault(diff, KB_FAULT_ENTRIES);
    if (size > options->most_bytes || diff->result->bytes > options->most_bytes - size)
        return diff_fault(diff, KB_FAULT_BYTES);
    diff->result->bytes += size;
    return result < 0 ? result : diff_write(diff, &header, sizeof header);
}
