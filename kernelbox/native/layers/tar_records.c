/* Extended headers (POSIX.1-2001, pax): records "LENGTH KEY=VALUE\n" that stand in for fields of a header. */
#include "layers/tar_inner.h"

#include <linux/capability.h>
#include <sys/stat.h>

static const char XATTR[] = "SCHILY.xattr.", ACL[] = "SCHILY.acl.";

static bool begins(const char *text, const char *with) { return !strncmp(text, with, strlen(with)); }

static int take_size(struct kb_tar *tar, struct records *records, const char *text)
{
    records->has_size = true;
    return tar_decimal(text, MOST_SIZE, &records->size) ? 0 : kb_tar_fault(tar, KB_FAULT_NUMBER);
}

static int take_uid(struct kb_tar *tar, struct records *records, const char *text)
{
    records->has_uid = true;
    return tar_decimal(text, MOST_ID, &records->uid) ? 0 : kb_tar_fault(tar, KB_FAULT_NUMBER);
}

static int take_gid(struct kb_tar *tar, struct records *records, const char *text)
{
    records->has_gid = true;
    return tar_decimal(text, MOST_ID, &records->gid) ? 0 : kb_tar_fault(tar, KB_FAULT_NUMBER);
}

static int take_mtime(struct kb_tar *tar, struct records *records, const char *text)
{
    records->has_mtime = true;
    return tar_time(text, &records->mtime) ? 0 : kb_tar_fault(tar, KB_FAULT_NUMBER);
}

static int take_real_size(struct kb_tar *tar, struct records *records, const char *text)
{
    records->sparse = records->has_real_size = true;
    return tar_decimal(text, MOST_SIZE, &records->real_size) ? 0 : kb_tar_fault(tar, KB_FAULT_SPARSE);
}

static int take_sparse_major(struct kb_tar *tar, struct records *records, const char *text)
{
    records->sparse = true;
    return tar_decimal(text, 9, &records->sparse_major) ? 0 : kb_tar_fault(tar, KB_FAULT_SPARSE);
}

static int take_sparse_minor(struct kb_tar *tar, struct records *records, const char *text)
{
    records->sparse = true;
    return tar_decimal(text, 9, &records->sparse_minor) ? 0 : kb_tar_fault(tar, KB_FAULT_SPARSE);
}

/* GNU's version 0.0 repeats the two; 0.1 has them all in one text. */
static int take_sparse_offset(struct kb_tar *tar, struct records *records, const char *text)
{
    uint64_t offset;
    if (records->half_region || !tar_decimal(text, MOST_SIZE, &offset))
        return kb_tar_fault(tar, KB_FAULT_SPARSE);
    records->sparse = records->half_region = true;
    return tar_add_region(tar, offset, 0);
}

static int take_sparse_length(struct kb_tar *tar, struct records *records, const char *text)
{
    if (!records->half_region || !tar_decimal(text, MOST_SIZE, &tar->regions[tar->region_count - 1].size))
        return kb_tar_fault(tar, KB_FAULT_SPARSE);
    records->half_region = false;
    return 0;
}

static int take_sparse_map(struct kb_tar *tar, struct records *records, char *text)
{
    records->sparse = true;
    return records->half_region ? kb_tar_fault(tar, KB_FAULT_SPARSE) : tar_sparse_text(tar, text);
}

static int take_xattr(struct kb_tar *tar, struct records *records, const char *name, char *value, size_t size)
{
    struct kb_xattr *xattr = records->xattrs;
    if (strcmp(name, "security.capability") && (!begins(name, "user.") || begins(name, "user.overlay."))) {
        tar->result->xattrs_left++;
        return 0;
    }
    while (xattr < records->xattrs + records->xattr_count && strcmp(xattr->name, name))
        xattr++;
    if (xattr == records->xattrs + MOST_XATTRS || strlen(name) > XATTR_NAME_MAX || size > XATTR_SIZE_MAX)
        return kb_tar_fault(tar, KB_FAULT_RECORDS);
    records->xattr_count += xattr == records->xattrs + records->xattr_count;
    *xattr = (struct kb_xattr){name, value, size};
    return 0;
}

