/* Engines on the other end of the socket: requests in, answers out. A connection carries one request at a time. */
#include "monitor.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>

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
    if (connection->attached)
        attached_free(connection->attached);
    watch_end(&connection->watch);
    free(connection);
}

/* `fd` goes along where there is one; it stays ours. */
void send_answer(struct connection *connection, struct kb_answer *head, const struct kb_traced *trace, int count,
                 int fd)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {.room = {0}};
    struct iovec parts[3] = {
        {head, sizeof *head},
        {(void *)(uintptr_t)trace, (size_t)count * sizeof *trace},
        {monitor.record, monitor.record_used},
    };
    struct msghdr reply = {.msg_iov = parts, .msg_iovlen = 3};
    head->operations = (uint32_t)count;
    head->record_size = (uint32_t)monitor.record_used;
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

void answer(struct connection *connection, struct kb_answer *head, const struct plan *plan, int first, int count,
            int reveal)
{
    send_answer(connection, head, plan ? plan->trace + first : NULL, count,
                reveal == KB_NO_SLOT ? -1 : slot_fd(plan, reveal));
}

void answer_simple(struct connection *connection, int error)
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

void connections_tell(const char token[32], const void *words, size_t size)
{
    for (struct connection *connection = monitor.connections; connection; connection = connection->next) {
        if (!connection->wants_end || memcmp(connection->token, token, sizeof connection->token))
            continue;
        connection->wants_end = false;
        if (send(connection->watch.fd, words, size, MSG_NOSIGNAL) < 0)
            shutdown(connection->watch.fd, SHUT_RDWR);
    }
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
    plan.head.given = (uint16_t)given;
    monitor.record_used = 0;
    if (result) {
        plan_close(&plan);
        answer_simple(connection, -result);
    } else {
        memset(trace, 0, ((size_t)plan.head.before + plan.head.inside) * sizeof *trace);
        request_handle(connection, &plan);
    }
    if (body.mapped)
        munmap(body.mapped, body.size);
}
