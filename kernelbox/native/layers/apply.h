/* What the files share that unpack a layer into a folder. */
#ifndef KB_LAYERS_APPLY_H
#define KB_LAYERS_APPLY_H

#include <limits.h>
#include <sys/stat.h>

#include "layers/tar.h"

/* A folder whose mode and times are set when nothing more is to be made in it. */
struct folder {
    size_t path; /* where it begins in `paths` */
    size_t number;
    ino_t inode;
    int64_t mtime;
    uint32_t mtime_ns, mode;
};

struct apply {
    int root;
    const struct kb_layer_options *options;
    struct kb_layer_result *result;
    struct kb_tar *tar;

    /* The folder that the last entry was in, for most are in that of the one before. */
    int parent; /* -1: none */
    bool stale; /* something was removed: its path may lead elsewhere now */
    char parent_path[PATH_MAX];

    struct folder *folders;
    size_t folder_count, folder_room;
    char *paths;
    size_t paths_used, paths_room;
};

/* What `path` leads to within the layer. */
int apply_open_folder(const struct apply *apply, const char *path);
/* The descriptor of the folder that `path` is in, which stays the apply's own, and the entry's own name. What is
 * missing on the way is made, with the time of `entry`. */
int apply_parent(struct apply *apply, const char *path, const char **name, const struct kb_entry *entry);
/* The folder that `path` of a hard link leads to, for the caller to close. */
int apply_find_parent(struct apply *apply, const char *path, const char **name);

/* Removes what is called so in the folder, with everything in it. */
int apply_remove(struct apply *apply, int parent, const char *name);

/* Makes it, or takes the one that is there; what else is there goes. A whiteout there says that nothing below shows
 * through. */
int apply_make_folder(struct apply *apply, int parent, const char *name);
int apply_mark_opaque(struct apply *apply, int folder);

/* Owner, attributes, mode and times of what is open. A folder's mode and times are only noted. */
int apply_settle(struct apply *apply, int fd, const struct kb_entry *entry);
/* The same for what cannot be opened: links, devices, FIFOs. */
int apply_settle_name(struct apply *apply, int parent, const char *name, const struct kb_entry *entry);
/* The folders that were noted, once nothing more changes in them. */
int apply_settle_folders(struct apply *apply);

static inline bool is_whiteout(const struct stat *found) { return S_ISCHR(found->st_mode) && !found->st_rdev; }

#endif
