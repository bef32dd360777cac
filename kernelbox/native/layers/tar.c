/* The entries of an archive, one after the other. Where tar programs differ, it reads as those do that the field
 * unpacks layers with: links, folders, devices and FIFOs have no content whatever their size says. */
#include "layers/tar_inner.h"

#include <sys/stat.h>

struct kb_tar *kb_tar_open(int input, const struct kb_layer_options *options, struct kb_layer_result *result)
{
    struct kb_tar *tar = malloc(sizeof *tar);
    if (!tar)
        return NULL;
    memset(tar, 0, offsetof(struct kb_tar, buffer));
    tar->input = input;
    tar->options = options;
    tar->result = result;
    return tar;
}

void kb_tar_close(struct kb_tar *tar)
{
    if (!tar)
        return;
    free(tar->regions);
    free(tar->own_text.bytes);
    free(tar->every_text.bytes);
    free(tar->long_name.bytes);
    free(tar->long_link.bytes);
    free(tar);
}

void kb_tar_note(struct kb_tar *tar)
{
    struct kb_layer_result *result = tar->result;
    memccpy(result->name, tar->called ? tar->called : "", 0, sizeof result->name - 1);
    result->name[sizeof result->name - 1] = 0;
}

int kb_tar_fault(struct kb_tar *tar, enum kb_layer_fault fault)
{
    tar->result->fault = fault;
    kb_tar_note(tar);
    return -EBADMSG;
}

static bool good_checksum(const struct header *header)
{
    const unsigned char *bytes = (const unsigned char *)header;
    const size_t from = offsetof(struct header, checksum), to = from + sizeof header->checksum;
    int64_t wanted, sum = 0, with_signs = 0; /* some old programs added them up as signed characters */
    for (size_t at = 0; at < BLOCK; at++) {
        unsigned char byte = at < from || at >= to ? bytes[at] : ' ';
        sum += byte;
        with_signs += (signed char)byte;
    }
    return tar_number(header->checksum, sizeof header->checksum, &wanted) && (wanted == sum || wanted == with_signs);
}

static bool all_zero(const char *block) { return !*block && !memcmp(block, block + 1, BLOCK - 1); }

/* 1: a header; 0: the end, which is two empty blocks. What lies behind them is nobody's, but somebody may still be
 * writing it. */
static int next_header(struct kb_tar *tar, struct header *header)
{
    int result;
    const char *block = tar_block(tar, &result);
    if (block && !all_zero(block)) {
        memcpy(header, block, sizeof *header);
        return good_checksum(header) ? 1 : kb_tar_fault(tar, KB_FAULT_HEADER);
    }
    if (!block && result == 0 && !(tar->options->flags & KB_LAYER_END_OPTIONAL))
        return kb_tar_fault(tar, KB_FAULT_ENDS_EARLY);
    if (block && (block = tar_block(tar, &result)) && !all_zero(block))
        return kb_tar_fault(tar, KB_FAULT_HEADER);
    while (result > 0 && (result = tar_fill(tar, 1)) > 0)
        tar->begin = tar->end;
    return result;
}

static bool ustar(const struct header *header) { return !memcmp(header->magic, "ustar\0", 6); }

static void header_texts(struct kb_tar *tar, const struct header *header)
{
    char *name = tar->header_name;
    size_t prefix = ustar(header) ? strnlen(header->prefix, sizeof header->prefix) : 0;
    size_t length = strnlen(header->name, sizeof header->name), link = strnlen(header->link, sizeof header->link);
    if (prefix) {
        memcpy(name, header->prefix, prefix);
        name[prefix++] = '/';
    }
    memcpy(name + prefix, header->name, length);
    name[prefix + length] = 0;
    memcpy(tar->header_link, header->link, link);
    tar->header_link[link] = 0;
}

static void forget(struct kb_tar *tar)
{
    memset(&tar->own, 0, offsetof(struct records, xattrs));
    tar->own.xattr_count = tar->region_count = 0;
}

static int extended(struct kb_tar *tar, const struct header *header)
{
    int64_t size;
    const bool link = header->type == 'K', name = header->type == 'L', every = header->type == 'g';
    struct text *text = link ? &tar->long_link : name ? &tar->long_name : every ? &tar->every_text : &tar->own_text;
    tar->called = NULL; /* which may be text that is replaced here */
    if (!tar_number(header->size, sizeof header->size, &size) || size < 0)
        return kb_tar_fault(tar, KB_FAULT_NUMBER);
    int result = tar_text(tar, (uint64_t)size, text);
    if (result < 0 || link)
        return result;
    if (name) {
        tar->called = text->bytes;
        return 0;
    }
    if (every)
        return tar_records(tar, text, &tar->every, true);
    forget(tar); /* it replaces one before it */
    result = tar_records(tar, text, &tar->own, false);
    tar->called = tar->own.path.bytes;
    return result;
}

