/* The bytes of the archive: through one buffer, so that a header costs no system call. */
#include "layers/tar_inner.h"

#include <poll.h>
#include <unistd.h>

/* Waits for either. What is at its end can be read from, too. */
static int stopped(const struct kb_tar *tar)
{
    struct pollfd fds[2] = {{tar->options->stop, POLLIN, 0}, {tar->input, POLLIN, 0}};
    while (poll(fds, 2, -1) < 0)
        if (errno != EINTR)
            return -errno;
    return fds[0].revents ? -ECANCELED : 0;
}

static ssize_t read_some(struct kb_tar *tar, char *into, size_t size)
{
    for (;;) {
        int result = stopped(tar);
        if (result < 0)
            return result;
        ssize_t count = read(tar->input, into, size);
        if (count >= 0)
            return count;
        if (errno != EINTR && errno != EAGAIN)
            return -errno;
    }
}

int tar_fill(struct kb_tar *tar, size_t size)
{
    if (tar->end - tar->begin >= size)
        return 1;
    if (tar->begin + size > BUFFER || tar->begin == tar->end) {
        memmove(tar->buffer, tar->buffer + tar->begin, tar->end - tar->begin);
        tar->end -= tar->begin;
        tar->begin = 0;
    }
    while (tar->end - tar->begin < size) {
        ssize_t count = tar->ended ? 0 : read_some(tar, tar->buffer + tar->end, BUFFER - tar->end);
        if (count < 0)
            return (int)count;
        if (!count) {
            tar->ended = true;
            return 0;
        }
        tar->end += (size_t)count;
    }
    return 1;
}

const char *tar_block(struct kb_tar *tar, int *result)
{
    *result = tar_fill(tar, BLOCK);
    if (*result == 0 && tar->end > tar->begin)
        *result = kb_tar_fault(tar, KB_FAULT_ENDS_EARLY);
    if (*result <= 0)
        return NULL;
    tar->begin += BLOCK;
    return tar->buffer + tar->begin - BLOCK;
}

int tar_skip(struct kb_tar *tar, uint64_t size)
{
    while (size) {
        int result = tar_fill(tar, 1);
        if (result <= 0)
            return result < 0 ? result : kb_tar_fault(tar, KB_FAULT_ENDS_EARLY);
        size_t here = tar->end - tar->begin;
        here = size < here ? (size_t)size : here;
        tar->begin += here;
        size -= here;
    }
    return 0;
}

int tar_text(struct kb_tar *tar, uint64_t size, struct text *text)
{
    if (size > MOST_RECORDS)
        return kb_tar_fault(tar, KB_FAULT_RECORDS);
    char *bytes = realloc(text->bytes, (size_t)size + 1);
    if (!bytes)
        return -ENOMEM;
    text->bytes = bytes;
    text->size = 0;
    while (text->size < size) {
        int result = tar_fill(tar, 1);
        if (result <= 0)
            return result < 0 ? result : kb_tar_fault(tar, KB_FAULT_ENDS_EARLY);
        size_t here = tar->end - tar->begin, wanted = (size_t)size - text->size;
        here = wanted < here ? wanted : here;
        memcpy(bytes + text->size, tar->buffer + tar->begin, here);
        tar->begin += here;
        text->size += here;
    }
    bytes[size] = 0;
    return tar_skip(tar, -size % BLOCK);
}
