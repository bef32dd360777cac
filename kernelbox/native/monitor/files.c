/* Operations on descriptors and files, the files of control groups among them. */
#include "monitor.h"

#include <linux/bpf.h>
#include <sys/stat.h>
#include <sys/xattr.h>

OPERATION(op_open)
{
    return keep_fd(
        plan, op->slot[3],
        sys_openat2(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), op->num[0], op->num[1], op->num[2]));
}

OPERATION(op_mkdir)
{
    int result = or_errno(mkdirat(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), (mode_t)op->num[0]));
    return result == -EEXIST && op->num[1] ? 0 : result;
}

OPERATION(op_mknod)
{
    return or_errno(
        mknodat(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), (mode_t)op->num[0], (dev_t)op->num[1]));
}

OPERATION(op_symlink)
{
    return or_errno(symlinkat(text_at(plan, op->text[1]), slot_fd(plan, op->slot[0]), text_at(plan, op->text[0])));
}

OPERATION(op_chown)
{
    return or_errno(fchownat(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), (uid_t)op->num[0],
                             (gid_t)op->num[1], AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH));
}

OPERATION(op_write)
{
    int fd = sys_openat2(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), op->num[1], op->num[2], op->num[3]);
    if (fd < 0)
        return fd;
    ssize_t count = write(fd, text_at(plan, op->text[1]), op->num[0]);
    int result = count < 0 ? -errno : (size_t)count == op->num[0] ? 0 : -EIO;
    close(fd);
    return result;
}

OPERATION(op_setxattr)
{
    int fd = sys_openat2(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), O_RDONLY | O_NOFOLLOW, 0, 0);
    if (fd < 0)
        return fd;
    int result = or_errno(fsetxattr(fd, text_at(plan, op->text[1]), text_at(plan, op->text[2]), op->num[0], 0));
    close(fd);
    return result;
}

OPERATION(op_bpf_attach)
{
    union bpf_attr attr = {0};
    attr.target_fd = (uint32_t)slot_fd(plan, op->slot[0]);
    attr.attach_bpf_fd = (uint32_t)slot_fd(plan, op->slot[1]);
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    return or_errno(syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr));
}

OPERATION(op_hold)
{
    (void)plan;
    (void)op; /* naming the slot in the last part is what keeps it: containers.c */
    return 0;
}
