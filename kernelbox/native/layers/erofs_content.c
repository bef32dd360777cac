/* The content of a file. One without holes is written in one piece, where it is not short enough to lie behind its
 * inode. One with holes gets a map of chunks, each of them there as a whole or not at all. */
#include "layers/erofs_inner.h"

enum {
    MOST_CHUNK_BITS = 19, /* above a block's: 2 GiB */
    MAP_SHARE_BITS = 10,  /* of what maps may yet take, one takes a thousandth: so they never take it all */
};

struct content {
    struct image *image;
    uint64_t size, begin, done; /* `done`: up to there, holes included */
    uint64_t end_from;          /* from there on content goes behind the inode */
    size_t end_used;
    uint32_t *map; /* once there is a hole */
    uint32_t chunks;
    unsigned int chunk_bits; /* of a chunk's size in bytes */
    uint64_t last;           /* where the chunk lies that was begun last; 0: none was */
    char end[INLINE];
};

static int make_map(struct content *content)
{
    struct image *image = content->image;
    uint64_t most = image->map_left >> MAP_SHARE_BITS, chunks;
    unsigned int bits = 0;
    most = most ? most : 1;
    while ((chunks = (content->size - 1) >> (EROFS_BLOCK_BITS + bits)) >= most && bits < MOST_CHUNK_BITS)
        bits++;
    if (chunks >= most)
        return -EFBIG;
    content->chunks = (uint32_t)chunks + 1;
    content->chunk_bits = EROFS_BLOCK_BITS + bits;
    content->map = malloc(content->chunks * sizeof *content->map);
    if (!content->map)
        return -ENOMEM;
    memset(content->map, 0xff, content->chunks * sizeof *content->map);
    image->map_left -= content->chunks < image->map_left ? content->chunks : image->map_left;
    image->chunked = true;
    return 0;
}

/* The first hole: what came before it is in chunks from now on. */
static int begin_map(struct content *content)
{
    int result = stream_put(&content->image->stream, content->end, content->end_used);
    if (result < 0 || (result = make_map(content)) < 0)
        return result;
    content->end_from = content->size;
    for (uint64_t chunk = 0; chunk << content->chunk_bits < content->done; chunk++) {
        content->last = content->begin + (chunk << content->chunk_bits);
        content->map[chunk] = htole32((uint32_t)(content->last >> EROFS_BLOCK_BITS));
    }
    return 0;
}

/* Goes to the place of `offset`, whose chunk it begins where need be. */
static int seek(struct content *content, uint64_t offset)
{
    struct stream *stream = &content->image->stream;
    uint32_t *where = &content->map[offset >> content->chunk_bits];
    uint64_t chunk_size = (uint64_t)1 << content->chunk_bits;
    if (le32toh(*where) == EROFS_HOLE) {
        int result =
            content->last ? stream_skip(stream, content->last + chunk_size - stream->at) : stream_align(stream);
        if (result < 0)
            return result;
        content->last = stream->at;
        *where = htole32((uint32_t)(stream->at >> EROFS_BLOCK_BITS));
    }
    return stream_skip(stream, content->last + (offset & (chunk_size - 1)) - stream->at);
}

static int put_in_chunks(struct content *content, const struct kb_piece *piece)
{
    for (size_t at = 0; at < piece->size;) {
        uint64_t offset = piece->offset + at, left = piece->size - at;
        uint64_t here = (((offset >> content->chunk_bits) + 1) << content->chunk_bits) - offset;
        here = left < here ? left : here;
        int result = seek(content, offset);
        if (result < 0 || (result = stream_put(&content->image->stream, piece->bytes + at, here)) < 0)
            return result;
        at += here;
    }
    return 0;
}

static int put(struct content *content, const struct kb_piece *piece)
{
    if (piece->offset > content->done && !content->map) {
        int result = begin_map(content);
        if (result < 0)
            return result;
    }
    content->done = piece->offset + piece->size;
    if (content->map)
        return put_in_chunks(content, piece);
    uint64_t straight = piece->offset < content->end_from ? content->end_from - piece->offset : 0;
    size_t head = straight < piece->size ? (size_t)straight : piece->size;
    memcpy(content->end + content->end_used, piece->bytes + head, piece->size - head);
    content->end_used += piece->size - head;
    return stream_put(&content->image->stream, piece->bytes, head);
}

/* To the end of the last chunk, which is the file's end where that comes first: the image has to be that long. */
static int finish_chunks(struct content *content)
{
    struct stream *stream = &content->image->stream;
    uint64_t over = content->size & (((uint64_t)1 << content->chunk_bits) - 1);
    bool last_is_short = over && le32toh(content->map[content->chunks - 1]) != EROFS_HOLE;
    uint64_t size = last_is_short ? over : (uint64_t)1 << content->chunk_bits;
    int result = content->last ? stream_skip(stream, content->last + size - stream->at) : 0;
    return result < 0 ? result : stream_align(stream);
}

static int finish(struct content *content, struct erofs_inode *inode, uint64_t *number)
{
    struct image *image = content->image;
    int result = 0;
    if (content->done < content->size && !content->map)
        result = begin_map(content);
    if (result < 0)
        return result;
    inode->size = htole64(content->size);
    if (content->map) {
        result = finish_chunks(content);
        inode->format = htole16(EROFS_EXTENDED | EROFS_CHUNKS << 1);
        inode->where = htole32(content->chunk_bits - EROFS_BLOCK_BITS);
        size_t size = content->chunks * sizeof *content->map;
        return result < 0 ? result : inode_place(image, inode, content->map, size, number);
    }
    inode->where = htole32((uint32_t)(content->begin >> EROFS_BLOCK_BITS));
    if (content->end_used)
        inode->format = htole16(EROFS_EXTENDED | EROFS_INLINE << 1);
    result = stream_align(&image->stream);
    return result < 0 ? result : inode_place(image, inode, content->end, content->end_used, number);
}

static int pieces(struct content *content)
{
    struct kb_piece piece;
    int result;
    while ((result = kb_tar_piece(content->image->tar, &piece)) > 0)
        if ((result = put(content, &piece)) < 0)
            break;
    return result;
}

int content_write(struct image *image, const struct kb_entry *entry, uint64_t *number)
{
    struct erofs_inode inode = inode_of(entry);
    size_t end = entry->size % EROFS_BLOCK;
    bool beside = sizeof inode + image->attributes.size + end <= INLINE;
    struct content content;
    memset(&content, 0, offsetof(struct content, end));
    content.image = image;
    content.size = entry->size;
    content.end_from = beside ? entry->size - end : entry->size;
    int result = stream_align(&image->stream);
    content.begin = image->stream.at;
    if (result >= 0 && (result = pieces(&content)) >= 0)
        result = finish(&content, &inode, number);
    free(content.map);
    return result;
}
