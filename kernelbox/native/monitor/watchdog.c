/* While a child shares our memory we stand still until it has called exec. What it waits for may never come: a program
 * on a file system that does not answer, or somebody in its container who stops it (SIGSTOP). So a second process in
 * this very memory watches the time, and kills a child that takes too long, or that is stopped: nobody who means well
 * does that to a process which is not yet what it will be, and everybody else would wait meanwhile. A child that waits
 * for the answer of a file system in user space cannot even be killed; where it works in a container, that ends too,
 * and with it who was to answer. */
#include "monitor.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

enum { PATIENCE_MS = 5000, GRACE_MS = 1000, TICK_MS = 50, STACK = 16384 };

static int timer = -1;
static pid_t own, parent;
static const struct plan *volatile watched; /* whose child it is */
static volatile struct hostage hostage;
static volatile uint64_t deadline_ns;
static volatile unsigned int bites;

/* proc_pid_stat(5), without the C library's help. */
static bool is_stopped(int pid)
{
    static char path[16], text[512];
    static const char name[] = "/stat";
    char *digits = path + sizeof path - sizeof name;
    memcpy(digits, name, sizeof name);
    for (; pid > 0; pid /= 10)
        *--digits = (char)('0' + pid % 10);
    long fd = syscall(SYS_openat, monitor.proc, digits, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    long count = syscall(SYS_read, fd, text, sizeof text);
    syscall(SYS_close, fd);
    for (long at = count - 3; at >= 0; at--)
        if (text[at] == ')')
            return text[at + 2] == 'T' || text[at + 2] == 't';
    return false;
}

static void end_container(int process, int group)
{
    long file = group < 0 ? -1 : syscall(SYS_openat, group, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (file >= 0) {
        syscall(SYS_write, file, "1", 1);
        syscall(SYS_close, file);
    }
    if (process >= 0)
        syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
}

/* Shares thread-local storage with its parent, which goes on running: system calls, nothing else. */
static int watchdog_main(void *unused)
{
    uint64_t times;
    (void)unused;
    syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (syscall(SYS_getppid) != parent) /* killed before we had said so: the store's lock and socket are ours too */
        syscall(SYS_exit, 0);
    syscall(SYS_prctl, PR_SET_NAME, "kb-watchdog", 0, 0, 0);
    while (syscall(SYS_read, timer, &times, sizeof times) == sizeof times) {
        const volatile struct plan *plan = watched;
        int pid = plan ? plan->pid : 0, pidfd = plan ? plan->pidfd : -1; /* in a moment it may be over */
        int process = hostage.process, group = hostage.group;
        uint64_t now = now_ns(), last_ns = deadline_ns + GRACE_MS * 1000000ull;
        if (!plan || (now < deadline_ns && !is_stopped(pid)) || plan != watched)
            continue;
        bites++;
        syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        if (now >= last_ns && plan == watched)
            end_container(process, group);
    }
    syscall(SYS_exit, 0);
    return 0;
}

int watchdog_start(void)
{
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    if (stack == MAP_FAILED || timer < 0)
        return -errno;
    parent = getpid();
    own = clone(watchdog_main, stack + STACK, CLONE_VM | CLONE_FILES | SIGCHLD, NULL);
    return own < 0 ? -errno : 0;
}

void watchdog_end(void)
{
    kill(own, SIGKILL);
    while (waitpid(own, NULL, 0) < 0 && errno == EINTR)
        ;
}

static void tick(long ms)
{
    struct timespec interval = {0, ms * 1000000};
    struct itimerspec when = {.it_value = interval, .it_interval = interval};
    timerfd_settime(timer, 0, &when, NULL);
}

/* Hooks have a time of their own each, which the plan says. */
static uint64_t patience(const struct plan *plan)
{
    uint64_t ms = PATIENCE_MS;
    for (int index = plan->head.before; index < plan->head.before + plan->head.inside; index++)
        if (plan->ops[index].code == KB_OP_HOOK)
            ms += plan->ops[index].num[3];
    return ms;
}

/* The watchdog may be on its way from a tick, with the child before: it then meets a time that is yet to come. */
unsigned int watchdog_watch(const struct plan *plan, struct hostage whose)
{
    deadline_ns = now_ns() + patience(plan) * 1000000;
    hostage.process = whose.process;
    hostage.group = whose.group;
    watched = plan;
    tick(TICK_MS);
    return bites;
}

bool watchdog_bit(unsigned int before)
{
    tick(0);
    watched = NULL;
    return bites != before;
}
