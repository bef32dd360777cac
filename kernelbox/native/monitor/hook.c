/* OCI hooks: programs of the host that run at set points of a launch, with the container's state on standard input. */
#include "monitor.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { MAX_STRINGS = 256 };

struct hook {
    char *arguments[MAX_STRINGS], *environment[MAX_STRINGS];
    int input, said;
    volatile int error;                                /* set by the child, which shares our memory until exec */
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

/* For the error: how it ended, and the beginning of what it said on standard error. */
static void tell(int status, int said)
{
    char words[512];
    int used = WIFSIGNALED(status) ? snprintf(words, sizeof words, "ended by signal %d", WTERMSIG(status))
                                   : snprintf(words, sizeof words, "exit code %d", WEXITSTATUS(status));
    ssize_t count = pread(said, words + used + 2, sizeof words - (size_t)used - 2, 0);
    if (count > 0) {
        memcpy(words + used, ": ", 2);
        used += 2 + (int)count;
    }
    record_add(UINT32_MAX, words, (size_t)used);       /* the key of no counter */
}

static int finish(pid_t pid, int timeout_ms, int said)
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
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    tell(status, said);
    return -ECANCELED;
}

static int run(struct hook *hook, bool in_host, int timeout_ms)
{
    const char *path = hook->arguments[0];
    pid_t pid = vfork();
    if (pid == 0) {
        if (!in_host || !(setns(monitor.host_ns, CLONE_NEWNS) || setns(monitor.net_ns, CLONE_NEWNET))) {
            dup2(hook->input, 0);
            dup2(hook->said, 2);
            syscall(SYS_close_range, 3U, ~0U, 0); /* now: its path may be a link to a descriptor of ours */
            execve(path, hook->arguments + 1, hook->environment);
        }
        hook->error = errno;
        _exit(127);
    }
    int result = pid < 0 ? -errno : finish(pid, timeout_ms, hook->said);
    return hook->error ? -hook->error : result;
}

OPERATION(op_hook)
{
    struct hook hook = {.error = 0};
    int result = fill(hook.arguments, text_at(plan, op->text[0]), op->num[0]);
    if (!result)
        result = fill(hook.environment, text_at(plan, op->text[1]), op->num[1]);
    if (result)
        return result;
    hook.input = input_file(text_at(plan, op->text[2]), op->num[2], plan->pid);
    hook.said = memfd_create("kernelbox-hook", MFD_CLOEXEC);
    result = hook.input < 0 ? hook.input : or_errno(hook.said);
    if (result >= 0)
        result = run(&hook, op->flags & KB_IN_HOST, (int)op->num[3]);
    if (hook.input >= 0)
        close(hook.input);
    if (hook.said >= 0)
        close(hook.said);
    return result;
}
