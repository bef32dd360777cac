/* The image as it goes to its file: mostly front to back, and never more than 16 TiB, which is what its numbers of
 * blocks can say. What is skipped stays a hole of the file, so the output must be empty. */
#include "layers/erofs_inner.h"

static const uint64_t MOST = (uint64_t)UINT32_MAX << EROFS_BLOCK_BITS;

static uint64_t turned(uint64_t word) { return word << 29 | word >> 35; }

/* Two lanes, that the multiplications of one need not wait for the other's. */
void fingerprint_add(struct fingerprint *seen, const char *bytes, size_t size, uint64_t at)
{
    uint64_t a = (seen->a ^ at) * 0x9E3779B97F4A7C15, b = (seen->b ^ size) * 0xC2B2AE3D27D4EB4F, words[2];
    for (; size; bytes += sizeof words, size -= sizeof words) {
        if (size < sizeof words) {
            memset(words, 0, sizeof words);
            memcpy(words, bytes, size);
            size = sizeof words;
        } else
            memcpy(words, bytes, sizeof words);
        a = turned((a ^ le64toh(words[0])) * 0x9E3779B97F4A7C15);
        b = turned((b ^ le64toh(words[1])) * 0xC2B2AE3D27D4EB4F);
    }
    seen->a = a ^ turned(b);
    seen->b = b ^ turned(a);
}

int stream_patch(struct stream *stream, const void *bytes, size_t size, uint64_t at)
{
    const char *from = bytes;
    fingerprint_add(&stream->seen, from, size, at);
    while (size) {
        ssize_t count = pwrite(stream->output, from, size, (off_t)at);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count ? -errno : -EIO;
        from += count;
        at += (uint64_t)count;
        size -= (size_t)count;
    }
    return 0;
}

int stream_flush(struct stream *stream)
{
    size_t size = stream->used;
    stream->used = 0;
    return size ? stream_patch(stream, stream->buffer, size, stream->at - size) : 0;
}

int stream_put(struct stream *stream, const void *bytes, size_t size)
{
    if (size > MOST - stream->at)
        return -EFBIG;
    if (size > STREAM - stream->used || size >= STREAM / 4) {
        int result = stream_flush(stream);
        if (result < 0)
            return result;
    }
    stream->at += size;
    if (size >= STREAM / 4)
        return stream_patch(stream, bytes, size, stream->at - size);
    memcpy(stream->buffer + stream->used, bytes, size);
    stream->used += size;
    return 0;
}

int stream_skip(struct stream *stream, uint64_t size)
{
    if (size > MOST - stream->at)
        return -EFBIG;
    if (stream->used && size <= STREAM - stream->used) {
        memset(stream->buffer + stream->used, 0, size);
        stream->used += size;
    } else {
        int result = stream_flush(stream);
        if (result < 0)
            return result;
    }
    stream->at += size;
    return 0;
}

int stream_align(struct stream *stream) { return stream_skip(stream, -stream->at % EROFS_BLOCK); }
