/* One function a system call, for Python: the kernel's own names and meanings, -errno instead of errno. */
#include "syscalls.h"

#include <linux/bpf.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <linux/securebits.h>
#include <sys/prctl.h>

const char *kb_version(void) { return KB_VERSION; }

int kb_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    return sys_openat2(dir, path, flags, mode, resolve);
}

int kb_open_tree(int dir, const char *path, unsigned int flags) { return sys_open_tree(dir, path, flags); }

int kb_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned int flags)
{
    return sys_move_mount(from, from_path, to, to_path, flags);
}

int kb_fsopen(const char *type, unsigned int flags)
{
    return or_errno(syscall(SYS_fsopen, type, flags | FSOPEN_CLOEXEC));
}

int kb_fsconfig(int fs, unsigned int command, const char *key, const char *value, int aux)
{
    return sys_fsconfig(fs, command, key, value, aux);
}

int kb_fsmount(int fs, unsigned int flags, unsigned int attributes)
{
    return or_errno(syscall(SYS_fsmount, fs, flags | FSMOUNT_CLOEXEC, attributes));
}

int kb_fs_message(int fs, char *text, size_t size) { return or_errno(read(fs, text, size)); }

int kb_mount_setattr(int dir, const char *path, unsigned int flags, uint64_t set, uint64_t clear, uint64_t propagation,
                     int userns)
{
    return sys_mount_setattr(dir, path, flags, set, clear, propagation, userns);
}

int kb_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data)
{
    return or_errno(mount(source, target, type, flags, data));
}

int kb_umount2(const char *target, int flags) { return or_errno(umount2(target, flags)); }

int kb_syncfs(int fd) { return or_errno(syncfs(fd)); }

int kb_unshare(unsigned long flags) { return or_errno(unshare((int)flags)); }

int kb_setns(int fd, int type) { return or_errno(setns(fd, type)); }

int kb_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    return or_errno(prctl(option, a, b, c, d));
}

int kb_capget(int pid, uint64_t sets[3])
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, pid};
    struct __user_cap_data_struct data[2];
    int result = or_errno(syscall(SYS_capget, &head, data));
    if (result < 0)
        return result;
    sets[0] = data[0].effective | (uint64_t)data[1].effective << 32;
    sets[1] = data[0].permitted | (uint64_t)data[1].permitted << 32;
    sets[2] = data[0].inheritable | (uint64_t)data[1].inheritable << 32;
    return 0;
}

int kb_capset(const uint64_t sets[3])
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(sets[0] >> (32 * half));
        data[half].permitted = (uint32_t)(sets[1] >> (32 * half));
        data[half].inheritable = (uint32_t)(sets[2] >> (32 * half));
    }
    return or_errno(syscall(SYS_capset, &head, data));
}

static int bpf(int command, union bpf_attr *attr) { return or_errno(syscall(SYS_bpf, command, attr, sizeof *attr)); }

int kb_bpf_load_device_filter(const void *instructions, unsigned int count)
{
    union bpf_attr attr = {0};
    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (uint64_t)(uintptr_t)instructions;
    attr.insn_cnt = count;
    attr.license = (uint64_t)(uintptr_t)"GPL";
    return bpf(BPF_PROG_LOAD, &attr);
}

int kb_bpf_attach(int cgroup, int program)
{
    union bpf_attr attr = {0};
    attr.target_fd = (uint32_t)cgroup;
    attr.attach_bpf_fd = (uint32_t)program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    return bpf(BPF_PROG_ATTACH, &attr);
}

int kb_bpf_count(int cgroup)
{
    uint32_t ids[64];
    union bpf_attr attr = {0};
    attr.query.target_fd = (uint32_t)cgroup;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_cnt = sizeof ids / sizeof *ids;
    attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
    int result = bpf(BPF_PROG_QUERY, &attr);
    return result < 0 ? result : (int)attr.query.prog_cnt;
}

int kb_act_as(unsigned int uid, unsigned int gid)
{
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP))
        return -errno;
    syscall(SYS_setfsgid, gid); /* not glibc's, which are of this thread too but not sure to stay so */
    syscall(SYS_setfsuid, uid);
    return (unsigned int)syscall(SYS_setfsuid, -1) == uid ? 0 : -EPERM;
}
