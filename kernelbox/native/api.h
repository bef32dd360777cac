/* The boundary between Python and C: read by gcc (through kb.h) and, word for word, by cffi.
 * Functions return 0 or a number >= 0 on success and -errno on failure; they keep no state and call nothing back.
 * Descriptors they return are close-on-exec and belong to the caller. Strings are NUL-terminated, NULL where said. */

const char *kb_version(void);

/* -- files and mounts: open(2) family and the mount API, one system call each ------------------------------------- */
int kb_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int kb_open_tree(int dir, const char *path, unsigned int flags);
int kb_move_mount(int from, const char *from_path, int to, const char *to_path, unsigned int flags);
int kb_fsopen(const char *type, unsigned int flags);
int kb_fsconfig(int fs, unsigned int command, const char *key, const char *value, int aux);
int kb_fsmount(int fs, unsigned int flags, unsigned int attributes);
int kb_fs_message(int fs, char *text, size_t size);   /* the kernel's own words on the last failure of this fs */
int kb_mount_setattr(int dir, const char *path, unsigned int flags, uint64_t set, uint64_t clear, uint64_t propagation,
                     int userns);                     /* userns -1: none */
int kb_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data);
int kb_umount2(const char *target, int flags);
int kb_syncfs(int fd);                                /* all of that file system, names and content, is on the disk */

/* -- namespaces, processes, credentials -------------------------------------------------------------------------- */
int kb_unshare(unsigned long flags);
int kb_setns(int fd, int type);
/* Makes the namespaces of `flags` (CLONE_NEW*) in a helper that ends at once; fds[] gets one descriptor for each set
 * flag in the order user, mnt, pid, net, ipc, uts, cgroup, time (-1 where not asked). A user namespace gets the maps
 * (text as for /proc/PID/uid_map); the others then belong to it. */
int kb_make_namespaces(unsigned long flags, const char *uid_map, const char *gid_map, int fds[8]);
int kb_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d);
int kb_capget(int pid, uint64_t sets[3]);             /* effective, permitted, inheritable */
int kb_capset(const uint64_t sets[3]);
/* This thread alone: files belong to these ids from now on, and its capabilities stay. */
int kb_act_as(unsigned int uid, unsigned int gid);

/* -- BPF: a device filter on a v2 cgroup ------------------------------------------------------------------------- */
int kb_bpf_load_device_filter(const void *instructions, unsigned int count);
int kb_bpf_attach(int cgroup, int program);
int kb_bpf_count(int cgroup);                         /* device programs attached to the cgroup */

/* -- seccomp: libseccomp, opened at run time --------------------------------------------------------------------- */
/* numbers[i] becomes the native number of names[i], -1 where libseccomp does not know it here; numbers[count] the
 * native AUDIT_ARCH_*. Returns -ENOENT where libseccomp is not installed. */
int kb_syscall_numbers(const char *const names[], size_t count, int numbers[]);

/* -- the monitor ------------------------------------------------------------------------------------------------- */
int kb_memfd_sealed(const char *name, const void *bytes, size_t size);
/* Starts `program` (a descriptor, fexecve) with argv and no environment, in a new session, by
 * clone(CLONE_VM|CLONE_VFORK), so that the cost does not depend on the caller's size. Only fds[0..count) stay open in
 * it, as 0, 1, 2, ... Returns the pid of a child that the caller must wait for. */
int kb_spawn(int program, const char *const argv[], const int fds[], int count);

enum { KB_DONE = 1, KB_FULL = 2, KB_TICK = 4, KB_GONE = 8 };

/* One request to the monitor and the conversation that follows it. Zero it, set the inputs, call kb_converse until the
 * result has KB_DONE (reply complete, streams at their end) or KB_GONE (the monitor closed the connection). */
