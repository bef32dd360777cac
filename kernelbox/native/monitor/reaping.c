/* Processes that have ended and cannot be reaped yet. Who traces a process (ptrace(2)) is told of its end first, and
 * in a container somebody may trace what exec has started there, and never ask: nobody else shall wait for that. */
#include "monitor.h"

#include <sys/wait.h>
#include <time.h>

enum { TRIES = 100 };

static int *left;
static size_t left_count;

static bool is_reaped(int pidfd)
{
    siginfo_t info = {0};
    return waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) || info.si_pid;
}

void reap_later(int pidfd)
{
    int *more = realloc(left, (left_count + 1) * sizeof *left);
    if (!more) {
        close(pidfd);                                  /* it stays a zombie for as long as we are there */
        return;
    }
    left = more;
    left[left_count++] = pidfd;
}

void reap(struct plan *plan)
{
    struct timespec moment = {0, 100000};
    if (plan->pidfd < 0)
        return;
    syscall(SYS_pidfd_send_signal, plan->pidfd, SIGKILL, NULL, 0);
    bool reaped = is_reaped(plan->pidfd);
    for (int tries = 0; !reaped && tries < TRIES; tries++) {
        nanosleep(&moment, NULL);
        reaped = is_reaped(plan->pidfd);
    }
    if (reaped)
        close(plan->pidfd);
    else
        reap_later(plan->pidfd);
    plan->pidfd = -1;
}

bool is_any_unreaped(void) { return left_count; }

void reap_again(void)
{
    for (size_t i = left_count; i-- > 0;)
        if (is_reaped(left[i])) {
            close(left[i]);
            left[i] = left[--left_count];
        }
}
