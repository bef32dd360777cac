/* The engine's side of a conversation with the monitor: one call sends a request, moves input and output, and returns
 * only when Python has something to do. With a busy interpreter each return can cost 5 ms, so they are few. */
#include "kb.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

enum { MAX_PASSED = 128 };

int kb_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int make_pipes(struct kb_talk *talk, int *passed, int *count)
{
    int *ours[3] = {&talk->inp, &talk->out, &talk->err};
    for (int i = 0; i < 3; i++) {
        int ends[2];
        if (!(talk->pipes & 1 << i))
            continue;
        if (pipe2(ends, O_CLOEXEC))
            return -errno;
        if (talk->uid && fchown(ends[0], talk->uid, talk->gid)) /* one inode has both ends */
            talk->uid = 0; /* not ours to give, as for ordinary users: it stays as it is */
        *ours[i] = ends[i == 0];
        passed[(*count)++] = ends[i != 0];
        if (fcntl(*ours[i], F_SETFL, O_NONBLOCK))
            return -errno;
    }
    return 0;
}

static int send_message(int socket, const void *bytes, size_t size, const int *fds, int count)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int) * MAX_PASSED)];
    } control;
    struct iovec part = {(void *)(uintptr_t)bytes, size};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * (size_t)count);
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

static int send_request(struct kb_talk *talk)
{
    int passed[MAX_PASSED], count = talk->count;
    if (count + 3 > MAX_PASSED)
        return -EINVAL;
    memcpy(passed, talk->fds, sizeof(int) * (size_t)count);
    int result = make_pipes(talk, passed, &count);
    if (!result)
        result = send_message(talk->socket, talk->request, talk->size, passed, count);
    for (int i = talk->count; i < count; i++)
        close(passed[i]);
    if (result) {
        close_fd(&talk->inp);
        close_fd(&talk->out);
        close_fd(&talk->err);
    }
    talk->sent = 1;
    return result;
}

static void take_descriptor(struct kb_talk *talk, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part))
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS)
            memcpy(&talk->received_fd, CMSG_DATA(part), sizeof(int));
    if (talk->adopt && talk->received_fd >= 0) {
        talk->out = talk->received_fd; /* at the end of a terminal a read gives EIO: read_output closes it */
        talk->received_fd = -1;
        fcntl(talk->out, F_SETFL, O_NONBLOCK);
    }
}

/* struct kb_answer begins with its type and whether it is the last one (plan.h). */
static int receive(struct kb_talk *talk)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    uint32_t length;
    if (talk->reply_used + sizeof length >= talk->reply_size)
        return -ENOBUFS;
    char *at = talk->reply + talk->reply_used + sizeof length;
    struct iovec part = {at, talk->reply_size - talk->reply_used - sizeof length};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t size = recvmsg(talk->socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (size == 0)
        return KB_GONE;
    take_descriptor(talk, &message);
    if (message.msg_flags & MSG_TRUNC)
        return -ENOBUFS;
    if (message.msg_flags & MSG_CTRUNC) /* no descriptor was left for the one that came */
        return -EMFILE;
    length = (uint32_t)size;
    memcpy(at - sizeof length, &length, sizeof length);
    talk->reply_used += sizeof length + length;
    uint16_t head[2] = {0, 0};
    memcpy(head, at, (size_t)size < sizeof head ? (size_t)size : sizeof head);
    talk->finished = head[1];
    return 0;
}

static void write_input(struct kb_talk *talk)
{
    /* A reader that went away is its own business, and must not cost us a SIGPIPE: pipes have no MSG_NOSIGNAL. */
    sigset_t broken, before, pending;
    struct timespec none = {0, 0};
    sigemptyset(&broken);
    sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, &before);
    ssize_t count = write(talk->inp, talk->input + talk->input_done, talk->input_size - talk->input_done);
    int error = errno;
    if (count < 0 && error == EPIPE && !sigpending(&pending) && sigismember(&pending, SIGPIPE))
        sigtimedwait(&broken, NULL, &none);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (count > 0)
        talk->input_done += (size_t)count;
    if (talk->input_done == talk->input_size || (count < 0 && error != EAGAIN && error != EINTR))
        close_fd(&talk->inp);
}

static void read_output(int *fd, char *buffer, size_t size, size_t *used)
{
    ssize_t count = read(*fd, buffer + *used, size - *used);
    if (count > 0)
        *used += (size_t)count;
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        close_fd(fd);
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int remaining(long deadline)
{
    if (deadline < 0)
        return -1;
    long left = deadline - now_ms();
    return left > 0 ? (int)left : 0;
}

static long earlier(long a, long b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

static int state(const struct kb_talk *talk)
{
    if (talk->finished && talk->out < 0 && talk->err < 0)
        return KB_DONE;
    if (talk->out_used == talk->buffer_size || talk->err_used == talk->buffer_size)
        return KB_FULL;
    return 0;
}

static int step(struct kb_talk *talk, int wait_ms)
{
    struct pollfd watched[4] = {
        {talk->finished ? -1 : talk->socket, POLLIN, 0},
        {talk->out, POLLIN, 0},
        {talk->err, POLLIN, 0},
        {talk->inp, POLLOUT, 0},
    };
    if (poll(watched, 4, wait_ms) < 0)
        return -errno;
    if (watched[3].revents)
        write_input(talk);
    if (watched[1].revents)
        read_output(&talk->out, talk->out_buffer, talk->buffer_size, &talk->out_used);
    if (watched[2].revents)
        read_output(&talk->err, talk->err_buffer, talk->buffer_size, &talk->err_used);
    return watched[0].revents ? receive(talk) : 0;
}

int kb_converse(struct kb_talk *talk, int tick_ms, int timeout_ms)
{
    long deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms, tick = -1;
    int result = talk->sent ? 0 : send_request(talk);
    while (!result && !(result = state(talk))) {
        if (tick < 0 && tick_ms >= 0 && talk->out_used + talk->err_used)
            tick = now_ms() + tick_ms; /* also for what came during an earlier call */
        int wait_ms = remaining(earlier(deadline, tick));
        result = step(talk, wait_ms);
        if (!result && wait_ms == 0)
            return state(talk) | KB_TICK;
    }
    if (result < 0 || talk->finished) /* nobody is left to read what was not written yet */
        if (result != -EINTR)
            close_fd(&talk->inp);
    return result;
}
