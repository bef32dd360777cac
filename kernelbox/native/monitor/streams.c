/* What a container that is kept writes: read, logged, copied to whoever is attached.
 *
 * The container's ends are FIFOs that it holds open itself for reading too, so that they outlive this process: what
 * nobody has read yet waits there for the next monitor. Bytes are looked at first (tee), logged, and only then taken
 * out: one that is killed in between writes a line twice, and loses none.
 *
 * The container can do with its FIFOs what it likes: read from them itself, turn them into packets (O_DIRECT), go on
 * writing through somebody else when it has ended. That may spoil its own log, and nothing else. */
#include "monitor.h"

#include <sys/epoll.h>
#include <sys/ioctl.h>

enum { CHUNK = 65536, MOST_OF_TERMINAL = 1 << 20 };

static int scratch[2] = {-1, -1};
static char bytes[CHUNK];

int stream_open(struct life *life, int number, int fd, bool terminal)
{
    struct stream *stream = &life->streams[number];
    if (scratch[0] < 0 && pipe2(scratch, O_CLOEXEC | O_NONBLOCK))
        return -errno;
    *stream = (struct stream){.watch = {WATCH_STREAM, fd}, .life = life, .terminal = terminal};
    if (fd < 0)
        return 0;
    if (fcntl(fd, F_SETFL, O_NONBLOCK))
        return -errno;
    return watch_add(&stream->watch);
}

static void stream_close(struct stream *stream)
{
    if (stream->watch.fd >= 0)
        watch_end(&stream->watch);
}

/* At most `size` bytes, and less only where there are no more: a pipe of packets gives one at a time. */
static ssize_t read_all(int fd, size_t size)
{
    size_t done = 0;
    ssize_t count = 0;
    while (done < size && (count = read(fd, bytes + done, size - done)) > 0)
        done += (size_t)count;
    return done ? (ssize_t)done : count;
}

/* How many bytes were taken; 0 where there are none for now or for ever. */
static size_t take(struct stream *stream)
{
    struct life *life = stream->life;
    int number = stream == &life->streams[1];
    ssize_t count = stream->terminal ? read(stream->watch.fd, bytes, sizeof bytes)
                                     : tee(stream->watch.fd, scratch[1], sizeof bytes, SPLICE_F_NONBLOCK);
    if (count > 0 && !stream->terminal)
        count = read_all(scratch[0], (size_t)count);   /* nothing stays there for the next container's log */
    if (count <= 0) {
        if (count == 0 || (errno != EAGAIN && errno != EINTR))
            stream_close(stream);
        return 0;
    }
    log_write(life, number, bytes, (size_t)count);
    attached_give(life, number, bytes, (size_t)count);
    if (!stream->terminal)
        read_all(stream->watch.fd, (size_t)count);     /* less than that where the container has taken some itself */
    return (size_t)count;
}

void stream_ready(struct stream *stream)
{
    if (!attached_waits(stream->life, stream == &stream->life->streams[1])) {
        take(stream);
        return;
    }
    epoll_ctl(monitor.epoll, EPOLL_CTL_DEL, stream->watch.fd, NULL);
    stream->paused = true;
}

void stream_resume(struct stream *stream)
{
    if (stream->paused && !watch_add(&stream->watch))
        stream->paused = false;
}

/* What is in it now. Somebody the container has given it to may write on and on, so not until there is no more. */
static void drain(struct stream *stream)
{
    int waiting = MOST_OF_TERMINAL;
    if (stream->watch.fd < 0 || (!stream->terminal && ioctl(stream->watch.fd, FIONREAD, &waiting)))
        return;
    for (size_t count = 1, left = (size_t)waiting; left && count && stream->watch.fd >= 0;) {
        count = take(stream);
        left -= count < left ? count : left;
    }
}

void streams_drain(struct life *life)
{
    for (int number = 0; number < 2; number++)
        drain(&life->streams[number]);
}

void streams_close(struct life *life)
{
    for (int number = 0; number < 2; number++)
        stream_close(&life->streams[number]);
}
