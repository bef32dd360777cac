/* Paths of a container. The one way from a path to an object is openat2 beneath the container's root, to a descriptor
 * that is then used; no path is ever resolved twice (a link swapped in between would lead elsewhere). */
#include "monitor.h"

#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>

enum { MOST_LINKS = 8 };

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

/* What is to be walked instead of `path` once the dangling link in it has been read: "/a/link/x" -> "../b" gives
 * "/a/../b/x". `at` is where the link's name begins, `rest` what follows the name. */
static int follow_link(int parent, const char *name, char path[PATH_MAX], size_t at, const char *rest)
{
    char joined[PATH_MAX], *end = joined;
    size_t left = strlen(rest);
    ssize_t length = readlinkat(parent, name, joined, sizeof joined - 1);
    if (length < 0)
        return -errno;
    size_t lead = joined[0] == '/' ? 0 : at;
    if (lead + (size_t)length + left >= PATH_MAX)
        return -ENAMETOOLONG;
    memmove(joined + lead, joined, (size_t)length);
    memcpy(joined, path, lead);
    end += lead + (size_t)length;
    memcpy(end, rest, left + 1);
    memcpy(path, joined, (size_t)(end - joined) + left + 1);
    return 0;
}

/* One missing component, at `at` of `path`; 1 where it turned out to be a link that points nowhere, and `path` leads
 * there now. */
static int make_component(int root, char path[PATH_MAX], size_t at, size_t length, enum kb_target make)
{
    char name[NAME_MAX + 1], before = path[at];
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(name, path + at, length);
    name[length] = 0;
    path[at] = 0;
    int parent = sys_openat2(root, at ? path : "/", O_PATH | O_DIRECTORY, 0, INSIDE);
    path[at] = before;
    if (parent < 0)
        return parent;
    int result = make_entry(parent, name, make);
    if (result == -EEXIST) {
        result = follow_link(parent, name, path, at, path + at + length);
        result = result == -EINVAL ? 0 : result < 0 ? result : 1; /* no link: somebody else has just made it */
    }
    close(parent);
    return result;
}

/* Makes what is missing of the path. Links that point nowhere are followed, as a program inside would. */
static int make_beneath(int root, const char *wanted, enum kb_target make)
{
    char path[PATH_MAX];
    size_t length = strlen(wanted);
    while (length && wanted[length - 1] == '/')
        length--;
    if (length >= sizeof path)
        return -ENAMETOOLONG;
    memcpy(path, wanted, length);
    path[length] = 0;
    for (int links = 0, at = 0; path[at];) {
        int begin = at + (int)strspn(path + at, "/"), end = begin + (int)strcspn(path + begin, "/");
        char behind = path[end];
        path[end] = 0;
        int fd = sys_openat2(root, path, O_PATH, 0, INSIDE), result = 0;
        path[end] = behind;
        if (fd >= 0)
            close(fd);
        else if (fd == -ENOENT)
            result = make_component(root, path, (size_t)begin, (size_t)(end - begin), behind ? KB_TARGET_FOLDER : make);
        else
            result = fd;
        if (result < 0)
            return result;
        if (result && ++links > MOST_LINKS)
            return -ELOOP;
        at = result ? 0 : end;
    }
    return 0;
}

int open_beneath(int root, const char *path, enum kb_target make)
{
    int fd = sys_openat2(root, path, O_PATH, 0, INSIDE);
    if (fd != -ENOENT || make == KB_TARGET_EXISTS)
        return fd;
    int result = make_beneath(root, path, make);
    return result < 0 ? result : sys_openat2(root, path, O_PATH, 0, INSIDE);
}
