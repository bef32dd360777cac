/* Block 0, written last: before that the image is none. */
#include "layers/erofs_inner.h"

/* CRC-32C (Castagnoli), without the complement at the end. */
static uint32_t checksum(const unsigned char *bytes, size_t size)
{
    uint32_t sum = UINT32_MAX;
    for (size_t at = 0; at < size; at++) {
        sum ^= bytes[at];
        for (int bit = 0; bit < 8; bit++)
            sum = sum >> 1 ^ (sum & 1 ? 0x82F63B78 : 0);
    }
    return sum;
}

/* Version 8 of RFC 9562: made of what was written, so the same archive gives the same image. */
static void make_uuid(const struct fingerprint *seen, uint8_t uuid[16])
{
    uint64_t halves[2] = {htole64(seen->a), htole64(seen->b)};
    memcpy(uuid, halves, sizeof halves);
    uuid[6] = (uint8_t)(0x80 | (uuid[6] & 0x0f));
    uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
}

int super_write(struct image *image, uint64_t inodes)
{
    const struct folder *root = folder_at(&image->tree, 0);
    const struct erofs_inode inode = folder_inode(image, 0);
    char block[EROFS_BLOCK] = {0};
    struct erofs_super super = {
        .magic = htole32(EROFS_MAGIC),
        .compatible = htole32(EROFS_CHECKSUM | EROFS_OWN_TIMES),
        .block_bits = EROFS_BLOCK_BITS,
        .root = htole16(EROFS_ROOT_AT / EROFS_UNIT),
        .inodes = htole64(inodes),
        .blocks = htole32((uint32_t)(image->stream.at >> EROFS_BLOCK_BITS)),
        .incompatible = htole32(image->chunked ? EROFS_CHUNKED : 0),
    };
    memcpy(block + EROFS_ROOT_AT, &inode, sizeof inode);
    if (root->attributes.size)
        memcpy(block + EROFS_ROOT_AT + sizeof inode, root->attributes.bytes, root->attributes.size);
    struct fingerprint seen = image->stream.seen;
    fingerprint_add(&seen, block, sizeof block, image->stream.at);
    make_uuid(&seen, super.uuid);
    memcpy(block + EROFS_MAGIC_AT, &super, sizeof super);
    super.checksum = htole32(checksum((const unsigned char *)block + EROFS_MAGIC_AT, EROFS_BLOCK - EROFS_MAGIC_AT));
    memcpy(block + EROFS_MAGIC_AT, &super, sizeof super);
    if (ftruncate(image->stream.output, (off_t)image->stream.at) < 0)
        return -errno;
    return stream_patch(&image->stream, block, sizeof block, 0);
}
