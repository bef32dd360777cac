/* Operations on mounts. Mounts are made detached and attached to descriptors; inside a container no path is used
 * twice. */
#include "monitor.h"

#include <linux/openat2.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

OPERATION(op_open_tree)
{
    const char *path = text_at(plan, op->text[0]);
    unsigned int flags = (unsigned int)op->num[0] | (path ? 0 : AT_EMPTY_PATH);
    return keep_fd(plan, op->slot[3], sys_open_tree(slot_fd(plan, op->slot[0]), path ? path : "", flags));
}

OPERATION(op_set_attr)
{
    int userns = op->slot[1] == KB_NO_SLOT ? -1 : slot_fd(plan, op->slot[1]);
    return sys_mount_setattr(slot_fd(plan, op->slot[0]), "", AT_EMPTY_PATH | (unsigned int)op->num[3], op->num[0],
                             op->num[1], op->num[2], userns);
}

OPERATION(op_fsopen) { return keep_fd(plan, op->slot[3], sys_fsopen(text_at(plan, op->text[0]))); }

/* What the kernel has to say about a file system context that refused: up to a line of text, "e message". */
static int with_kernel_words(int fs, int result)
{
    char words[256];
    ssize_t count;
    if (result < 0 && (count = read(fs, words, sizeof words)) > 0)
        record_add(0, words, (size_t)count);
    return result;
}

OPERATION(op_fsconfig)
{
    int fs = slot_fd(plan, op->slot[0]);
    int aux = op->slot[1] == KB_NO_SLOT ? 0 : slot_fd(plan, op->slot[1]);
    return with_kernel_words(
        fs, sys_fsconfig(fs, (unsigned int)op->num[0], text_at(plan, op->text[0]), text_at(plan, op->text[1]), aux));
}

/* What is made where ids are mapped must be made as an id of the container; that must not cost us our capabilities.
 * With 0 and 0 nothing is changed. */
static int begin_as(uint64_t uid, uint64_t gid)
{
    if (!uid && !gid)
        return 0;
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP))
        return -errno;
    setfsgid((gid_t)gid);
    setfsuid((uid_t)uid);
    return 0;
}

static void end_as(uint64_t uid, uint64_t gid)
{
    if (!uid && !gid)
        return;
    setfsuid(0);
    setfsgid(0);
    prctl(PR_SET_SECUREBITS, 0);
}

