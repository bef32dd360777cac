/* One entry of a layer's archive, as the reader hands it to whoever makes a file system of it. */
#ifndef KB_LAYERS_ENTRY_H
#define KB_LAYERS_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kb_xattr {
    const char *name; /* with its prefix: "security.capability", "user.mime" */
    const void *value;
    size_t size;
};

/* The text is the reader's, until it is asked for the next entry. A whiteout is still an entry called ".wh.NAME". */
struct kb_entry {
    const char *path;   /* cleaned: no "." and "..", no slash at either end; "" is the root itself */
    const char *link;   /* of a symbolic link its text; of a hard link the cleaned path; else NULL */
    uint32_t mode;      /* S_IFMT and permissions, with set-id and sticky bits */
    bool hard_link;
    uint32_t uid, gid;
    uint32_t major, minor;
    uint64_t size;      /* of the content that follows, of a sparse file the whole length */
    int64_t mtime;
    uint32_t mtime_ns;
    const struct kb_xattr *xattrs;
    size_t xattr_count;
};

/* What an entry's path says by its last name, or by a folder's on the way (image specification, layer.md). */
enum kb_path_kind {
    KB_PATH_PLAIN,
    KB_PATH_WHITEOUT, /* "a/.wh.b": there is no a/b in the layers below */
    KB_PATH_OPAQUE,   /* "a/.wh..wh..opq": nothing of the layers below is in a */
    KB_PATH_IGNORED,  /* other names with ".wh..wh.", which one old file system kept its own things in */
    KB_PATH_REFUSED,  /* a whiteout of nothing, of "." or "..", or something in a whiteout */
};
enum kb_path_kind kb_path_kind(const char *path);

#endif
