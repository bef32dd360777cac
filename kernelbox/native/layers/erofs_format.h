/* EROFS as it lies on disk (Documentation/filesystems/erofs.rst): a read-only file system in which an inode is found by
 * its number, which is its place in units of 32 bytes. Numbers are little-endian.
 *
 * Of the format only this is used: extended inodes, content in whole blocks ("plain"), with its end behind the inode
 * ("inline"), or by a map of chunks with holes; attributes behind their inode; one checksum. Linux reads all of it
 * since 5.15, where chunks came. */
#ifndef KB_LAYERS_EROFS_FORMAT_H
#define KB_LAYERS_EROFS_FORMAT_H

#include <endian.h>
#include <stdint.h>

enum {
    EROFS_BLOCK_BITS = 12,
    EROFS_BLOCK = 1 << EROFS_BLOCK_BITS,
    EROFS_UNIT = 32,
    EROFS_MAGIC_AT = 1024, /* the superblock, in block 0 */
    EROFS_ROOT_AT = 1024 + 128, /* the root's number has 16 bits only */
    EROFS_CHECKSUM = 1, /* compatible features */
    EROFS_OWN_TIMES = 2,
    EROFS_CHUNKED = 4, /* the incompatible feature that some images need */
    EROFS_EXTENDED = 1, /* bit 0 of an inode's format; the layout is above it */
    EROFS_PLAIN = 0,
    EROFS_INLINE = 2,
    EROFS_CHUNKS = 4,
    EROFS_MOST_CHUNK_BITS = 31, /* above those of a block */
};

static const uint32_t EROFS_MAGIC = 0xE0F5E1E2;
static const uint32_t EROFS_HOLE = UINT32_MAX; /* in a map of chunks, where a block's number would be */

struct erofs_super {
    uint32_t magic, checksum, compatible;
    uint8_t block_bits, more_slots;
    uint16_t root;
    uint64_t inodes, time;
    uint32_t time_ns, blocks, meta_block, xattr_block;
    uint8_t uuid[16], volume[16];
    uint32_t incompatible;
    uint16_t compression, devices, device_slot;
    uint8_t folder_block_bits, prefixes;
    uint32_t prefix_start;
    uint64_t packed;
    uint8_t filter, reserved[23];
} __attribute__((packed));

struct erofs_inode {
    uint16_t format, xattr_units, mode, reserved;
    uint64_t size;
    uint32_t where; /* the first block; of a device its number; of chunks how large they are */
    uint32_t number, uid, gid;
    uint64_t mtime;
    uint32_t mtime_ns, links;
    uint8_t reserved2[16];
} __attribute__((packed));

struct erofs_xattr_head {
    uint32_t filter;
    uint8_t shared, reserved[7];
} __attribute__((packed));

struct erofs_xattr {
    uint8_t name_size, prefix;
    uint16_t size;
} __attribute__((packed));

struct erofs_dirent {
    uint64_t inode;
    uint16_t name_at;
    uint8_t kind, reserved;
} __attribute__((packed));

_Static_assert(sizeof(struct erofs_super) == 128 && sizeof(struct erofs_inode) == 64, "as on disk");
_Static_assert(sizeof(struct erofs_xattr_head) == 12 && sizeof(struct erofs_dirent) == 12, "as on disk");

#endif
