/* Connections that are attached to a container: they get copies of what it writes, and at last how it ended. */
#include "monitor.h"

#include <sys/epoll.h>
#include <sys/socket.h>

static void outlet_close(struct outlet *outlet)
{
    if (outlet->watch.fd < 0)
        return;
    watch_end(&outlet->watch);
    free(outlet->pending);
    outlet->pending = NULL;
    outlet->used = 0;
}

static void unlink_attached(struct attached *attached)
{
    struct attached **link = attached->life ? &attached->life->attached : NULL;
    for (; link && *link; link = &(*link)->next)
        if (*link == attached) {
            *link = attached->next;
            return;
        }
}

static void resume_streams(struct life *life)
{
    for (int number = 0; life && number < 2; number++)
        if (!attached_waits(life, number))
            stream_resume(&life->streams[number]);
}

void attached_free(struct attached *attached)
{
    struct life *life = attached->life;
    unlink_attached(attached);
    for (int number = 0; number < 2; number++)
        outlet_close(&attached->outlets[number]);
    attached->connection->attached = NULL;
    free(attached->last);
    free(attached);
    resume_streams(life);
}

int attach(struct life *life, struct connection *connection, struct plan *plan)
{
    struct attached *attached = connection->attached ? NULL : calloc(1, sizeof *attached);
    if (!attached)
        return connection->attached ? -EBUSY : -ENOMEM;
    *attached = (struct attached){.next = life->attached, .connection = connection, .life = life};
    for (int number = 0; number < 2; number++) {
        int fd = take_fd(plan, plan->head.life.attach[number]);
        attached->outlets[number] = (struct outlet){.watch = {WATCH_OUTLET, fd}, .owner = attached};
        if (fd >= 0)
            fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    connection->attached = life->attached = attached;
    return 0;
}

bool attached_waits(const struct life *life, int number)
{
    for (const struct attached *attached = life->attached; attached; attached = attached->next)
        if (attached->outlets[number].used)
            return true;
    return false;
}

static void give(struct outlet *outlet, const char *bytes, size_t size)
{
    ssize_t count = outlet->used ? 0 : write(outlet->watch.fd, bytes, size);
    if (count < 0 && errno != EAGAIN && errno != EINTR) {
        outlet_close(outlet);                          /* it does not want to know any more */
        return;
    }
    size_t done = count > 0 ? (size_t)count : 0;
    if (done == size)
        return;
    char *more = realloc(outlet->pending, outlet->used + size - done);
    if (!more)
        return;
    memcpy(more + outlet->used, bytes + done, size - done);
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = &outlet->watch};
    if (!outlet->used)
        epoll_ctl(monitor.epoll, EPOLL_CTL_ADD, outlet->watch.fd, &event);
    outlet->pending = more;
    outlet->used += size - done;
}

void attached_give(struct life *life, int number, const char *bytes, size_t size)
{
    for (struct attached *attached = life->attached; attached; attached = attached->next)
        if (attached->outlets[number].watch.fd >= 0)
            give(&attached->outlets[number], bytes, size);
}

/* The last message follows the last byte: who has both knows that there is no more. */
static void finish(struct attached *attached)
{
    struct connection *connection = attached->connection;
    if (attached->life || !attached->last || attached->outlets[0].used || attached->outlets[1].used)
        return;
    if (send(connection->watch.fd, attached->last, attached->last_size, MSG_NOSIGNAL) < 0)
        shutdown(connection->watch.fd, SHUT_RDWR);
    attached_free(attached);
}

void outlet_ready(struct outlet *outlet)
{
    struct attached *attached = outlet->owner;
    ssize_t count = write(outlet->watch.fd, outlet->pending, outlet->used);
    if (count < 0 && errno != EAGAIN && errno != EINTR)
        outlet_close(outlet);
    else if (count > 0) {
        outlet->used -= (size_t)count;
        memmove(outlet->pending, outlet->pending + count, outlet->used);
        if (!outlet->used)
            epoll_ctl(monitor.epoll, EPOLL_CTL_DEL, outlet->watch.fd, NULL);
    }
    resume_streams(attached->life);
    finish(attached);
}

void attached_tell(struct life *life, const void *message, size_t size)
{
    while (life->attached) {
        struct attached *attached = life->attached;
        life->attached = attached->next;
        attached->life = NULL;
        attached->last = malloc(size);
        attached->last_size = size;
        if (!attached->last) {
            shutdown(attached->connection->watch.fd, SHUT_RDWR);
            continue;
        }
        memcpy(attached->last, message, size);
        finish(attached);
    }
}
