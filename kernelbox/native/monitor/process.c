/* Operations that shape the process which becomes the container's first program: ids, capabilities, filters, exec. */
#include "monitor.h"

#include <limits.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

OPERATION(op_setns) { return or_errno(setns(slot_fd(plan, op->slot[0]), (int)op->num[0])); }

OPERATION(op_unshare)
{
    (void)plan;
    return or_errno(unshare((int)op->num[0]));
}

OPERATION(op_hostname)
{
    const char *name = text_at(plan, op->text[0]);
    return or_errno(sethostname(name, strlen(name)));
}

OPERATION(op_domainname)
{
    const char *name = text_at(plan, op->text[0]);
    return or_errno(setdomainname(name, strlen(name)));
}

OPERATION(op_session)
{
    (void)plan;
    (void)op;
    return or_errno(setsid());
}

OPERATION(op_terminal) { return or_errno(ioctl(slot_fd(plan, op->slot[0]), TIOCSCTTY, 0)); }

OPERATION(op_dup) { return or_errno(dup2(slot_fd(plan, op->slot[0]), (int)op->num[0])); }

OPERATION(op_close_from)
{
    /* Now, not when exec has succeeded: the program may be a link to /proc/self/fd/N/..., and the monitor's own
     * descriptors lead to the machine's /proc and to the roots of other containers. */
    (void)plan;
    return or_errno(syscall(SYS_close_range, (unsigned int)op->num[0], ~0U, 0));
}

OPERATION(op_rlimit)
{
    (void)plan;
    struct rlimit limit = {op->num[1], op->num[2]};
    return or_errno(setrlimit((__rlimit_resource_t)op->num[0], &limit));
}

OPERATION(op_file_limit)
{
    (void)plan;
    (void)op;
    return or_errno(setrlimit(RLIMIT_NOFILE, &monitor.files));
}

OPERATION(op_umask)
{
    (void)plan;
    umask((mode_t)op->num[0]);
    return 0;
}

OPERATION(op_prctl)
{
    (void)plan;
    return or_errno(prctl((int)op->num[0], op->num[1], op->num[2], op->num[3], 0));
}

OPERATION(op_fsids)
{
    (void)plan;
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP))
        return -errno;
    setfsgid((gid_t)op->num[1]);
    setfsuid((uid_t)op->num[0]);
    prctl(PR_SET_DUMPABLE, 0); /* the borrowed memory stays closed, whatever fs.suid_dumpable says */
    return (uid_t)setfsuid((uid_t)-1) == (uid_t)op->num[0] ? 0 : -EPERM;
}

OPERATION(op_bounding)
{
    (void)plan;
    for (int capability = 0; capability < 64; capability++)
        if (!(op->num[0] >> capability & 1) && prctl(PR_CAPBSET_DROP, capability, 0, 0, 0))
            return errno == EINVAL ? 0 : -errno; /* beyond the last one that this kernel has */
    return 0;
}

OPERATION(op_ambient)
{
    (void)plan;
    for (int capability = 0; capability < 64; capability++)
        if (op->num[0] >> capability & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))
            return -errno;
    return 0;
}

OPERATION(op_capset)
{
    (void)plan;
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    for (int half = 0; half < 2; half++) {
        data[half].effective = (uint32_t)(op->num[0] >> (32 * half));
        data[half].permitted = (uint32_t)(op->num[1] >> (32 * half));
        data[half].inheritable = (uint32_t)(op->num[2] >> (32 * half));
    }
    return or_errno(syscall(SYS_capset, &head, data));
}

/* glibc's setgroups and setresuid would tell "all threads", of which this borrowed memory has none: plain system
 * calls. */
OPERATION(op_groups) { return or_errno(syscall(SYS_setgroups, op->num[0], text_at(plan, op->text[0]))); }

OPERATION(op_user)
{
    (void)plan;
    int result = or_errno(syscall(SYS_setresgid, (gid_t)op->num[1], (gid_t)op->num[1], (gid_t)op->num[1]));
    if (!result)
        result = or_errno(syscall(SYS_setresuid, (uid_t)op->num[0], (uid_t)op->num[0], (uid_t)op->num[0]));
    prctl(PR_SET_DUMPABLE, 0);
    return result;
}

OPERATION(op_keyring)
{
    (void)plan;
    (void)op;
    int result = or_errno(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL));
    return result == -ENOSYS ? 0 : result < 0 ? result : 0;  /* a kernel without keys has no keyring to leak */
}

OPERATION(op_seccomp)
{
    struct sock_fprog program = {(unsigned short)op->num[0],
                                 (struct sock_filter *)(uintptr_t)text_at(plan, op->text[0])};
    return or_errno(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

OPERATION(op_chdir)
{
    /* Not chdir(path): /proc/self/fd/N is a magic link that would lead out of the root. */
    int fd = sys_openat2(AT_FDCWD, text_at(plan, op->text[0]), O_PATH | O_DIRECTORY, 0, RESOLVE_NO_MAGICLINKS);
    if (fd < 0)
        return fd;
    int result = or_errno(fchdir(fd));
    close(fd);
    return result;
}

OPERATION(op_exec)
{
    /* As a shell does: a file that may not be run is remembered, the search goes on. */
    (void)op;
    int error = ENOENT;
    plan->exec_tried = 1;
    for (char **candidate = plan->candidates; *candidate; candidate++) {
        execve(*candidate, plan->arguments, plan->environment);
        if (errno != ENOENT && errno != ENOTDIR && (errno != EACCES || error == ENOENT))
            error = errno;
        if (error != ENOENT && error != EACCES)
            break;
    }
    return -error;
}
