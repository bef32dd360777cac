/* Extended attributes of a file in an overlay's upper folder: those that an archive has, and overlay's own marks. */
#include "layers/diff.h"

#include <linux/capability.h>
#include <sys/xattr.h>

#include "layers/ids.h"

static const char CAPABILITY[] = "security.capability", USER[] = "user.", NESTED[] = "user.overlay.";

static bool begins(const char *text, const char *with) { return !strncmp(text, with, strlen(with)); }

/* Capabilities that a container's root gave count for its user namespace only, by the id of that root on disk. In the
 * archive they are a root's. */
static bool natural_capability(struct diff *diff, void *value, size_t *size)
{
    uint32_t words[6] = {0}, root;
    if (*size != XATTR_CAPS_SZ_2 && *size != XATTR_CAPS_SZ_3)
        return false;
    memcpy(words, value, *size);
    if (*size == XATTR_CAPS_SZ_2)
        return true;
    const struct kb_layer_options *options = diff->options;
    if (!id_inside(options->uids, options->uid_ranges, le32toh(words[5]), &root) || root)
        return false;
    words[0] = htole32(VFS_CAP_REVISION_2 | (le32toh(words[0]) & VFS_CAP_FLAGS_EFFECTIVE));
    memcpy(value, words, *size = XATTR_CAPS_SZ_2);
    return true;
}

/* What overlay says of itself is translated; whatever else would change what is seen, and cannot be, is a fault. */
static int take_mark(struct diff *diff, int fd, const char *name, const char *mark, bool *opaque)
{
    char value[2];
    if (!strcmp(mark, "redirect") || !strcmp(mark, "metacopy") || !strcmp(mark, "whiteout"))
        return diff_fault(diff, KB_FAULT_MARK);
    if (strcmp(mark, "opaque") != 0)
        return 0;
    ssize_t size = fgetxattr(fd, name, value, sizeof value);
    if (size < 0 && errno != ERANGE)
        return -errno;
    *opaque = size == 1 && value[0] == 'y';
    return *opaque ? 0 : diff_fault(diff, KB_FAULT_MARK);
}

static int take_xattr(struct diff *diff, int fd, const char *name, char *value, bool *opaque)
{
    const char *marks = diff->options->flags & KB_LAYER_ROOTLESS ? "user.overlay." : "trusted.overlay.";
    const bool capability = !strcmp(name, CAPABILITY);
    char key[XATTR_NAME_MAX + 16];
    if (begins(name, marks))
        return take_mark(diff, fd, name, name + strlen(marks), opaque);
    if (!capability && (!begins(name, USER) || begins(name, NESTED))) {
        diff->result->xattrs_left++;
        return 0;
    }
    ssize_t count = fgetxattr(fd, name, value, XATTR_SIZE_MAX);
    if (count < 0)
        return -errno;
    size_t size = (size_t)count;
    if (capability && !natural_capability(diff, value, &size)) {
        diff->result->xattrs_left++;
        return 0;
    }
    if (strchr(name, '=')) /* a record's key cannot have one */
        return diff_fault(diff, KB_FAULT_RECORDS);
    memcpy(key, "SCHILY.xattr.", 13);
    memcpy(key + 13, name, strlen(name) + 1);
    return gather_record(&diff->xattrs, key, value, size);
}

static int by_name(const void *first, const void *second)
{
    return strcmp(*(char *const *)first, *(char *const *)second);
}

static int take_all(struct diff *diff, int fd, char *names, size_t size, bool *opaque)
{
    char *sorted[MOST_XATTRS], *value;
    size_t count = 0;
    for (char *name = names; name < names + size; name += strlen(name) + 1) {
        if (count == MOST_XATTRS)
            return diff_fault(diff, KB_FAULT_RECORDS);
        sorted[count++] = name;
    }
    if (!(value = malloc(XATTR_SIZE_MAX)))
        return -ENOMEM;
    int result = 0;
    qsort(sorted, count, sizeof *sorted, by_name);
    for (size_t at = 0; at < count && result >= 0; at++)
        result = take_xattr(diff, fd, sorted[at], value, opaque);
    free(value);
    return result;
}

int diff_xattrs(struct diff *diff, int fd, bool *opaque)
{
    *opaque = false;
    diff->xattrs.used = 0;
    char some[1024], *names = some;
    ssize_t size = flistxattr(fd, some, sizeof some);
    if (size < 0 && errno == ERANGE) {
        if (!(names = malloc(XATTR_LIST_MAX)))
            return -ENOMEM;
        size = flistxattr(fd, names, XATTR_LIST_MAX);
    }
    int result = size < 0 && errno != EOPNOTSUPP ? -errno : 0;
    if (size > 0)
        result = take_all(diff, fd, names, (size_t)size, opaque);
    if (names != some)
        free(names);
    return result;
}
