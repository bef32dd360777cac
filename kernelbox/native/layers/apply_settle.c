/* What an entry says about a file beside its content, in the order that keeps it: changing the owner clears set-id bits
 * and capabilities, and a folder's time changes with every entry that is made in it. */
#include "layers/apply.h"

#include <stdio.h>
#include <sys/xattr.h>

#include "layers/ids.h"
#include "syscalls.h"

int apply_mark_opaque(struct apply *apply, int folder)
{
    bool rootless = apply->options->flags & KB_LAYER_ROOTLESS;
    const char *mark = rootless ? "user.overlay.opaque" : "trusted.overlay.opaque";
    return or_errno(fsetxattr(folder, mark, "y", 1, 0));
}

/* The ids on disk. Those that no range has, or that this user namespace does not know, become the caller's. */
static void owner_of(struct apply *apply, const struct kb_entry *entry, uint32_t *uid, uint32_t *gid)
{
    const struct kb_layer_options *options = apply->options;
    bool one = options->flags & KB_LAYER_ONE_OWNER;
    bool user = !one && id_outside(options->uids, options->uid_ranges, entry->uid, uid);
    bool group = !one && id_outside(options->gids, options->gid_ranges, entry->gid, gid);
    if (!user)
        *uid = geteuid();
    if (!group)
        *gid = getegid();
    if (one ? entry->uid || entry->gid : !user || !group) /* the one owner is whom a container has as its root */
        apply->result->owners_folded++;
}

/* Only what is not so yet is set: `found` is what it was made with. */
static int set_owner(struct apply *apply, int fd, const char *name, const struct kb_entry *entry,
                     const struct stat *found)
{
    uint32_t uid, gid;
    owner_of(apply, entry, &uid, &gid);
    if (found->st_uid == uid && found->st_gid == gid)
        return 0;
    int result = or_errno(fchownat(fd, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
    if (result != -EINVAL)
        return result;
    apply->result->owners_folded++;
    return 0;
}

static int set_xattrs(struct apply *apply, int fd, const struct kb_entry *entry)
{
    for (size_t at = 0; at < entry->xattr_count; at++) {
        const struct kb_xattr *xattr = &entry->xattrs[at];
        if (!fsetxattr(fd, xattr->name, xattr->value, xattr->size, 0))
            continue;
        if (errno != EPERM && errno != EOPNOTSUPP)
            return -errno;
        apply->result->xattrs_left++;
    }
    return 0;
}

static int set_times(int fd, const char *name, int64_t mtime, uint32_t mtime_ns)
{
    struct timespec time = {mtime, mtime_ns}, both[2] = {time, time};
    return or_errno(name ? utimensat(fd, name, both, AT_SYMLINK_NOFOLLOW) : futimens(fd, both));
}

static bool path_of(int fd, char path[PATH_MAX])
{
    char link[32];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
    return size > 0;
}

/* Where a folder lies in the layer. The entry may have come to it through links, which need not be there at the end; as
 * the entry says it where the kernel does not tell. */
static const char *place_of(const struct apply *apply, int fd, const char *said, char path[PATH_MAX])
{
    char root[PATH_MAX];
    if (!path_of(apply->root, root) || !path_of(fd, path))
        return said;
    size_t size = strcmp(root, "/") != 0 ? strlen(root) : 0;
    if (strncmp(path, root, size) != 0 || (path[size] && path[size] != '/'))
        return said;
    return path + size + (path[size] == '/');
}

static int note_folder(struct apply *apply, int fd, const struct kb_entry *entry, ino_t inode)
{
    char place[PATH_MAX];
    const char *path = place_of(apply, fd, entry->path, place);
    size_t length = strlen(path) + 1;
    if (apply->folder_count == apply->folder_room) {
        size_t room = apply->folder_room ? 2 * apply->folder_room : 256;
        struct folder *folders = realloc(apply->folders, room * sizeof *folders);
        if (!folders)
            return -ENOMEM;
        apply->folders = folders;
        apply->folder_room = room;
    }
    if (apply->paths_used + length > apply->paths_room) {
        size_t room = 2 * apply->paths_room + PATH_MAX;
        char *paths = realloc(apply->paths, room);
        if (!paths)
            return -ENOMEM;
        apply->paths = paths;
        apply->paths_room = room;
    }
    memcpy(apply->paths + apply->paths_used, path, length);
    apply->folders[apply->folder_count] = (struct folder){apply->paths_used, apply->folder_count, inode,
                                                          entry->mtime,      entry->mtime_ns,     entry->mode & 07777};
    apply->folder_count++;
    apply->paths_used += length;
    return 0;
}

int apply_settle(struct apply *apply, int fd, const struct kb_entry *entry)
{
    struct stat found;
    int result = or_errno(fstat(fd, &found));
    if (result < 0 || (result = set_owner(apply, fd, "", entry, &found)) < 0 ||
        (result = set_xattrs(apply, fd, entry)) < 0)
        return result;
    if (S_ISDIR(entry->mode))
        return note_folder(apply, fd, entry, found.st_ino);
    mode_t mode = entry->mode & 07777;
    if ((found.st_mode & 07777) != mode && (result = or_errno(fchmod(fd, mode))) < 0)
        return result;
    return set_times(fd, NULL, entry->mtime, entry->mtime_ns);
}

int apply_settle_name(struct apply *apply, int parent, const char *name, const struct kb_entry *entry)
{
    struct stat found;
    int result = or_errno(fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW));
    if (result < 0 || (result = set_owner(apply, parent, name, entry, &found)) < 0)
        return result;
    mode_t mode = entry->mode & 07777;
    if (!S_ISLNK(entry->mode) && (found.st_mode & 07777) != mode)
        result = or_errno(fchmodat(parent, name, mode, 0));
    return result < 0 ? result : set_times(parent, name, entry->mtime, entry->mtime_ns);
}

static int by_path(const void *first, const void *second, void *paths)
{
    const struct folder *one = first, *other = second;
    int order = strcmp((char *)paths + other->path, (char *)paths + one->path);
    return order ? order : (one->number > other->number) - (one->number < other->number);
}

static int settle_folder(struct apply *apply, const struct folder *folder)
{
    struct stat found;
    int fd = apply_open_folder(apply, apply->paths + folder->path);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
        return 0; /* a later entry took its place, or that of a folder on the way */
    if (fd < 0)
        return fd;
    int result = or_errno(fstat(fd, &found));
    if (result >= 0 && found.st_ino == folder->inode && (result = or_errno(fchmod(fd, folder->mode))) >= 0)
        result = set_times(fd, NULL, folder->mtime, folder->mtime_ns);
    close(fd);
    return result;
}

/* What is in a folder comes before it, for somebody who may not go into it with its final mode; of two entries for the
 * same folder the later one counts. */
int apply_settle_folders(struct apply *apply)
{
    int result = 0;
    if (apply->folder_count)
        qsort_r(apply->folders, apply->folder_count, sizeof *apply->folders, by_path, apply->paths);
    for (size_t at = 0; at < apply->folder_count && result >= 0; at++)
        result = settle_folder(apply, &apply->folders[at]);
    return result;
}
