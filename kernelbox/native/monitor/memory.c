/* The shared memory of another container: its /dev/shm, in which ids are the same for both, though on the machine they
 * have none in common. */
#include "monitor.h"

#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

/* The root of a tmpfs, nothing else that somebody may have put in its place, or on the way to it. */
static bool is_memory(int place)
{
    struct statx status;
    struct statfs system;
    return !statx(place, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) &&
           status.stx_attributes & STATX_ATTR_MOUNT_ROOT && !fstatfs(place, &system) && system.f_type == TMPFS_MAGIC;
}

/* In the other one's mount namespace: a mount can be copied only from there. */
static int clone_memory(struct plan *plan, const struct kb_op *op, struct opened *opened)
{
    const uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    if (setns(slot_fd(plan, op->slot[1]), CLONE_NEWNS))
        return -errno;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    int place = root < 0 ? -errno : sys_openat2(root, "dev/shm", O_PATH | O_DIRECTORY, 0, resolve);
    if (place < 0)
        return place;
    if (!is_memory(place))
        return -ENODEV;
    opened->fd[0] = sys_open_tree(place, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    return opened->fd[0] < 0 ? opened->fd[0] : 0;
}

/* The first line of user_namespaces(7)'s map, which for a container is the only one: from which id on, and how many. */
static int read_map(int pid, const char *name, unsigned int *first, unsigned int *count)
{
    char path[32], text[128];
    snprintf(path, sizeof path, "%d/%s", pid, name);
    int fd = openat(monitor.proc, path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    int result = size < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    if (result)
        return result;
    text[size] = 0;
    return sscanf(text, "%*u %u %u", first, count) == 2 ? 0 : -EINVAL;
}

/* A map that shows the ids of the process as those from `first` on; empty where they are the same. */
static int shown_as(int pid, const char *name, uint64_t first, uint64_t most, char text[64])
{
    unsigned int other, count;
    int result = read_map(pid, name, &other, &count);
    text[0] = 0;
    if (!result && other != first)
        snprintf(text, 64, "%u %u %u", other, (unsigned int)first, count < most ? count : (unsigned int)most);
    return result;
}

static int show_ids(int mount, const struct kb_op *op, const char *users, const char *groups)
{
    const uint64_t safe = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
    if (!op->num[0] || !*users || !*groups)
        return sys_mount_setattr(mount, "", AT_EMPTY_PATH, safe, 0, MS_PRIVATE, -1);
    int userns = userns_make(users, groups);
    if (userns < 0)
        return userns;
    int result = sys_mount_setattr(mount, "", AT_EMPTY_PATH, safe | MOUNT_ATTR_IDMAP, 0, MS_PRIVATE, userns);
    close(userns);
    return result;
}

OPERATION(op_share_memory)
{
    char users[64] = "", groups[64] = "";
    struct opened opened;
    const struct container *other = container_find(text_at(plan, op->text[0]));
    if (!other || other->watch.fd < 0)
        return -ESRCH;
    if (other->paused)
        return -EBUSY;
    int result = keep_fd(plan, op->slot[1], or_errno(fcntl(other->watch.fd, F_DUPFD_CLOEXEC, 3)));
    if (!result && op->num[0])
        result = shown_as(other->pid, "uid_map", op->num[1], op->num[0], users);
    if (!result && op->num[0])
        result = shown_as(other->pid, "gid_map", op->num[2], op->num[0], groups);
    if (!result) /* only now it is sure that the number was still its own */
        result = or_errno(syscall(SYS_pidfd_send_signal, slot_fd(plan, op->slot[1]), 0, NULL, 0));
    if (!result)
        result = aside(plan, op, (struct hostage){slot_fd(plan, op->slot[1]), -1}, clone_memory, &opened);
    if (result)
        return result;
    result = show_ids(opened.fd[0], op, users, groups);
    int kept = keep_fd(plan, op->slot[3], opened.fd[0]);
    return result ? result : kept;
}
