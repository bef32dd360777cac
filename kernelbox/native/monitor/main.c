/* kb-monitor LISTENER-ON-0: started by the first launch of a store, gone after its last container and connection.
 *
 * Descriptors from the engine: 0 the listening socket, 1 and 2 the log, 3 the store's monitor lock (held by being
 * open), 4 the runtime folder, 5 (rootless) a socket on which the engine says that the id maps are written, or (again)
 * the user namespace of a monitor that was killed. */
#include "monitor.h"

#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { MOST_PROCESSES = 4096, PATIENCE_MS = 3000 };

struct monitor monitor;

static struct plan farewell;

/* The last part of a set-up plan is what the monitor does as the last thing: the folders of the store's groups go. */
void farewell_set(const struct plan *plan)
{
    int first = plan->head.before + plan->head.inside, count = plan->head.after;
    struct kb_op *ops = malloc(((size_t)count + 1) * sizeof *ops);
    char *text = malloc(plan->head.text_size);
    struct kb_traced *trace = calloc((size_t)count + 1, sizeof *trace);
    if (!ops || !text || !trace)
        abort();
    memcpy(ops, plan->ops + first, (size_t)count * sizeof *ops);
    memcpy(text, plan->text, plan->head.text_size);
    free((void *)(uintptr_t)farewell.ops);
    free((void *)(uintptr_t)farewell.text);
    free(farewell.trace);
    farewell = (struct plan){.ops = ops, .text = text, .trace = trace, .failed_op = -1};
    farewell.head.after = (uint16_t)count;
    farewell.head.fail_op = -1;
    for (int slot = 0; slot < KB_SHARED_SLOTS; slot++)
        farewell.slots[slot] = -1;
}

static int fail(const char *what, int error)
{
    fprintf(stderr, "kb-monitor: could not %s: %s\n", what, strerror(-error));
    return 1;
}

/* For an ordinary user: a user namespace in which we are root; its maps are written from outside (newuidmap). */
static int become_root_of_namespace(void)
{
    char byte;
    pid_t pid = getpid();
    struct rlimit processes;
    /* Without groups of their own, containers share this: a limit that is in force when the namespace is made holds for
     * all ids in it (user_namespaces(7), "Resource limits"). */
    if (!getrlimit(RLIMIT_NPROC, &processes) && processes.rlim_max > MOST_PROCESSES) {
        processes.rlim_cur = processes.rlim_max = MOST_PROCESSES;
        setrlimit(RLIMIT_NPROC, &processes);
    }
    if (unshare(CLONE_NEWUSER) || write(5, &pid, sizeof pid) != sizeof pid)
        return -errno;
    if (read(5, &byte, 1) != 1)
        return -ECANCELED;
    close(5);
    if (setresgid(0, 0, 0) || setresuid(0, 0, 0))
        return -errno;
    return 0;
}

/* The one before us was killed, and containers live on in the user namespace that it had made. */
static int join_namespace(void)
{
    if (setns(5, CLONE_NEWUSER))
        return -errno;
    close(5);
    return setresgid(0, 0, 0) || setresuid(0, 0, 0) ? -errno : 0;
}

static void dispatch(struct watch *watch)
{
    switch (watch->kind) {
    case WATCH_LISTENER: connection_accept(); break;
    case WATCH_CONNECTION: connection_ready((struct connection *)watch); break;
    case WATCH_CONTAINER: container_ended((struct container *)watch); break;
    case WATCH_SWEEPER: sweeper_report(); break;
    case WATCH_STREAM: stream_ready((struct stream *)watch); break;
    case WATCH_OUTLET: outlet_ready((struct outlet *)watch); break;
    }
}

/* One event at a time: handling one may free what another would have pointed to. */
static void serve(void)
{
    bool wanted = false;
    for (bool began = false;;) {
        struct epoll_event event;
        int patience = wanted ? 0 : began ? timers_wait_ms() : PATIENCE_MS;
        int count = epoll_wait(monitor.epoll, &event, 1, patience);
        if (count > 0)
            dispatch(event.data.ptr);
        else if (!count && !wanted && !began)          /* who started us was killed before it could connect */
            return;
        timers_due();
        began = began || monitor.connections;
        if (began && !monitor.connections && !monitor.containers)
            return;
        wanted = count > 0 || pool_refill_one();       /* only while nothing else is to be done */
    }
}

/* A container takes some five descriptors of ours. */
static int raise_file_limit(void)
{
    if (getrlimit(RLIMIT_NOFILE, &monitor.files))
        return -errno;
    struct rlimit most = {monitor.files.rlim_max, monitor.files.rlim_max};
    return or_errno(setrlimit(RLIMIT_NOFILE, &most));
}

static void ignore(int number) { (void)number; }

static int read_boot_id(void)
{
    int fd = openat(monitor.proc, "sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, monitor.boot_id, 36);
    int result = count == 36 ? 0 : count < 0 ? -errno : -EIO;
    if (fd >= 0)
        close(fd);
    return result;
}

static int start(bool rootless, bool again)
{
    static struct watch listener = {WATCH_LISTENER, -1};
    int result = again ? join_namespace() : rootless ? become_root_of_namespace() : 0;
    if (result)
        return fail("become root of a user namespace", result);
    prctl(PR_SET_DUMPABLE, 0); /* nobody traces, reads or overwrites us, nor a child before exec */
    prctl(PR_SET_NAME, "kb-monitor");
    signal(SIGPIPE, ignore); /* a handler, which children do not inherit, as they would SIG_IGN */
    umask(0);
    for (size_t i = 0; i < sizeof monitor.shared / sizeof *monitor.shared; i++)
        monitor.shared[i] = -1;
    for (int fd = 0; fd < 5; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
    monitor.listener = fcntl(0, F_DUPFD_CLOEXEC, 5);
    monitor.epoll = epoll_create1(EPOLL_CLOEXEC);
    listener.fd = monitor.listener;
    if (monitor.listener < 0 || monitor.epoll < 0 || watch_add(&listener))
        return fail("listen", -errno);
    result = launch_open();
    if (!result)
        result = raise_file_limit();
    if (!result)
        result = namespaces_open(rootless);
    if (!result)
        result = read_boot_id();
    if (result)
        return fail("make the template mount namespace", result);
    result = watchdog_start();
    return result ? fail("start the watchdog", result) : 0;
}

int main(int count, char **arguments)
{
    bool again = count > 1 && !strcmp(arguments[1], "again");
    bool rootless = again || (count > 1 && !strcmp(arguments[1], "rootless"));
    if (count < 2) {
        fprintf(stderr, "kb-monitor %s: started by kernelbox, not by hand\n", KB_VERSION);
        return 2;
    }
    pid_t pid = fork();
    if (pid)
        return pid < 0 ? fail("fork", -errno) : 0;
    int result = start(rootless, again);
    if (result)
        return result;
    serve();
    struct stat log;
    unlinkat(4, "monitor.sock", 0);
    if (!fstat(2, &log) && !log.st_size)
        unlinkat(4, "monitor.log", 0);
    run_every_op(&farewell, 0, farewell.head.after);
    sweeper_end();
    watchdog_end();
    return 0;
}