/* An empty value takes back what a record before it said, which here means: the field of the header holds. */
static int take(struct kb_tar *tar, struct records *records, char *key, char *value, size_t size)
{
    bool whole = strlen(value) == size;
    if (begins(key, XATTR))
        return take_xattr(tar, records, key + strlen(XATTR), value, size);
    if (begins(key, ACL))
        tar->result->xattrs_left++;
    if (!strcmp(key, "path") || !strcmp(key, "GNU.sparse.name")) {
        *(*key == 'p' ? &records->path : &records->sparse_name) = (struct text){size ? value : NULL, size};
        return whole ? 0 : kb_tar_fault(tar, KB_FAULT_NAME);
    }
    if (!strcmp(key, "linkpath")) {
        records->link = (struct text){size ? value : NULL, size};
        return whole ? 0 : kb_tar_fault(tar, KB_FAULT_LINK);
    }
    if (!strcmp(key, "GNU.sparse.map"))
        return take_sparse_map(tar, records, value);
    static const struct {
        const char *key;
        int (*take)(struct kb_tar *tar, struct records *records, const char *text);
    } NUMBERS[] = {
        {"size", take_size},
        {"uid", take_uid},
        {"gid", take_gid},
        {"mtime", take_mtime},
        {"GNU.sparse.size", take_real_size},
        {"GNU.sparse.realsize", take_real_size},
        {"GNU.sparse.major", take_sparse_major},
        {"GNU.sparse.minor", take_sparse_minor},
        {"GNU.sparse.offset", take_sparse_offset},
        {"GNU.sparse.numbytes", take_sparse_length},
    };
    for (size_t at = 0; size && at < sizeof NUMBERS / sizeof *NUMBERS; at++)
        if (!strcmp(key, NUMBERS[at].key))
            return whole ? NUMBERS[at].take(tar, records, value) : kb_tar_fault(tar, KB_FAULT_NUMBER);
    return 0;
}

/* Of what is said of all entries that follow, only what is not one file's own. */
static bool for_every(const char *key) { return !strcmp(key, "uid") || !strcmp(key, "gid") || !strcmp(key, "mtime"); }

int tar_records(struct kb_tar *tar, const struct text *text, struct records *records, bool every)
{
    for (size_t at = 0; at < text->size;) {
        char *line = text->bytes + at, *key = line;
        size_t left = text->size - at, length = 0;
        for (; *key >= '0' && *key <= '9' && key - line < 8; key++)
            length = length * 10 + (size_t)(*key - '0');
        if (key == line || *key++ != ' ' || length > left || length < (size_t)(key - line) + 3)
            return kb_tar_fault(tar, KB_FAULT_RECORDS);
        char *end = line + length - 1, *value = memchr(key, '=', (size_t)(end - key));
        if (*end != '\n' || !value || value == key || memchr(key, 0, (size_t)(value - key)))
            return kb_tar_fault(tar, KB_FAULT_RECORDS);
        *value++ = *end = 0;
        if (!every || for_every(key)) {
            int result = take(tar, records, key, value, (size_t)(end - value));
            if (result < 0)
                return result;
        }
        at += length;
    }
    return records->half_region ? kb_tar_fault(tar, KB_FAULT_SPARSE) : 0;
}

/* Capabilities of a file as one that is root of the first user namespace has them. Those that count for another
 * namespace's root alone mean nothing elsewhere. */
static bool plain_capability(struct kb_xattr *xattr)
{
    uint32_t words[6] = {0};
    if (xattr->size != XATTR_CAPS_SZ_2 && xattr->size != XATTR_CAPS_SZ_3)
        return false;
    memcpy(words, xattr->value, xattr->size);
    uint32_t revision = le32toh(words[0]) & VFS_CAP_REVISION_MASK;
    if (revision == VFS_CAP_REVISION_2)
        return xattr->size == XATTR_CAPS_SZ_2;
    if (revision != VFS_CAP_REVISION_3 || xattr->size != XATTR_CAPS_SZ_3 || words[5])
        return false;
    words[0] = htole32(VFS_CAP_REVISION_2 | (le32toh(words[0]) & VFS_CAP_FLAGS_EFFECTIVE));
    memcpy((void *)(uintptr_t)xattr->value, words, XATTR_CAPS_SZ_2);
    xattr->size = XATTR_CAPS_SZ_2;
    return true;
}

void tar_choose_xattrs(struct kb_tar *tar, struct records *records, uint32_t mode)
{
    size_t kept = 0;
    for (size_t at = 0; at < records->xattr_count; at++) {
        struct kb_xattr *xattr = &records->xattrs[at];
        bool user = begins(xattr->name, "user.");
        if (user ? !S_ISREG(mode) && !S_ISDIR(mode) : !S_ISREG(mode) || !plain_capability(xattr))
            tar->result->xattrs_left++;
        else
            records->xattrs[kept++] = *xattr;
    }
    records->xattr_count = kept;
}
