/* System calls that glibc of Debian 12 does not wrap; used by the extension and by the monitor. */
#pragma once

#include <linux/mount.h>
#include <sys/syscall.h>

#include "kb.h"

#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

static inline int or_errno(long result) { return result < 0 ? -errno : (int)result; }

/* Below a root, ".." is refused with EAGAIN where anything on the machine was renamed or mounted meanwhile: it might
 * have led out. The next attempt may do. */
enum { OPENAT2_TRIES = 128 };

static inline int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct { uint64_t flags, mode, resolve; } how = {flags | O_CLOEXEC, mode, resolve};
    int result, left = OPENAT2_TRIES;
    do
        result = or_errno(syscall(SYS_openat2, dir, path, &how, sizeof how));
    while (result == -EAGAIN && --left);
    return result;
}

static inline int sys_open_tree(int dir, const char *path, unsigned int flags)
{
    return or_errno(syscall(SYS_open_tree, dir, path, flags | OPEN_TREE_CLOEXEC));
}

static inline int sys_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned int flags)
{
    return or_errno(syscall(SYS_move_mount, from, from_path, to, to_path, flags));
}

static inline int sys_fsopen(const char *type) { return or_errno(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC)); }

static inline int sys_fsconfig(int fs, unsigned int command, const char *key, const char *value, int aux)
{
    return or_errno(syscall(SYS_fsconfig, fs, command, key, value, aux));
}

static inline int sys_fsmount(int fs, unsigned int attributes)
{
    return or_errno(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes));
}

static inline int sys_mount_setattr(int dir, const char *path, unsigned int flags, uint64_t set, uint64_t clear,
                                    uint64_t propagation, int userns)
{
    struct {
        uint64_t set, clear, propagation, userns;
    } attr = {set, clear, propagation, userns < 0 ? 0 : (uint64_t)userns};
    return or_errno(syscall(SYS_mount_setattr, dir, path, flags, &attr, sizeof attr));
}