struct kb_talk {
    int socket;
    /* to send: a request of `size` bytes with descriptors; with `pipes` up to three more, stdin, stdout and stderr */
    const void *request;
    size_t size;
    const int *fds;
    int count;
    int pipes; /* bit 0, 1, 2: make a pipe for stdin, stdout, stderr */
    unsigned int uid, gid; /* whose the pipes are, where they are not root's: who may open them anew (/dev/stdout) */
    int sent;
    /* our ends of the pipes: -1 where there is none or it has ended */
    int inp, out, err;
    const char *input;
    size_t input_size, input_done;
    char *out_buffer, *err_buffer; /* filled from 0; the caller empties them and zeroes *_used */
    size_t buffer_size, out_used, err_used;
    /* answers: messages from the monitor, one after the other, each led by its uint32_t length */
    char *reply;
    size_t reply_size, reply_used;
    int finished; /* the last message of the conversation has come */
    int received_fd; /* a descriptor that came with an answer (a terminal), or -1 */
    int adopt; /* read a terminal that comes as `out` instead */
};
/* Sends what is to send, then moves bytes until something is worth waking Python for: KB_DONE, KB_FULL (a buffer is
 * full), KB_TICK (tick_ms have passed since a first byte came, or timeout_ms in all; -1: never), KB_GONE. -EINTR on a
 * signal. */
int kb_converse(struct kb_talk *talk, int tick_ms, int timeout_ms);
int kb_connect(const char *path); /* a SOCK_SEQPACKET connection to a UNIX socket */

/* -- layers: from and to the tar of one, without the GIL for as long as it takes ----------------------------------- */
enum { KB_LAYER_ROOTLESS = 1, KB_LAYER_ONE_OWNER = 2, KB_LAYER_END_OPTIONAL = 4, KB_LAYER_WITH_ROOT = 8 };

/* clang-format off */
enum kb_layer_fault {
    KB_FAULT_NONE, KB_FAULT_ENDS_EARLY, KB_FAULT_HEADER, KB_FAULT_NUMBER, KB_FAULT_NAME, KB_FAULT_DOTS, KB_FAULT_DEPTH,
    KB_FAULT_LINK, KB_FAULT_KIND, KB_FAULT_RECORDS, KB_FAULT_SPARSE, KB_FAULT_ROOT, KB_FAULT_WHITEOUT, KB_FAULT_ENTRIES,
    KB_FAULT_BYTES, KB_FAULT_THROUGH, KB_FAULT_TARGET, KB_FAULT_CHANGED, KB_FAULT_MARK
};
/* clang-format on */

struct kb_id_range { unsigned int inside, outside, count; };

struct kb_layer_options {
    unsigned int flags; /* KB_LAYER_* */
    int stop; /* a descriptor: once it can be read from, the work ends with -ECANCELED; -1: none */
    uint64_t most_entries, most_bytes; /* of the archive, of all content in it */
    const struct kb_id_range *uids, *gids; /* what the ids of the archive (inside) are on disk; none: the same */
    size_t uid_ranges, gid_ranges;
};

struct kb_layer_result {
    uint64_t entries, bytes; /* done so far */
    uint64_t xattrs_left, devices_left, sockets_left, owners_folded, parents_made;
    int fault; /* enum kb_layer_fault: why -EBADMSG was returned; with another result the kernel refused */
    char name[256]; /* what the trouble is with, shortened; entry number `entries` */
};

/* Makes of the tar one EROFS image, which holds what kb_layer_apply would make. `output` is a regular file, open for
 * reading and writing, and gets new content; the same archive gives the same bytes. Ids are those of the archive:
 * -EINVAL where the options ask for others. What is in the file after a failure cannot be mounted. */
int kb_layer_erofs(int input, int output, const struct kb_layer_options *options, struct kb_layer_result *result);

/* Makes of the tar what the folder `root`, which is empty, has to hold as a lower layer of an overlay, everything
 * beneath it. What overlay knows by marks (whiteouts, opaque folders) gets those of a mount with "userxattr" where
 * KB_LAYER_ROOTLESS. On failure what was made stays. */
int kb_layer_apply(int root, int input, const struct kb_layer_options *options, struct kb_layer_result *result);
/* Writes the tar of a layer that holds what the upper folder of an overlay says; the same tree gives the same bytes.
 * KB_LAYER_WITH_ROOT: with an entry for the folder itself. */
int kb_layer_diff(int upper, int output, const struct kb_layer_options *options, struct kb_layer_result *result);