/* A header of an entry, with those in front of it taken in. */
static int entry_header(struct kb_tar *tar, struct header *header)
{
    forget(tar);
    tar->long_name.size = tar->long_link.size = 0;
    tar->region = tar->done = 0;
    tar->called = NULL;
    for (int count = 0; count < MOST_HEADERS; count++) {
        int result = next_header(tar, header);
        if (result <= 0)
            return result == 0 && count ? kb_tar_fault(tar, KB_FAULT_ENDS_EARLY) : result;
        tar->result->entries += !count;
        if (!strchr("xXgLK", header->type) || !header->type)
            return 1;
        if ((result = extended(tar, header)) < 0)
            return result;
    }
    return kb_tar_fault(tar, KB_FAULT_RECORDS);
}

static int take_names(struct kb_tar *tar, const struct header *header, struct kb_entry *entry)
{
    header_texts(tar, header);
    const struct records *own = &tar->own;
    const char *name = own->sparse_name.bytes ? own->sparse_name.bytes
                       : own->path.bytes      ? own->path.bytes
                       : tar->long_name.size  ? tar->long_name.bytes
                                              : tar->header_name;
    tar->called = name;
    enum kb_layer_fault fault = *name ? tar_clean(name, tar->path) : KB_FAULT_NAME;
    if (fault)
        return kb_tar_fault(tar, fault);
    entry->path = tar->path;
    if (header->type != '1' && header->type != '2')
        return 0;
    const char *link = own->link.bytes       ? own->link.bytes
                       : tar->long_link.size ? tar->long_link.bytes
                                             : tar->header_link;
    if (!*link || strlen(link) >= PATH_MAX)
        return kb_tar_fault(tar, KB_FAULT_LINK);
    entry->link = link;
    if (header->type == '2')
        return 0;
    fault = tar_clean(link, tar->link);
    entry->link = tar->link;
    entry->hard_link = true;
    return fault ? kb_tar_fault(tar, fault == KB_FAULT_DOTS ? fault : KB_FAULT_LINK) : 0;
}

static uint32_t kind_of(const struct kb_tar *tar, const struct header *header)
{
    switch (header->type) {
    case 0: /* before there was a type for folders */
        return tar->called[strlen(tar->called) - 1] == '/' ? S_IFDIR : S_IFREG;
    case '0':
    case '7':
    case 'S':
    case '1': return S_IFREG;
    case '2': return S_IFLNK;
    case '3': return S_IFCHR;
    case '4': return S_IFBLK;
    case '5':
    case 'D': return S_IFDIR;
    case '6': return S_IFIFO;
    default: return 0;
    }
}

static int take_numbers(struct kb_tar *tar, const struct header *header, struct kb_entry *entry)
{
    const struct records *own = &tar->own, *every = &tar->every;
    int64_t mode, uid = 0, gid = 0, mtime = 0, major = 0, minor = 0;
    if (!tar_number(header->mode, sizeof header->mode, &mode) ||
        (!own->has_uid && !every->has_uid && !tar_number(header->uid, sizeof header->uid, &uid)) ||
        (!own->has_gid && !every->has_gid && !tar_number(header->gid, sizeof header->gid, &gid)) ||
        (!own->has_mtime && !every->has_mtime && !tar_number(header->mtime, sizeof header->mtime, &mtime)))
        return kb_tar_fault(tar, KB_FAULT_NUMBER);
    if (S_ISCHR(entry->mode) || S_ISBLK(entry->mode))
        if (!tar_number(header->major, sizeof header->major, &major) || major < 0 || major >= 1 << 12 ||
            !tar_number(header->minor, sizeof header->minor, &minor) || minor < 0 || minor >= 1 << 20)
            return kb_tar_fault(tar, KB_FAULT_NUMBER);
    uint64_t user = own->has_uid ? own->uid : every->has_uid ? every->uid : (uint64_t)uid;
    uint64_t group = own->has_gid ? own->gid : every->has_gid ? every->gid : (uint64_t)gid;
    if (user > MOST_ID || group > MOST_ID)
        return kb_tar_fault(tar, KB_FAULT_NUMBER);
    bool known = mtime >= -MOST_SECONDS && mtime <= MOST_SECONDS; /* others write times that no file system has */
    struct time time = {known ? mtime : 0, 0};
    time = own->has_mtime ? own->mtime : every->has_mtime ? every->mtime : time;
    entry->mode |= (uint32_t)mode & 07777;
    entry->uid = (uint32_t)user;
    entry->gid = (uint32_t)group;
    entry->major = (uint32_t)major;
    entry->minor = (uint32_t)minor;
    entry->mtime = time.seconds;
    entry->mtime_ns = time.ns;
    return 0;
}

