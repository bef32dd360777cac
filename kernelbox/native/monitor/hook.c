/* OCI hooks: programs of the host that run at set points of a launch, with the container's state on standard input. */
#include "monitor.h"

#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { MAX_STRINGS = 256 };

struct hook {
    char *arguments[MAX_STRINGS], *environment[MAX_STRINGS];
    int input;
};

/* The process id is not known when the plan is made: its place is held by "@PID@" and spaces. */
static void write_state(int fd, const char *text, uint64_t size, int pid)
{
    static const char mark[] = "@PID@";
    const char *place = size ? memmem(text, size, mark, sizeof mark - 1) : NULL;
    size_t before = place ? (size_t)(place - text) : size;
    dprintf(fd, "%.*s", (int)before, text ? text : "");
    if (place)
        dprintf(fd, "%d%.*s", pid, (int)(size - before - (sizeof mark - 1)), place + sizeof mark - 1);
}

static int fill(char **pointers, const char *text, uint64_t count)
{
    if (count >= MAX_STRINGS)
        return -E2BIG;
    for (uint64_t i = 0; i < count; i++) {
        pointers[i] = (char *)(uintptr_t)text;
        text += strlen(text) + 1;
    }
    pointers[count] = NULL;
    return 0;
}

static int input_file(const char *text, uint64_t size, int pid)
{
    int fd = memfd_create("kernelbox-hook", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    write_state(fd, text, size, pid);
    if (lseek(fd, 0, SEEK_SET)) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static int finish(pid_t pid, int timeout_ms)
{
    int status = 0, pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {pidfd, POLLIN, 0};
    bool late = pidfd >= 0 && poll(&end, 1, timeout_ms ? timeout_ms : -1) == 0;
    if (late)
        kill(pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (pidfd >= 0)
        close(pidfd);
    if (late)
        return -ETIMEDOUT;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECANCELED;
}

OPERATION(op_hook)
{
    struct hook hook;
    int result = fill(hook.arguments, text_at(plan, op->text[0]), op->num[0]);
    if (!result)
        result = fill(hook.environment, text_at(plan, op->text[1]), op->num[1]);
    if (result)
        return result;
    hook.input = input_file(text_at(plan, op->text[2]), op->num[2], plan->pid);
    if (hook.input < 0)
        return hook.input;
    const char *path = hook.arguments[0];
    pid_t pid = vfork();
    if (pid == 0) {
        bool host = op->flags & KB_IN_HOST;
        if (host && (setns(monitor.host_ns, CLONE_NEWNS) || setns(monitor.net_ns, CLONE_NEWNET)))
            _exit(127);
        dup2(hook.input, 0);
        syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
        execve(path, hook.arguments + 1, hook.environment);
        _exit(127);
    }
    result = pid < 0 ? -errno : finish(pid, (int)op->num[3]);
    close(hook.input);
    return result;
}
