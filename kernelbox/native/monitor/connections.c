/* Engines on the other end of the socket: requests in, answers out. A connection carries one request at a time. */
#include "monitor.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>

enum { MESSAGE = 200000, MAX_FDS = 128 };

static char message[MESSAGE] __attribute__((aligned(16)));

struct body {
    struct kb_op *ops;
    char *text;
    void *mapped;
    size_t size;
};

int watch_add(struct watch *watch)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};
    return or_errno(epoll_ctl(monitor.epoll, EPOLL_CTL_ADD, watch->fd, &event));
}

/* Closing alone would not do: a child that is just starting still has a copy of the descriptor, and epoll goes by the
 * file. */
void watch_end(struct watch *watch)
{
    epoll_ctl(monitor.epoll, EPOLL_CTL_DEL, watch->fd, NULL);
    close(watch->fd);
    watch->fd = -1;
}

/* The runtime folder is closed to others; this is the second lock. */
static bool same_user(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) && (peer.uid == geteuid() || peer.uid == 0);
}

void connection_accept(void)
{
    int fd = accept4(monitor.listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    struct connection *connection = same_user(fd) ? calloc(1, sizeof *connection) : NULL;
    if (connection)
        connection->watch = (struct watch){WATCH_CONNECTION, fd};
    if (!connection || watch_add(&connection->watch)) {
        free(connection);
        close(fd);
        return;
    }
    connection->next = monitor.connections;
    monitor.connections = connection;
}

static void connection_close(struct connection *connection)
{
    struct connection **link = &monitor.connections;
    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    containers_release(connection);
    watch_end(&connection->watch);
    free(connection);
}

void answer(struct connection *connection, struct kb_answer *head, const struct plan *plan, int first, int count,
            int reveal)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec parts[3] = {
        {head, sizeof *head},
        {plan ? plan->trace + first : NULL, (size_t)count * sizeof(struct kb_traced)},
        {monitor.record, monitor.record_used},
    };
    struct msghdr reply = {.msg_iov = parts, .msg_iovlen = 3};
    head->operations = (uint32_t)count;
    head->record_size = (uint32_t)monitor.record_used;
    int fd = reveal == KB_NO_SLOT ? -1 : slot_fd(plan, reveal);
    if (fd >= 0) {
        reply.msg_control = &control;
        reply.msg_controllen = sizeof control;
        control.head =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    }
    if (sendmsg(connection->watch.fd, &reply, MSG_NOSIGNAL) < 0)
        shutdown(connection->watch.fd, SHUT_RDWR);     /* no engine waits for an answer that is lost */
    monitor.record_used = 0;
}

static void answer_simple(struct connection *connection, int error)
{
    struct kb_answer head = {
        .type = error ? KB_FAILED : KB_OK, .last = 1, .error = error, .op = -1, .now_ns = now_ns()};
    answer(connection, &head, NULL, 0, 0, KB_NO_SLOT);
}

void connections_report_sync(void)
{
    for (struct connection *connection = monitor.connections; connection; connection = connection->next)
        if (connection->wants_sync) {
            connection->wants_sync = false;
            answer_simple(connection, 0);
        }
}

static void reap(struct plan *plan)
{
    siginfo_t info;
    if (plan->pidfd < 0)
        return;
    syscall(SYS_pidfd_send_signal, plan->pidfd, SIGKILL, NULL, 0);
    while (waitid(P_PIDFD, (id_t)plan->pidfd, &info, WEXITED) < 0 && errno == EINTR)
        ;
    close(plan->pidfd);
    plan->pidfd = -1;
}

static void launch_failed(struct connection *connection, struct plan *plan, int result)
{
    int launched = plan->head.before + plan->head.inside;
    struct kb_answer head = {
        .type = KB_FAILED,
        .last = 1,
        .error = plan->failed_errno ? plan->failed_errno : -result,
        .op = plan->failed_op,
        .now_ns = now_ns(),
    };
    reap(plan);
    size_t words = monitor.record_used;                /* what the kernel said about the failure, not counters */
    plan->head.fail_op = -1;
    run_every_op(plan, launched, plan->head.after);
    monitor.record_used = words;
    answer(connection, &head, plan, 0, launched, KB_NO_SLOT);
}

static int launch(struct connection *connection, struct plan *plan)
{
    int result = launch_prepare(plan);
    if (!result)
        result = run_ops(plan, 0, plan->head.before);
    if (!result && plan->pidfd < 0)
        result = -EINVAL;                              /* a plan without clone launches nothing */
    if (!result && !container_new(plan, connection))
        result = -ENOMEM;
    if (result < 0) {
        launch_failed(connection, plan, result);
        return result;
    }
    struct kb_answer head = {.type = KB_STARTED, .op = -1, .pid = plan->pid, .now_ns = now_ns()};
    answer(connection, &head, plan, 0, plan->head.before + plan->head.inside, plan->head.reveal);
    return 0;
}

