/* After the last process: counters into the record, then the container's traces away. Every operation here may run
 * twice or on what was never made: the same list cleans up after a launch that failed half way. */
#include "monitor.h"

#include <poll.h>
#include <time.h>

void record_add(uint32_t key, const void *bytes, size_t size)
{
    uint32_t head[2] = {key, (uint32_t)size};
    if (monitor.record_used + sizeof head + size > sizeof monitor.record)
        return;
    memcpy(monitor.record + monitor.record_used, head, sizeof head);
    memcpy(monitor.record + monitor.record_used + sizeof head, bytes, size);
    monitor.record_used += sizeof head + size;
}

OPERATION(op_read)
{
    char text[8192];
    int fd = openat(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    ssize_t count = read(fd, text, sizeof text);
    int error = errno;
    close(fd);
    if (count < 0)
        return error == ENODEV ? 0 : -error; /* a counter of a controller that is going away */
    record_add((uint32_t)op->num[0], text, (size_t)count);
    return 0;
}

static bool populated(int events)
{
    char text[256];
    ssize_t count = pread(events, text, sizeof text - 1, 0);
    if (count <= 0)
        return false;
    text[count] = 0;
    return strstr(text, "populated 1") != NULL;
}

OPERATION(op_wait_empty)
{
    /* Almost always empty already: a pid namespace ends with all its processes. Only a shared one leaves some to wait
     * for. */
    int group = openat(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (group < 0)
        return errno == ENOENT ? 0 : -errno;
    struct pollfd events = {openat(group, "cgroup.events", O_RDONLY | O_CLOEXEC), POLLPRI, 0};
    close(group);
    if (events.fd < 0)
        return -errno;
    int result = 0;
    while (!result && populated(events.fd))
        if (poll(&events, 1, 2000) == 0)
            result = -ETIMEDOUT;
    close(events.fd);
    return result;
}

OPERATION(op_rmdir)
{
    /* A process that has ended is still counted in its group for a moment. */
    struct timespec moment = {0, 200000};
    for (uint64_t tries = 1;; tries++) {
        if (!unlinkat(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), AT_REMOVEDIR) || errno == ENOENT)
            return 0;
        if (errno != EBUSY || tries >= op->num[0])
            return -errno;
        nanosleep(&moment, NULL);
    }
}

OPERATION(op_unlink)
{
    return unlinkat(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), 0) && errno != ENOENT ? -errno : 0;
}

OPERATION(op_sweep)
{
    return sweep(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]), slot_fd(plan, op->slot[1]));
}
