/* The bytes of an archive that is written: one buffer, and texts that are gathered for it. */
#include "layers/diff.h"

#include <poll.h>
#include <stdio.h>

int diff_fault(struct diff *diff, enum kb_layer_fault fault)
{
    diff->result->fault = fault;
    return -EBADMSG;
}

/* Waits until either has something; a reader that has gone counts, and shows as EPIPE. */
static int stopped(const struct diff *diff)
{
    struct pollfd fds[2] = {{diff->options->stop, POLLIN, 0}, {diff->output, POLLOUT, 0}};
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    return fds[0].revents ? -ECANCELED : 0;
}

int diff_flush(struct diff *diff)
{
    for (size_t done = 0; done < diff->used;) {
        int result = stopped(diff);
        if (result < 0)
            return result;
        ssize_t count = write(diff->output, diff->buffer + done, diff->used - done);
        if (count < 0 && errno != EINTR && errno != EAGAIN)
            return -errno;
        done += count < 0 ? 0 : (size_t)count;
    }
    diff->used = 0;
    return 0;
}

int diff_write(struct diff *diff, const void *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        size_t here = BUFFER - diff->used < size - done ? BUFFER - diff->used : size - done;
        memcpy(diff->buffer + diff->used, (const char *)bytes + done, here);
        diff->used += here;
        done += here;
        if (diff->used == BUFFER) {
            int result = diff_flush(diff);
            if (result < 0)
                return result;
        }
    }
    return 0;
}

/* All that is written in between is whole blocks, and so is the buffer. */
int diff_pad(struct diff *diff)
{
    static const char zeros[BLOCK];
    return diff_write(diff, zeros, -diff->used % BLOCK);
}

int diff_copy(struct diff *diff, int file, uint64_t offset, uint64_t size)
{
    while (size) {
        size_t room = BUFFER - diff->used;
        ssize_t count = pread(file, diff->buffer + diff->used, size < room ? (size_t)size : room, (off_t)offset);
        if (count < 0 && errno != EINTR)
            return -errno;
        if (!count) /* somebody has just made it shorter */
            return diff_fault(diff, KB_FAULT_CHANGED);
        if (count < 0)
            continue;
        diff->used += (size_t)count;
        offset += (size_t)count;
        size -= (size_t)count;
        int result = diff->used == BUFFER ? diff_flush(diff) : 0;
        if (result < 0)
            return result;
    }
    return 0;
}

int gather(struct gathered *text, const void *bytes, size_t size)
{
    if (size > text->room - text->used) {
        size_t room = 2 * text->room + size;
        char *moved = realloc(text->bytes, room);
        if (!moved)
            return -ENOMEM;
        text->bytes = moved;
        text->room = room;
    }
    if (size) /* none may come from nowhere */
        memcpy(text->bytes + text->used, bytes, size);
    text->used += size;
    return 0;
}

/* The length counts its own digits. */
int gather_record(struct gathered *text, const char *key, const void *value, size_t size)
{
    char lead[XATTR_NAME_MAX + 64];
    const size_t rest = strlen(key) + size + 3;
    size_t length = rest + 1;
    for (size_t power = 10; power <= length; power *= 10)
        length++;
    int count = snprintf(lead, sizeof lead, "%zu %s=", length, key);
    int result = gather(text, lead, (size_t)count);
    if (result >= 0 && (result = gather(text, value, size)) >= 0)
        result = gather(text, "\n", 1);
    return result;
}
