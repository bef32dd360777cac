/* An overlay's upper folder becomes the archive of a layer: folders before what is in them, in each first what it
 * hides, then the rest, by the bytes of their names. What is open counts, not what a name said before. */
#include "layers/diff.h"

#include <dirent.h>
#include <stdio.h>

#include "layers/tar.h"
#include "syscalls.h"

static const char OPAQUE[] = ".wh..wh..opq", WHITEOUT[] = ".wh.";

/* Names in a folder; the first `whiteouts` of them are such. */
struct names {
    struct gathered text;
    size_t *at, count, room;
};

static int write_folder(struct diff *diff, int fd, const struct stat *found, int depth);

static int add_name(struct diff *diff, struct names *names, bool whiteout, const char *name)
{
    if (names->count >= diff->options->most_entries)
        return diff_fault(diff, KB_FAULT_ENTRIES);
    if (names->count == names->room) {
        size_t room = names->room ? 2 * names->room : 32, *at = realloc(names->at, room * sizeof *at);
        if (!at)
            return -ENOMEM;
        names->at = at;
        names->room = room;
    }
    names->at[names->count++] = names->text.used;
    int result = gather(&names->text, whiteout ? "0" : "1", 1);
    return result < 0 ? result : gather(&names->text, name, strlen(name) + 1);
}

static bool whiteout_at(int folder, const struct dirent *found)
{
    struct stat status;
    return (found->d_type == DT_CHR || found->d_type == DT_UNKNOWN) &&
           !fstatat(folder, found->d_name, &status, AT_SYMLINK_NOFOLLOW) && S_ISCHR(status.st_mode) && !status.st_rdev;
}

/* The stream has a descriptor of its own, since closing it closes that. */
static int list_folder(struct diff *diff, int folder, struct names *names)
{
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
    DIR *listing = fd < 0 ? NULL : fdopendir(fd);
    if (!listing) {
        result = -errno;
        if (fd >= 0)
            close(fd);
        return result;
    }
    for (struct dirent *found; result >= 0 && (errno = 0, found = readdir(listing));)
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            result = add_name(diff, names, whiteout_at(folder, found), found->d_name);
    result = result >= 0 && errno ? -errno : result;
    closedir(listing);
    return result;
}

static int by_text(const void *first, const void *second, void *text)
{
    return strcmp((char *)text + *(const size_t *)first, (char *)text + *(const size_t *)second);
}

/* Makes `diff->path` that of `name` in it; the caller sets the length back. */
static int enter(struct diff *diff, const char *before, const char *name)
{
    const size_t lead = strlen(before), length = strlen(name);
    if (diff->length + 1 + lead + length >= PATH_MAX || lead + length > NAME_MAX)
        return diff_fault(diff, KB_FAULT_NAME);
    if (diff->length)
        diff->path[diff->length++] = '/';
    memcpy(diff->path + diff->length, before, lead);
    memcpy(diff->path + diff->length + lead, name, length + 1);
    diff->length += lead + length;
    return 0;
}

static void leave(struct diff *diff, size_t length)
{
    diff->length = length;
    diff->path[length] = 0;
}

static int write_mark(struct diff *diff, const char *before, const char *name)
{
    const size_t length = diff->length;
    const struct stat plain = {.st_mode = S_IFREG | 0600};
    int result = enter(diff, before, name);
    if (result >= 0)
        result = diff_header(diff, '0', &plain, NULL, 0);
    if (result >= 0)
        leave(diff, length);
    return result;
}

static int write_opened(struct diff *diff, int folder, const char *name, const struct stat *seen, int depth)
{
    const bool is_folder = S_ISDIR(seen->st_mode);
    struct stat found;
    int fd =
        openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC | (is_folder ? O_DIRECTORY : O_NONBLOCK));
    if (fd < 0)
        return errno == ENOENT || errno == ELOOP || errno == ENOTDIR ? diff_fault(diff, KB_FAULT_CHANGED) : -errno;
    bool opaque;
    int result = or_errno(fstat(fd, &found));
    if (result >= 0 && (found.st_ino != seen->st_ino || (found.st_mode & S_IFMT) != (seen->st_mode & S_IFMT)))
        result = diff_fault(diff, KB_FAULT_CHANGED);
    if (result >= 0 && is_folder)
        result = write_folder(diff, fd, &found, depth);
    else if (result >= 0 && (result = diff_xattrs(diff, fd, &opaque)) >= 0)
        result = diff_file(diff, fd, &found);
    close(fd);
    return result;
}

