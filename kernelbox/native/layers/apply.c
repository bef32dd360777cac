/* A layer's archive becomes a folder: entry by entry, each in place of what an earlier one left under its name. Nothing
 * is synchronised; the folder counts once its owner says so. */
#include "layers/apply.h"

#include <sys/sysmacros.h>

#include "syscalls.h"

/* What is there goes, whatever it is, but for a folder where one is wanted. 1: try again. */
static int make_room(struct apply *apply, int parent, const char *name, int result)
{
    if (result != -EEXIST)
        return result;
    result = apply_remove(apply, parent, name);
    return result < 0 ? result : 1;
}

static int write_all(int fd, const struct kb_piece *piece)
{
    for (size_t done = 0; done < piece->size;) {
        ssize_t count = pwrite(fd, piece->bytes + done, piece->size - done, (off_t)(piece->offset + done));
        if (count < 0 && errno != EINTR)
            return -errno;
        done += count < 0 ? 0 : (size_t)count;
    }
    return 0;
}

static int write_content(struct apply *apply, int fd, uint64_t size)
{
    struct kb_piece piece = {0};
    int result;
    while ((result = kb_tar_piece(apply->tar, &piece)) > 0)
        if ((result = write_all(fd, &piece)) < 0)
            return result;
    bool hole_at_end = piece.offset + piece.size < size;
    return result >= 0 && hole_at_end ? or_errno(ftruncate(fd, (off_t)size)) : result;
}

static int make_file(struct apply *apply, int parent, const char *name, const struct kb_entry *entry)
{
    int fd, result;
    do {
        mode_t mode = (entry->mode & 0777) | 0200; /* its owner may have to write attributes yet */
        fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
        result = fd >= 0 ? 0 : make_room(apply, parent, name, -errno);
    } while (result > 0);
    if (result < 0)
        return result;
    result = write_content(apply, fd, entry->size);
    if (result >= 0)
        result = apply_settle(apply, fd, entry);
    close(fd);
    return result;
}

static int make_link(struct apply *apply, int parent, const char *name, const struct kb_entry *entry)
{
    int result;
    do
        result = make_room(apply, parent, name, or_errno(symlinkat(entry->link, parent, name)));
    while (result > 0);
    return result < 0 ? result : apply_settle_name(apply, parent, name, entry);
}

static int make_node(struct apply *apply, int parent, const char *name, const struct kb_entry *entry)
{
    const bool device = !S_ISFIFO(entry->mode), rootless = apply->options->flags & KB_LAYER_ROOTLESS;
    const dev_t number = makedev(entry->major, entry->minor);
    int result;
    if (device && (rootless || !number)) { /* 0:0 would be a whiteout, which has another way to be said */
        apply->result->devices_left++;
        return 0;
    }
    do
        result = make_room(apply, parent, name,
                           or_errno(mknodat(parent, name, (entry->mode & S_IFMT) | 0600, device ? number : 0)));
    while (result > 0);
    if (result == -EPERM && device) {
        apply->result->devices_left++;
        return 0;
    }
    return result < 0 ? result : apply_settle_name(apply, parent, name, entry);
}

/* 1: both are the same already. */
static int link_to(struct apply *apply, int from, const char *target, int parent, const char *name)
{
    struct stat one, other;
    if (fstatat(from, target, &one, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? kb_tar_fault(apply->tar, KB_FAULT_TARGET) : -errno;
    if (S_ISDIR(one.st_mode) || is_whiteout(&one))
        return kb_tar_fault(apply->tar, KB_FAULT_TARGET);
    int result = or_errno(linkat(from, target, parent, name, 0));
    if (result == -EEXIST && !fstatat(parent, name, &other, AT_SYMLINK_NOFOLLOW) && one.st_ino == other.st_ino)
        return 0;
    return make_room(apply, parent, name, result);
}

static int make_hard_link(struct apply *apply, int parent, const char *name, const struct kb_entry *entry)
{
    const char *target;
    int from = apply_find_parent(apply, entry->link, &target), result;
    if (from < 0)
        return from;
    if (kb_path_kind(entry->link) != KB_PATH_PLAIN || !*target)
        result = kb_tar_fault(apply->tar, KB_FAULT_TARGET);
    else
        do
            result = link_to(apply, from, target, parent, name);
        while (result > 0);
    close(from);
    return result;
}

/* "There is no such name below": a whiteout, or where this layer has such a folder of its own, a mark on that. */
static int hide(struct apply *apply, int parent, const char *name)
{
    struct stat found;
    if (fstatat(parent, name, &found, AT_SYMLINK_NOFOLLOW))
        return errno == ENOENT ? or_errno(mknodat(parent, name, S_IFCHR, 0)) : -errno;
    if (!S_ISDIR(found.st_mode))
        return 0;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = apply_mark_opaque(apply, fd);
    close(fd);
    return result;
}

static int make_folder(struct apply *apply, int parent, const char *name, const struct kb_entry *entry)
{
    int fd = *name ? apply_make_folder(apply, parent, name) : or_errno(fcntl(parent, F_DUPFD_CLOEXEC, 0));
    if (fd < 0)
        return fd;
    int result = apply_settle(apply, fd, entry);
    close(fd);
    return result;
}

static int make_entry(struct apply *apply, const struct kb_entry *entry)
{
    const enum kb_path_kind kind = kb_path_kind(entry->path);
    if (kind == KB_PATH_IGNORED)
        return 0;
    if (kind == KB_PATH_REFUSED)
        return kb_tar_fault(apply->tar, KB_FAULT_WHITEOUT);
    const char *name;
    int parent = apply_parent(apply, entry->path, &name, entry);
    if (parent < 0)
        return parent;
    if (kind == KB_PATH_WHITEOUT)
        return hide(apply, parent, name + strlen(".wh."));
    if (kind == KB_PATH_OPAQUE)
        return apply_mark_opaque(apply, parent);
    if (entry->hard_link)
        return make_hard_link(apply, parent, name, entry);
    switch (entry->mode & S_IFMT) {
    case S_IFDIR: return make_folder(apply, parent, name, entry);
    case S_IFREG: return make_file(apply, parent, name, entry);
    case S_IFLNK: return make_link(apply, parent, name, entry);
    default: return make_node(apply, parent, name, entry);
    }
}

int kb_layer_apply(int root, int input, const struct kb_layer_options *options, struct kb_layer_result *result)
{
    struct apply apply = {.root = root, .options = options, .result = result, .parent = -1};
    struct kb_entry entry;
    int outcome;
    *result = (struct kb_layer_result){0};
    apply.tar = kb_tar_open(input, options, result);
    if (!apply.tar)
        return -ENOMEM;
    while ((outcome = kb_tar_next(apply.tar, &entry)) > 0)
        if ((outcome = make_entry(&apply, &entry)) < 0)
            break;
    if (outcome >= 0)
        outcome = apply_settle_folders(&apply);
    else if (!result->fault)
        kb_tar_note(apply.tar);
    if (apply.parent >= 0)
        close(apply.parent);
    kb_tar_close(apply.tar);
    free(apply.folders);
    free(apply.paths);
    return outcome;
}