/* Overlay makes its work folder as the caller, and silently becomes read-only where it cannot. */
OPERATION(op_fscreate)
{
    int fs = slot_fd(plan, op->slot[0]), result = begin_as(op->num[0], op->num[1]);
    if (result)
        return result;
    result = with_kernel_words(fs, sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    end_as(op->num[0], op->num[1]);
    return result;
}

OPERATION(op_fsmount)
{
    int fs = slot_fd(plan, op->slot[0]);
    int result = with_kernel_words(fs, sys_fsmount(fs, (unsigned int)op->num[0]));
    if (result < 0)
        return result;
    drop_fd(plan, op->slot[0]);
    return keep_fd(plan, op->slot[3], result);
}

/* Nobody would see a mount over the container's root, where a link of the image may lead. */
static int refuse_root(int root, int target)
{
    struct stat top, found;
    if (root < 0)                                      /* a mount of the monitor's own */
        return 0;
    if (fstat(root, &top) || fstat(target, &found))
        return -errno;
    return top.st_dev == found.st_dev && top.st_ino == found.st_ino ? -EBUSY : 0;
}

/* The kernel's word for a folder on a file, or the other way round, is EINVAL, which it has for much else. */
static int why_refused(int source, int target)
{
    struct stat from, to;
    if (fstat(source, &from) || fstat(target, &to) || S_ISDIR(from.st_mode) == S_ISDIR(to.st_mode))
        return -EINVAL;
    return S_ISDIR(to.st_mode) ? -EISDIR : -ENOTDIR;
}

OPERATION(op_attach)
{
    int target = begin_as(op->num[1], op->num[2]);
    if (target)
        return target;
    target = open_beneath(slot_fd(plan, op->slot[1]), text_at(plan, op->text[0]), (enum kb_target)op->num[0]);
    end_as(op->num[1], op->num[2]);
    if (target < 0 || op->slot[0] == KB_NO_SLOT) {
        if (target >= 0)
            close(target);
        return target < 0 ? target : 0;
    }
    int source = slot_fd(plan, op->slot[0]), result = refuse_root(slot_fd(plan, op->slot[1]), target);
    if (!result)
        result = sys_move_mount(source, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    if (result == -EINVAL)
        result = why_refused(source, target);
    close(target);
    return result;
}

OPERATION(op_root)
{
    /* The namespace is a copy of the template, whose only mount is an empty tmpfs: nothing of the host lies below. */
    int root = slot_fd(plan, op->slot[0]);
    int result = sys_move_mount(root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH);
    if (result < 0)
        return result;
    return fchdir(root) || chroot(".") ? -errno : 0;
}

/* Before Linux 6.15 only a mount that is attached somewhere can be cloned: the first place gets the source itself. */
static int hide(int source, int target)
{
    const unsigned int here = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    int clone = sys_open_tree(source, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
    if (clone < 0)
        return clone == -EINVAL ? sys_move_mount(source, "", target, "", here) : clone;
    int result = sys_move_mount(clone, "", target, "", here);
    close(clone);
    return result;
}

OPERATION(op_mask)
{
    struct stat status;
    int target = open_beneath(slot_fd(plan, op->slot[1]), text_at(plan, op->text[0]), KB_TARGET_EXISTS);
    if (target == -ENOENT)
        return 0;
    if (target < 0)
        return target;
    int result = or_errno(fstat(target, &status));
    if (!result)
        result = hide(slot_fd(plan, S_ISDIR(status.st_mode) ? op->slot[0] : op->slot[2]), target);
    close(target);
    return result;
}

static int bind_fd(int fd, const char *path)
{
    char source[32];
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    return or_errno(mount(source, path, NULL, MS_BIND, NULL));
}

/* Nothing of the container's is on the way to a path of the procfs and sysfs that we have mounted ourselves, so the
 * path can be used as it is: mount(2) takes a quarter of the time, and there are some thirty of them. What was not
 * there when the plan was made may be a folder or a file. */
OPERATION(op_mask_kernel)
{
    const char *path = text_at(plan, op->text[0]);
    int empty = slot_fd(plan, op->slot[0]), null = slot_fd(plan, op->slot[2]);
    int result = bind_fd(op->num[0] ? empty : null, path);
    if (result == -ENOTDIR)
        result = bind_fd(op->num[0] ? null : empty, path);
    return result == -ENOENT || result == -ENOTDIR ? 0 : result;
}

OPERATION(op_protect_kernel)
{
    const char *path = text_at(plan, op->text[0]);
    int result = or_errno(mount(path, path, NULL, MS_BIND | MS_REC, NULL));
    if (result == -ENOENT)
        return 0;
    return result ? result : or_errno(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | op->num[0], NULL));
}

OPERATION(op_readonly)
{
    int target = open_beneath(slot_fd(plan, op->slot[1]), text_at(plan, op->text[0]), KB_TARGET_EXISTS);
    if (target == -ENOENT)
        return 0;
    if (target < 0)
        return target;
    int clone = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
    int result = clone < 0 ? clone : sys_mount_setattr(clone, "", AT_EMPTY_PATH | AT_RECURSIVE, op->num[0], 0, 0, -1);
    if (!result)
        result = sys_move_mount(clone, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    if (clone >= 0)
        close(clone);
    close(target);
    return result;
}

OPERATION(op_mount)
{
    return or_errno(mount(text_at(plan, op->text[0]), text_at(plan, op->text[1]), text_at(plan, op->text[2]),
                          (unsigned long)op->num[0], text_at(plan, (uint32_t)op->num[1])));
}

OPERATION(op_umount) { return or_errno(umount2(text_at(plan, op->text[0]), (int)op->num[0])); }

OPERATION(op_propagation)
{
    return or_errno(mount(NULL, text_at(plan, op->text[0]), NULL, (unsigned long)op->num[0], NULL));
}
