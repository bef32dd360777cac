/* Terminals of containers: one side for whoever watches, the other for the process. */
#include "monitor.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

static const int flags = O_RDWR | O_NOCTTY | O_CLOEXEC;

static int open_peer(int master, const struct kb_op *op)
{
    int unlocked = 0;
    struct winsize size = {.ws_row = (unsigned short)op->num[0], .ws_col = (unsigned short)op->num[1]};
    if (ioctl(master, TIOCSPTLCK, &unlocked) || (size.ws_row && ioctl(master, TIOCSWINSZ, &size)))
        return -errno;
    return or_errno(ioctl(master, TIOCGPTPEER, flags));
}

OPERATION(op_pty_peer) { return keep_fd(plan, op->slot[3], open_peer(slot_fd(plan, op->slot[0]), op)); }

/* Of a container that runs anything may lie where its terminals are made: a file too whose file system answers to every
 * request with the number of one of our descriptors, or never. So that is not asked: what it is the kernel knows since
 * it was looked up, and a file that is no device of terminals is not opened at all. */
static bool is_terminal_maker(int fd)
{
    struct statx found;
    return !statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &found) && S_ISCHR(found.stx_mode) &&
           found.stx_rdev_major == 5 && found.stx_rdev_minor == 2;
}

static int open_inside(struct plan *plan, const struct kb_op *op, struct opened *opened)
{
    char path[32];
    const uint64_t resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS;
    int place = sys_openat2(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), O_PATH, 0, resolve);
    if (place < 0)
        return place;
    if (!is_terminal_maker(place))
        return -ENOTTY;
    snprintf(path, sizeof path, "self/fd/%d", place);
    opened->fd[0] = or_errno(openat(monitor.proc, path, flags));
    if (opened->fd[0] < 0)
        return opened->fd[0];
    opened->fd[1] = open_peer(opened->fd[0], op);
    return opened->fd[1] < 0 ? opened->fd[1] : 0;
}

OPERATION(op_pty_inside)
{
    struct opened opened;
    struct hostage hostage = {slot_fd(plan, op->slot[1]), op->num[2] ? slot_fd(plan, (int)op->num[2] - 1) : -1};
    int result = aside(plan, op, hostage, open_inside, &opened);
    if (result)
        return result;
    result = keep_fd(plan, op->slot[2], opened.fd[0]);
    int other = keep_fd(plan, op->slot[3], opened.fd[1]);
    return result ? result : other;
}