static void set_up(struct connection *connection, struct plan *plan)
{
    bool late = plan->head.flags & KB_RECOVERY && monitor.recovered;
    if (plan->head.after)                              /* first: what fails half way is to leave nothing either */
        farewell_set(plan);
    int result = late ? 0 : run_ops(plan, 0, plan->head.before);
    if (!result) {
        monitor.recovered |= plan->head.flags & KB_RECOVERED;
        if (plan->head.inside)
            pool_configure(plan, plan->head.before, plan->head.inside, plan->head.signal);
    }
    struct kb_answer head = {
        .type = result ? KB_FAILED : KB_OK,
        .last = 1,
        .error = -result,
        .op = plan->failed_op,
        .pid = getpid(),
        .status = monitor.recovered ? KB_RECOVERED : 0,
        .now_ns = now_ns(),
    };
    answer(connection, &head, plan, 0, plan->head.before, KB_NO_SLOT);
}

static void handle(struct connection *connection, struct plan *plan)
{
    struct container *container;
    switch (plan->head.type) {
    case KB_LAUNCH:
        launch(connection, plan);
        launch_release(plan);
        break;
    case KB_SETUP: set_up(connection, plan); break;
    case KB_SIGNAL:
        container = container_find(plan->head.token);
        answer_simple(connection, !container ? ESRCH
                                  : syscall(SYS_pidfd_send_signal, container->watch.fd, plan->head.signal, NULL, 0)
                                      ? errno
                                      : 0);
        break;
    case KB_SYNC:
        if (sweeper_idle())
            answer_simple(connection, 0);
        else
            connection->wants_sync = true;
        break;
    default: answer_simple(connection, EINVAL);
    }
    plan_close(plan);
}

/* Operations and text: behind the head, or, where they are too long for a message, in a sealed memfd. */
static int find_body(struct plan *plan, size_t size, int given, struct body *body)
{
    size_t count = (size_t)plan->head.before + plan->head.inside + plan->head.after;
    size_t wanted = count * sizeof(struct kb_op) + plan->head.text_size;
    char *bytes = message + sizeof plan->head;
    const int sealed = F_SEAL_SHRINK | F_SEAL_WRITE;
    struct stat status;
    if (count > KB_MAX_OPS || wanted > KB_MAX_PLAN || !plan->head.text_size)
        return -EINVAL;
    if (plan->head.big) {
        int fd = plan->head.big > 0 && plan->head.big <= given ? plan->slots[plan->head.big - 1] : -1;
        if (fstat(fd, &status) || (size_t)status.st_size != wanted || fcntl(fd, F_GET_SEALS) < 0 ||
            (fcntl(fd, F_GET_SEALS) & sealed) != sealed)
            return -EINVAL;
        bytes = mmap(NULL, wanted, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            return -errno;
        *body = (struct body){.mapped = bytes, .size = wanted};
    } else if (size != sizeof plan->head + wanted) {
        return -EINVAL;
    }
    body->ops = (struct kb_op *)bytes;
    body->text = bytes + count * sizeof(struct kb_op);
    return body->text[plan->head.text_size - 1] || plan->head.last_text > plan->head.text_size ? -EINVAL : 0;
}

static int take_descriptors(struct msghdr *received, struct plan *plan)
{
    int given = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(received); part; part = CMSG_NXTHDR(received, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        given = (int)((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(plan->slots, CMSG_DATA(part), (size_t)given * sizeof(int));
    }
    return given;
}

static ssize_t receive(int fd, struct plan *plan, int *given)
{
    static union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int) * MAX_FDS)];
    } control;
    struct iovec part = {message, sizeof message};
    struct msghdr received = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(fd, &received, MSG_CMSG_CLOEXEC);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? -EAGAIN : 0;
    *given = take_descriptors(&received, plan);
    return received.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EINVAL : size;
}

void connection_ready(struct connection *connection)
{
    static struct plan plan;
    static struct kb_traced trace[KB_MAX_OPS];
    struct body body = {0};
    int given = 0, result = 0;
    plan = (struct plan){.trace = trace, .failed_op = -1, .pidfd = -1};
    for (int slot = 0; slot < KB_SHARED_SLOTS; slot++)
        plan.slots[slot] = -1;
    ssize_t size = receive(connection->watch.fd, &plan, &given);
    if (size == -EAGAIN)
        return;
    if (size == 0) {
        plan_close(&plan); /* an empty message may bring descriptors too */
        connection_close(connection);
        return;
    }
    if (size < (ssize_t)sizeof plan.head)
        result = -EINVAL;
    else
        memcpy(&plan.head, message, sizeof plan.head);
    if (!result && plan.head.magic != KB_MAGIC)
        result = -EPROTO;
    if (!result)
        result = find_body(&plan, (size_t)size, given, &body);
    if (!result)
        result = validate(&plan.head, body.ops, body.text);
    plan.ops = body.ops;
    plan.text = body.text;
    monitor.record_used = 0;
    if (result) {
        plan_close(&plan);
        answer_simple(connection, -result);
    } else {
        memset(trace, 0, ((size_t)plan.head.before + plan.head.inside) * sizeof *trace);
        handle(connection, &plan);
    }
    if (body.mapped)
        munmap(body.mapped, body.size);
}
