/* Paths of a container. The one way from a path to an object is openat2 beneath the container's root, to a descriptor
 * that
 * is then used; no path is ever resolved twice (a link swapped in between would lead elsewhere). */
#include "monitor.h"

#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>

static const uint64_t INSIDE = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

static int make_entry(int parent, const char *name, enum kb_target make)
{
    if (make == KB_TARGET_FOLDER)
        return or_errno(mkdirat(parent, name, 0755));
    int fd = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

/* Where a dangling link points to, as a path from the root: "/a/link" -> "../b/c" gives "/a/../b/c". */
static int follow_link(int parent, const char *name, const char *prefix, char out[PATH_MAX])
{
    char target[PATH_MAX];
    ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
    if (length < 0)
        return -errno;
    target[length] = 0;
    size_t lead = target[0] == '/' ? 0 : strlen(prefix);
    if (lead + (size_t)length + 2 > PATH_MAX)
        return -ENAMETOOLONG;
    memcpy(out, prefix, lead);
    out[lead] = '/';
    memcpy(out + lead + 1, target, (size_t)length + 1);
    return 0;
}

static int make_beneath(int root, const char *path, enum kb_target make, int links);

/* One component: `prefix` is the path so far, without it. Links that point nowhere are followed, as a program inside
 * would. */
static int make_component(int root, const char *prefix, const char *name, enum kb_target make, int links)
{
    char target[PATH_MAX];
    int parent = sys_openat2(root, *prefix ? prefix : "/", O_PATH | O_DIRECTORY, 0, INSIDE);
    if (parent < 0)
        return parent;
    int result = make_entry(parent, name, make);
    if (result == -EEXIST)
        result = links > 8 ? -ELOOP : follow_link(parent, name, prefix, target);
    else
        target[0] = 0;
    close(parent);
    if (result == -EINVAL) /* no link: somebody else has just made it */
        return 0;
    return !result && target[0] ? make_beneath(root, target, make, links + 1) : result;
}

static int make_beneath(int root, const char *path, enum kb_target make, int links)
{
    char walked[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof walked)
        return -ENAMETOOLONG;
    memcpy(walked, path, length + 1);
    while (length && walked[length - 1] == '/')
        walked[--length] = 0;
    for (char *at = walked; *at;) {
        char *name = at + strspn(at, "/"), *end = name + strcspn(name, "/");
        bool last = !*end;
        char ended_by = *end;
        *end = 0;
        int fd = sys_openat2(root, walked, O_PATH, 0, INSIDE);
        if (fd >= 0) {
            close(fd);
        } else if (fd != -ENOENT) {
            return fd;
        } else {
            char prefix[PATH_MAX];
            size_t before = (size_t)(name - walked);
            memcpy(prefix, walked, before);
            prefix[before] = 0;
            int result = make_component(root, prefix, name, last ? make : KB_TARGET_FOLDER, links);
            if (result < 0)
                return result;
        }
        *end = ended_by;
        at = end;
    }
    return 0;
}

int open_beneath(int root, const char *path, enum kb_target make)
{
    int fd = sys_openat2(root, path, O_PATH, 0, INSIDE);
    if (fd != -ENOENT || make == KB_TARGET_EXISTS)
        return fd;
    int result = make_beneath(root, path, make, 0);
    return result < 0 ? result : sys_openat2(root, path, O_PATH, 0, INSIDE);
}
