/* Work on files of a container that runs, which may never come to an end: the file system that they are on may be
 * served by a process in there. A child does it, while the watchdog looks on, and hands over what it has opened. It has
 * a copy of our descriptors: what is lost with a child that was killed is its own alone. */
#include "monitor.h"
#include "sanitize/stack.h"

#include <linux/sched.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { STACK = 32768 };

static char stack[STACK] __attribute__((aligned(16)));

struct aside {
    struct plan *plan;
    const struct kb_op *op;
    aside_work *work;
    int socket, result;
};

static int aside_main(void *argument)
{
    struct aside *aside = argument;
    struct opened opened = {{-1, -1}};
    int result = aside->work(aside->plan, aside->op, &opened);
    for (int i = 0; i < ASIDE_MOST && !result && opened.fd[i] >= 0; i++)
        result = note_send(aside->socket, (struct note){0, opened.fd[i]});
    aside->result = result;
    _exit(0);
}

static int begin(struct aside *aside)
{
    struct plan *plan = aside->plan;
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&plan->pidfd,
        .parent_tid = (uint64_t)(uintptr_t)&plan->pid,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = sizeof stack,
    };
    struct stack_bounds own = use_stack((struct stack_bounds){stack, sizeof stack}, 1);
    long pid = clone3_call(&args, sizeof args, aside_main, aside);
    use_stack(own, 0);
    if (pid < 0)
        return (int)pid;
    while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    close(plan->pidfd);
    return 0;
}

int aside(struct plan *plan, const struct kb_op *op, struct hostage hostage, aside_work *work, struct opened *opened)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -errno;
    struct aside aside = {plan, op, work, ends[1], -ECHILD};
    unsigned int bites = watchdog_watch(plan, hostage);
    int result = begin(&aside);
    bool late = watchdog_bit(bites);
    plan->pid = 0;
    plan->pidfd = -1;
    close(ends[1]);
    for (int i = 0; i < ASIDE_MOST; i++)
        opened->fd[i] = note_receive(ends[0], MSG_DONTWAIT).fd;
    close(ends[0]);
    if (!result)
        result = late ? -ETIMEDOUT : aside.result;
    for (int i = 0; result && i < ASIDE_MOST; i++)
        if (opened->fd[i] >= 0)
            close(opened->fd[i]);
    return result;
}