static int write_link(struct diff *diff, int folder, const char *name, const struct stat *found)
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(folder, name, target, sizeof target - 1);
    if (length < 0)
        return errno == ENOENT || errno == EINVAL ? diff_fault(diff, KB_FAULT_CHANGED) : -errno;
    target[length] = 0;
    return diff_header(diff, '2', found, target, 0);
}

static int write_entry(struct diff *diff, int folder, const char *name, int depth)
{
    struct stat found;
    if (fstatat(folder, name, &found, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? diff_fault(diff, KB_FAULT_CHANGED) : -errno;
    if (kb_path_kind(name) != KB_PATH_PLAIN) /* it would say something else in an archive */
        return diff_fault(diff, KB_FAULT_WHITEOUT);
    if (found.st_nlink > 1 && !S_ISDIR(found.st_mode) && !S_ISSOCK(found.st_mode)) {
        int result = 0;
        const char *first = diff_first_link(diff, &found, &result);
        if (first || result < 0)
            return first ? diff_header(diff, '1', &found, first, 0) : result;
    }
    switch (found.st_mode & S_IFMT) {
    case S_IFDIR:
    case S_IFREG: return write_opened(diff, folder, name, &found, depth);
    case S_IFLNK: return write_link(diff, folder, name, &found);
    case S_IFCHR: return diff_header(diff, '3', &found, NULL, 0);
    case S_IFBLK: return diff_header(diff, '4', &found, NULL, 0);
    case S_IFIFO: return diff_header(diff, '6', &found, NULL, 0);
    default: diff->result->sockets_left++; return 0;
    }
}

static int write_names(struct diff *diff, int folder, const struct names *names, int depth)
{
    const size_t length = diff->length;
    int result = 0;
    for (size_t at = 0; at < names->count && result >= 0; at++) {
        const char *kind = names->text.bytes + names->at[at], *name = kind + 1;
        if (*kind == '0')
            result = write_mark(diff, WHITEOUT, name);
        else if ((result = enter(diff, "", name)) >= 0 && (result = write_entry(diff, folder, name, depth)) >= 0)
            leave(diff, length);
    }
    return result;
}

static int write_folder(struct diff *diff, int fd, const struct stat *found, int depth)
{
    struct names names = {0};
    bool opaque;
    if (depth > KB_MOST_DEPTH)
        return diff_fault(diff, KB_FAULT_DEPTH);
    int result = diff_xattrs(diff, fd, &opaque);
    if (result >= 0 && (diff->length || diff->options->flags & KB_LAYER_WITH_ROOT))
        result = diff_header(diff, '5', found, NULL, 0);
    if (result >= 0 && opaque)
        result = write_mark(diff, "", OPAQUE);
    if (result >= 0)
        result = list_folder(diff, fd, &names);
    if (result >= 0) {
        if (names.count)
            qsort_r(names.at, names.count, sizeof *names.at, by_text, names.text.bytes);
        result = write_names(diff, fd, &names, depth + 1);
    }
    free(names.text.bytes);
    free(names.at);
    return result;
}

static int write_all(struct diff *diff, int upper)
{
    static const char end[2 * BLOCK];
    struct stat found;
    int result = or_errno(fstat(upper, &found));
    if (result >= 0)
        result = write_folder(diff, upper, &found, 0);
    if (result >= 0)
        result = diff_write(diff, end, sizeof end);
    return result < 0 ? result : diff_flush(diff);
}

/* A pipe that is full must not keep us from being stopped, and the caller's end of it stays as it is. Where it cannot
 * be opened anew nobody reads it any more. */
static int unblocked(int output)
{
    char name[32];
    struct stat found;
    if (fstat(output, &found) || !S_ISFIFO(found.st_mode))
        return -1;
    snprintf(name, sizeof name, "/proc/self/fd/%d", output);
    return open(name, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

int kb_layer_diff(int upper, int output, const struct kb_layer_options *options, struct kb_layer_result *result)
{
    struct diff *diff = malloc(sizeof *diff);
    *result = (struct kb_layer_result){0};
    if (!diff)
        return -ENOMEM;
    memset(diff, 0, offsetof(struct diff, buffer));
    const int own = unblocked(output);
    diff->output = own < 0 ? output : own;
    diff->options = options;
    diff->result = result;
    int outcome = write_all(diff, upper);
    if (outcome < 0) {
        memccpy(result->name, diff->path, 0, sizeof result->name - 1);
        result->name[sizeof result->name - 1] = 0;
    }
    if (own >= 0)
        close(own);
    free(diff->links);
    free(diff->paths.bytes);
    free(diff->xattrs.bytes);
    free(diff->records.bytes);
    free(diff);
    return outcome;
}
