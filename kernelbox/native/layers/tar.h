/* A reader of the tar of a layer, in one pass over a descriptor: POSIX.1-2001 (pax), ustar, GNU's long names, numbers
 * and sparse files. It trusts nothing: every number, name, count and size is bounded. */
#ifndef KB_LAYERS_TAR_H
#define KB_LAYERS_TAR_H

#include "kb.h"
#include "layers/entry.h"

enum { KB_MOST_DEPTH = 256 }; /* levels of folders; who walks a tree takes a descriptor for each */

struct kb_tar;

/* Content that stands at `offset` of its file. What lies between pieces, or behind the last one, is a hole. */
struct kb_piece {
    const char *bytes;
    size_t size;
    uint64_t offset;
};

/* Both are the caller's and stay in use until it closes. NULL where there is no memory. */
struct kb_tar *kb_tar_open(int input, const struct kb_layer_options *options, struct kb_layer_result *result);
void kb_tar_close(struct kb_tar *tar);

/* 1: `entry` is the next one (what was not read of the last one's content is skipped); 0: there are no more, and the
 * input was read to its end; -EBADMSG: `result` says what is wrong and with which entry; -ECANCELED: told to stop;
 * otherwise -errno of read(2). */
int kb_tar_next(struct kb_tar *tar, struct kb_entry *entry);

/* 1: the next piece of the entry's content, good until the next call; 0: that was all; else as above. A file's pieces
 * are large or come to its end: a small file is one. */
int kb_tar_piece(struct kb_tar *tar, struct kb_piece *piece);

/* For those who take the entries: notes that the last one cannot be taken, and returns -EBADMSG. */
int kb_tar_fault(struct kb_tar *tar, enum kb_layer_fault fault);
/* ... or only which one it was, as it is called in the archive, where the kernel refused something. */
void kb_tar_note(struct kb_tar *tar);

#endif
