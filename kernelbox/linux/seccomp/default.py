"""The filter that a container has where nothing is asked: an allow-list, stricter than Docker's.

Three answers. What containers need is allowed. What this list knows and refuses fails with EPERM, as a permission
would. All else is unknown here and fails with ENOSYS, as on an older kernel, so that programs take their older way. A
capability that was given unlocks the calls that are of no use without it, as in Docker's profile.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable

from kernelbox.linux import capabilities
from kernelbox.linux.seccomp.profile import Compare, Profile, Rule
from kernelbox.native import lib

__all__ = ["ALLOWED", "REFUSED", "UNLOCKED", "default_profile"]

_ALLOWED_TEXT = """
    accept accept4 access adjtimex alarm arch_prctl bind brk capget capset chdir chmod chown clock_getres
    clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
    epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 execve execveat exit exit_group
    faccessat faccessat2 fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync
    fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex futex_requeue
    futex_wait futex_waitv futex_wake futimesat get_robust_list getcpu getcwd getdents getdents64 getegid geteuid
    getgid getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid
    getrlimit getrusage getsid getsockname getsockopt gettid gettimeofday getuid getxattr getxattrat
    inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents
    io_setup io_submit ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    lchown lgetxattr link linkat listen listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise
    map_shadow_stack membarrier memfd_create mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd
    msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open
    pidfd_send_signal pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2
    prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read
    readahead readlink readlinkat readv recvfrom recvmmsg recvmsg removexattr removexattrat rename renameat
    renameat2 restart_syscall riscv_flush_icache rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max
    sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl semget semop
    semtimedop sendfile sendmmsg sendmsg sendto set_robust_list set_tid_address setfsgid setfsuid setgid setgroups
    setitimer setpgid setpriority setregid setresgid setresuid setreuid setrlimit setsid setsockopt setuid setxattr
    setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 splice stat statfs statx symlink
    symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
    timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname
    unlink unlinkat utime utimensat utimes vfork wait4 waitid write writev
"""
ALLOWED = tuple(_ALLOWED_TEXT.split())
"""Allowed with any arguments."""

_REFUSED_TEXT = """
    acct add_key bpf chroot clock_adjtime clock_settime delete_module fanotify_init fanotify_mark finit_module
    fsconfig fsmount fsopen fspick get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm
    iopl kcmp kexec_file_load kexec_load keyctl lookup_dcookie mbind memfd_secret migrate_pages modify_ldt mount
    mount_setattr move_mount move_pages open_by_handle_at open_tree perf_event_open pidfd_getfd pivot_root
    process_madvise quotactl quotactl_fd reboot remap_file_pages request_key set_mempolicy set_mempolicy_home_node
    setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog umount2 uselib userfaultfd ustat
    vhangup vmsplice
"""
REFUSED = tuple(_REFUSED_TEXT.split())
"""Refused with EPERM, unless a capability unlocks them."""

UNLOCKED = {
    "CAP_BPF": ("bpf",),
    "CAP_DAC_READ_SEARCH": ("open_by_handle_at",),
    "CAP_PERFMON": ("perf_event_open",),
    "CAP_SYS_ADMIN": (
        *("bpf", "clone", "clone3", "fanotify_init", "fanotify_mark", "fsconfig", "fsmount", "fsopen", "fspick"),
        *(
            "mount",
            "mount_setattr",
            "move_mount",
            "open_tree",
            "perf_event_open",
            "pivot_root",
            "quotactl",
            "quotactl_fd",
        ),
        *("setdomainname", "sethostname", "setns", "swapoff", "swapon", "syslog", "umount2", "unshare"),
    ),
    "CAP_SYS_BOOT": ("reboot",),
    "CAP_SYS_CHROOT": ("chroot",),
    "CAP_SYS_MODULE": ("delete_module", "finit_module", "init_module"),
    "CAP_SYS_NICE": ("get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"),
    "CAP_SYS_PACCT": ("acct",),
    "CAP_SYS_PTRACE": ("kcmp", "pidfd_getfd", "process_madvise"),
    "CAP_SYS_RAWIO": ("ioperm", "iopl"),
    "CAP_SYS_TIME": ("clock_adjtime", "clock_settime", "settimeofday"),
    "CAP_SYS_TTY_CONFIG": ("vhangup",),
    "CAP_SYSLOG": ("syslog",),
}
"""What each capability unlocks, as in Docker's profile. A container's capabilities reach no further than its own user
namespace, so what is unlocked mostly still fails there."""

LOW = 0xFFFF_FFFF
# PER_LINUX, PER_LINUX32, UNAME26 with both, and 0xffffffff, which only asks (personality(2)).
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, LOW)
# Typing into the terminal for others: TIOCSTI and TIOCLINUX of asm-generic/ioctls.h; the request is an unsigned int.
_IOCTLS_REFUSED = (0x5412, 0x541C)


def default_profile(granted: Iterable[str] = capabilities.DEFAULT) -> Profile:
    """The profile for a container with the capabilities `granted`."""
    mask = capabilities.parse(granted)
    unlocked = {name for cap, names in UNLOCKED.items() if mask & capabilities.parse([cap]) for name in names}
    allowed = Rule(tuple(sorted({*ALLOWED, *unlocked})))
    refused = Rule(tuple(name for name in REFUSED if name not in unlocked), "SCMP_ACT_ERRNO", errno.EPERM)
    tested = (rule for rule in _tested() if rule.names[0] not in unlocked)
    return Profile("SCMP_ACT_ERRNO", (allowed, refused, *tested), errno.ENOSYS)


def _tested() -> list[Rule]:
    """Calls that depend on their arguments, always by the 32 bits that the kernel looks at."""
    rules = []
    for family in (lib.AF_UNIX, lib.AF_INET, lib.AF_INET6, lib.AF_NETLINK):
        rules.append(Rule(("socket", "socketpair"), args=(_low(0, family),)))
    rules.append(Rule(("socket", "socketpair"), "SCMP_ACT_ERRNO", errno.EAFNOSUPPORT))
    new = lib.CLONE_NEWNS | lib.CLONE_NEWCGROUP | lib.CLONE_NEWUTS | lib.CLONE_NEWIPC
    new |= lib.CLONE_NEWUSER | lib.CLONE_NEWPID | lib.CLONE_NEWNET
    # CLONE_NEWTIME is among the bits of the exit signal for clone, so only unshare takes it.
    for call, flags in ("clone", new), ("unshare", new | lib.CLONE_NEWTIME):
        rules.append(Rule((call,), args=(Compare(0, flags, "SCMP_CMP_MASKED_EQ", 0),)))
        rules.append(Rule((call,), "SCMP_ACT_ERRNO", errno.EPERM))
    for request in _IOCTLS_REFUSED:
        rules.append(Rule(("ioctl",), "SCMP_ACT_ERRNO", errno.EPERM, (_low(1, request),)))
    rules.append(Rule(("ioctl",)))
    for persona in _PERSONALITIES:
        rules.append(Rule(("personality",), args=(_low(0, persona),)))
    rules.append(Rule(("personality",), "SCMP_ACT_ERRNO", errno.EPERM))
    return rules


def _low(index: int, value: int) -> Compare:
    return Compare(index, LOW, "SCMP_CMP_MASKED_EQ", value)