/* Of a file, and of a folder that GNU tar listed ('D'). */
static int take_size(struct kb_tar *tar, const struct header *header, struct kb_entry *entry)
{
    const struct records *own = &tar->own;
    const uint64_t most = tar->options->most_bytes, before = tar->result->bytes;
    int64_t size = 0;
    int result = 0;
    if (!own->has_size && (!tar_number(header->size, sizeof header->size, &size) || size < 0))
        return kb_tar_fault(tar, KB_FAULT_NUMBER);
    tar->left = own->has_size ? own->size : (uint64_t)size;
    if (tar->left > most || before > most - tar->left)
        return kb_tar_fault(tar, KB_FAULT_BYTES);
    tar->result->bytes += tar->left;
    tar->padding = (unsigned int)(-tar->left % BLOCK);
    if (header->type == 'D')
        return 0;
    entry->size = tar->left;
    if (header->type == 'S')
        result = tar_sparse_old(tar, header, &entry->size);
    else if (own->sparse && !own->has_real_size)
        result = kb_tar_fault(tar, KB_FAULT_SPARSE);
    else if (own->sparse) {
        entry->size = own->real_size;
        bool inline_map = own->sparse_major == 1 && !own->sparse_minor;
        result = inline_map ? tar_sparse_inline(tar) : own->sparse_major ? kb_tar_fault(tar, KB_FAULT_SPARSE) : 0;
    } else
        result = tar_add_region(tar, 0, tar->left);
    return result < 0 ? result : tar_check_regions(tar, entry->size);
}

/* Goes on to the next header that is not the archive's own name ('V'). */
static int advance(struct kb_tar *tar, struct header *header)
{
    int result;
    do {
        result = tar_skip(tar, tar->left + tar->padding);
        tar->left = tar->padding = 0;
        if (result >= 0)
            result = entry_header(tar, header);
    } while (result > 0 && header->type == 'V');
    return result;
}

int kb_tar_next(struct kb_tar *tar, struct kb_entry *entry)
{
    struct header header;
    int result = advance(tar, &header);
    *entry = (struct kb_entry){0};
    if (result <= 0 || (result = take_names(tar, &header, entry)) < 0)
        return result;
    if (tar->result->entries > tar->options->most_entries)
        return kb_tar_fault(tar, KB_FAULT_ENTRIES);
    if (!(entry->mode = kind_of(tar, &header)))
        return kb_tar_fault(tar, KB_FAULT_KIND);
    if (!*entry->path && !S_ISDIR(entry->mode))
        return kb_tar_fault(tar, KB_FAULT_ROOT);
    if ((result = take_numbers(tar, &header, entry)) < 0)
        return result;
    bool content = (S_ISREG(entry->mode) && !entry->hard_link) || header.type == 'D';
    if (!content)
        tar->region_count = 0;
    else if ((result = take_size(tar, &header, entry)) < 0)
        return result;
    tar_choose_xattrs(tar, &tar->own, entry->mode);
    entry->xattrs = tar->own.xattrs;
    entry->xattr_count = entry->hard_link ? 0 : tar->own.xattr_count;
    return 1;
}

int kb_tar_piece(struct kb_tar *tar, struct kb_piece *piece)
{
    while (tar->region < tar->region_count && tar->done == tar->regions[tar->region].size) {
        tar->region++;
        tar->done = 0;
    }
    if (tar->region == tar->region_count)
        return 0;
    const struct region *region = &tar->regions[tar->region];
    uint64_t size = region->size - tar->done;
    int result = tar_fill(tar, size < WHOLE ? (size_t)size : WHOLE);
    if (result <= 0)
        return result < 0 ? result : kb_tar_fault(tar, KB_FAULT_ENDS_EARLY);
    size_t here = tar->end - tar->begin;
    here = size < here ? (size_t)size : here;
    *piece = (struct kb_piece){tar->buffer + tar->begin, here, region->offset + tar->done};
    tar->begin += here;
    tar->done += here;
    tar->left -= here;
    return 1;
}
