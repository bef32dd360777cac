/* Makes namespaces that no process needs to stay in: a helper creates them, we keep descriptors, the helper ends. */
#include "syscalls.h"

#include <linux/sched.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>

static const struct {
    unsigned long flag;
    const char *name;
} kinds[8] = {
    {CLONE_NEWUSER, "user"}, {CLONE_NEWNS, "mnt"},  {CLONE_NEWPID, "pid"},       {CLONE_NEWNET, "net"},
    {CLONE_NEWIPC, "ipc"},   {CLONE_NEWUTS, "uts"}, {CLONE_NEWCGROUP, "cgroup"}, {CLONE_NEWTIME, "time_for_children"},
};

/* Shares memory and thread-local storage with its parent, which goes on running: system calls that succeed, nothing
 * else. Waits for the parent's word, or its end, and so must not hold the other end of the pipe itself. */
static int helper_main(void *argument)
{
    const int *ends = argument;
    char byte;
    syscall(SYS_close, ends[1]);
    syscall(SYS_read, ends[0], &byte, 1);
    syscall(SYS_exit, 0);
    return 0;
}

static int write_map(int process, const char *name, const char *text)
{
    int fd = openat(process, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static int write_maps(int process, const char *uid_map, const char *gid_map)
{
    int result = uid_map ? write_map(process, "uid_map", uid_map) : 0;
    if (result || !gid_map)
        return result;
    result = write_map(process, "gid_map", gid_map);
    if (result == -EPERM &&
        !(result = write_map(process, "setgroups", "deny")))  /* user_namespaces(7): without CAP_SETGID */
        result = write_map(process, "gid_map", gid_map);
    return result;
}

static int open_namespaces(int process, unsigned long flags, int fds[8])
{
    for (int i = 0; i < 8; i++) {
        char path[32];
        if (!(flags & kinds[i].flag))
            continue;
        snprintf(path, sizeof path, "ns/%s", kinds[i].name);
        fds[i] = openat(process, path, O_RDONLY | O_CLOEXEC);
        if (fds[i] < 0)
            return -errno;
    }
    return 0;
}

static int collect(pid_t pid, unsigned long flags, const char *uid_map, const char *gid_map, int fds[8])
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d", (int)pid);
    int process = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (process < 0)
        return -errno;
    int result = flags & CLONE_NEWUSER ? write_maps(process, uid_map, gid_map) : 0;
    if (!result)
        result = open_namespaces(process, flags, fds);
    close(process);
    return result;
}

int kb_make_namespaces(unsigned long flags, const char *uid_map, const char *gid_map, int fds[8])
{
    enum { STACK = 16384 };
    sigset_t all, before;
    int ends[2], result;
    for (int i = 0; i < 8; i++)
        fds[i] = -1;
    if (flags & CLONE_NEWPID)                          /* a pid namespace ends with its first process */
        return -EINVAL;
    if (pipe2(ends, O_CLOEXEC))
        return -errno;
    char *stack = malloc(STACK);
    sigfillset(&all); /* no handler of ours may run in the helper, on our memory */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = stack ? clone(helper_main, stack + STACK, CLONE_VM | (int)flags, ends) : -1;
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        result = stack ? -error : -ENOMEM;
    } else {
        result = collect(pid, flags, uid_map, gid_map, fds);
        ssize_t said;
        while ((said = write(ends[1], "", 1)) < 0 && errno == EINTR)
            ;
        if (said < 0)                                  /* or we would wait for each other */
            kill(pid, SIGKILL);
        while (waitpid(pid, NULL, __WCLONE) < 0 && errno == EINTR)
            ;
    }
    free(stack);
    close(ends[0]);
    close(ends[1]);
    for (int i = 0; result < 0 && i < 8; i++)
        if (fds[i] >= 0) {
            close(fds[i]);
            fds[i] = -1;
        }
    return result;
}
