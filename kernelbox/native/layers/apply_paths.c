/* Ways to entries. A name that the archive gives is resolved by openat2 as if the layer were all of the file system,
 * and only as far as the folder that the entry is in; what is done there is done to one name, and follows no link.
 *
 * A link on the way is followed where it leads to a folder of the layer, as other engines do. One that leads nowhere
 * in the layer was to lead out of it, or into a layer below, which is not there. */
#include "layers/apply.h"

#include <dirent.h>
#include <linux/openat2.h>

#include "syscalls.h"

static const uint64_t WITHIN = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;

int apply_open_folder(const struct apply *apply, const char *path)
{
    return sys_openat2(apply->root, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0, WITHIN);
}

static int refuse(struct apply *apply, int result)
{
    bool in_the_way = result == -ENOENT || result == -ENOTDIR || result == -ELOOP || result == -EXDEV;
    return in_the_way ? kb_tar_fault(apply->tar, KB_FAULT_THROUGH) : result;
}

/* One folder that the archive has no entry for, or none yet. */
static int make_missing(struct apply *apply, int parent, const char *name, const char *path,
                        const struct kb_entry *entry)
{
    struct stat found;
    if (!fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW) && !is_whiteout(&found))
        return kb_tar_fault(apply->tar, KB_FAULT_THROUGH);
    int fd = apply_make_folder(apply, parent, name);
    if (fd < 0)
        return fd;
    struct kb_entry implied = {
        .path = path, .mode = S_IFDIR | 0755, .mtime = entry->mtime, .mtime_ns = entry->mtime_ns};
    int result = apply_settle(apply, fd, &implied);
    apply->result->parents_made++;
    if (result >= 0)
        return fd;
    close(fd);
    return result;
}

/* Goes down `path`, from the root on, and makes what is missing. */
static int make_way(struct apply *apply, char path[PATH_MAX], const struct kb_entry *entry)
{
    int folder = apply_open_folder(apply, "");
    for (size_t at = 0, length; folder >= 0 && path[at]; at += length + (path[at + length] == '/')) {
        length = strcspn(path + at, "/");
        const char behind = path[at + length];
        path[at + length] = 0;
        int next = apply_open_folder(apply, path);
        if (next == -ENOENT || next == -ENOTDIR)
            next = make_missing(apply, folder, path + at, path, entry);
        path[at + length] = behind;
        close(folder);
        folder = next;
    }
    return folder;
}

/* The part before the last slash; returns the rest. */
static const char *split(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    memcpy(folder, path, length);
    folder[length] = 0;
    return slash ? slash + 1 : path;
}

int apply_parent(struct apply *apply, const char *path, const char **name, const struct kb_entry *entry)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    *name = slash ? slash + 1 : path;
    if (apply->parent >= 0 && !apply->stale && !strncmp(path, apply->parent_path, length) &&
        !apply->parent_path[length])
        return apply->parent;
    if (apply->parent >= 0)
        close(apply->parent);
    apply->stale = false;
    split(path, apply->parent_path);
    apply->parent = apply_open_folder(apply, apply->parent_path);
    if (apply->parent == -ENOENT || apply->parent == -ENOTDIR)
        apply->parent = make_way(apply, apply->parent_path, entry);
    int result = apply->parent;
    if (result >= 0)
        return result;
    apply->parent = -1;
    return refuse(apply, result);
}

int apply_find_parent(struct apply *apply, const char *path, const char **name)
{
    char folder[PATH_MAX];
    *name = split(path, folder);
    int result = apply_open_folder(apply, folder);
    bool nothing = result == -ENOENT || result == -ENOTDIR;
    return nothing ? kb_tar_fault(apply->tar, KB_FAULT_TARGET) : refuse(apply, result);
}

static int remove_tree(struct apply *apply, int parent, const char *name, int depth);

static int empty_folder(struct apply *apply, int fd, int depth)
{
    DIR *listing = fdopendir(fd);
    if (!listing) {
        close(fd);
        return -ENOMEM;
    }
    int result = 0;
    for (struct dirent *found; result >= 0 && (errno = 0, found = readdir(listing));)
        if (strcmp(found->d_name, ".") != 0 && strcmp(found->d_name, "..") != 0)
            result = remove_tree(apply, fd, found->d_name, depth + 1);
    result = result >= 0 && errno ? -errno : result;
    closedir(listing);
    return result;
}

static int remove_tree(struct apply *apply, int parent, const char *name, int depth)
{
    if (!unlinkat(parent, name, 0))
        return 0;
    if (errno != EISDIR)
        return -errno;
    if (depth > KB_MOST_DEPTH)
        return kb_tar_fault(apply->tar, KB_FAULT_DEPTH);
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = empty_folder(apply, fd, depth);
    return result < 0 ? result : or_errno(unlinkat(parent, name, AT_REMOVEDIR));
}

int apply_remove(struct apply *apply, int parent, const char *name)
{
    apply->stale = true;
    return remove_tree(apply, parent, name, 0);
}

int apply_make_folder(struct apply *apply, int parent, const char *name)
{
    struct stat found;
    bool hides = false;
    int result = or_errno(mkdirat(parent, name, 0700));
    if (result == -EEXIST && !fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW)) {
        hides = is_whiteout(&found);
        result = S_ISDIR(found.st_mode) ? 0 : apply_remove(apply, parent, name);
        if (result >= 0 && !S_ISDIR(found.st_mode))
            result = or_errno(mkdirat(parent, name, 0700));
    }
    if (result < 0)
        return result;
    int fd = or_errno(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (fd >= 0 && hides && (result = apply_mark_opaque(apply, fd)) < 0) {
        close(fd);
        return result;
    }
    return fd;
}
