/* The wire between an engine and its monitor: plans as fixed-size operations, requests and answers. Read by gcc
 * (through plan_format.h) and, word for word, by cffi. Both ends are of one build: the byte order is the machine's. */

enum kb_op_code {
    /* descriptors and files. slot[0] is the folder, slot[3] the slot that receives a new descriptor */
    KB_OP_OPEN = 1, /* openat2(slot[0], text[0], flags num[0], mode num[1], resolve num[2]) -> slot[3] */
    KB_OP_MKDIR, /* mkdirat(slot[0], text[0], mode num[0]); num[1]: an existing folder is fine */
    KB_OP_MKNOD, /* mknodat(slot[0], text[0], mode num[0], device num[1]) */
    KB_OP_SYMLINK, /* symlinkat(text[1], slot[0], text[0]) */
    KB_OP_CHOWN, /* fchownat(slot[0], text[0], uid num[0], gid num[1], AT_SYMLINK_NOFOLLOW) */
    KB_OP_WRITE, /* openat2(slot[0], text[0], flags num[1], mode num[2], resolve num[3]); write text[1], num[0] bytes */
    KB_OP_SETXATTR, /* extended attribute text[1] of text[0] in slot[0] becomes text[2], num[0] bytes */
    KB_OP_HOLD, /* in the last part: keep slot[0] open until everything is over */

    /* mounts */
    KB_OP_OPEN_TREE, /* open_tree(slot[0], text[0], flags num[0]) -> slot[3] */
    KB_OP_SET_ATTR, /* mount_setattr(slot[0], "", AT_EMPTY_PATH | num[3], set num[0], clear num[1], propagation num[2],
                            user namespace slot[1]) */
    KB_OP_FSOPEN, /* fsopen(text[0]) -> slot[3] */
    KB_OP_FSCONFIG, /* fsconfig(slot[0], command num[0], text[0], text[1] or descriptor slot[1]) */
    KB_OP_FSCREATE, /* fsconfig(slot[0], FSCONFIG_CMD_CREATE) as fsuid num[0], fsgid num[1] */
    KB_OP_FSMOUNT, /* fsmount(slot[0], attributes num[0]) -> slot[3]; closes slot[0] */
    KB_OP_ATTACH, /* move_mount(slot[0] -> text[0] beneath root slot[1]); num[0]: enum kb_target, make it if missing,
                            as fsuid num[1], fsgid num[2] */
    KB_OP_ROOT, /* the mount slot[0] over "/", then chroot into it */
    KB_OP_MASK, /* hide text[0] beneath root slot[1]: a folder under a clone of slot[0], else under one of slot[2] */
    KB_OP_MASK_KERNEL, /* a path of procfs or sysfs: bind slot[0] (with num[0]) or slot[2] over text[0] */
    KB_OP_PROTECT_KERNEL, /* bind text[0] of procfs or sysfs on itself with flags num[0] of mount(2) */
    KB_OP_READONLY, /* bind text[0] beneath root slot[1] on itself with attributes num[0]; a missing path is fine */
    KB_OP_MOUNT, /* mount(text[0], text[1], text[2], flags num[0], text at num[1]) */
    KB_OP_UMOUNT, /* umount2(text[0], flags num[0]) */
    KB_OP_PROPAGATION, /* mount(NULL, text[0], NULL, num[0], NULL) */
    KB_OP_PTY_PEER, /* unlock the terminal slot[0] of num[0] rows and num[1] columns, its other side -> slot[3] */
    KB_OP_PTY_INSIDE, /* the same by the device text[0] beneath the root slot[0] of a container that runs, whose first
                            process is slot[1]: the terminal -> slot[2], its other side -> slot[3]. A child does it;
                            where that cannot be killed the container is, and its v2 group slot num[2] - 1 (0: none) */
    KB_OP_SHARE_MEMORY, /* a copy of what is mounted on /dev/shm of the container with the token text[0], which must be
                            a tmpfs -> slot[3]; its first process -> slot[1]. Its ids are shown as num[0] others (0: as
                            they are), users from num[1] and groups from num[2] on */

    /* namespaces and the machine */
    KB_OP_TAKE_NETNS, /* a ready network namespace from the pool -> slot[3] */
    KB_OP_GIVE_NETNS, /* back to the pool if nothing ever passed through it, else closed; its counters to the record */
    KB_OP_OUTBOUND, /* run num[0] words at text[0] (a path, then its arguments), which make the way out of a new network
                            namespace -> slot[3]; its keeper's pidfd -> slot[2], a socket to that -> slot[1] */
    KB_OP_OUTBOUND_TIE, /* tell the keeper at the socket slot[0] whose end is to be its own: ours */
    KB_OP_OUTBOUND_END, /* wait for the keeper slot[0], whose socket is slot[1] */
    KB_OP_CLONE, /* clone3(flags num[0], v2 group slot[0] or none), in the pid namespace of the process slot[1] and
                            its mount and network namespaces (num[1]: which), or in ours: what follows runs inside */
    KB_OP_PROCESS, /* the first process of the container with the token text[0] -> slot[3], its root -> slot[2] */
    KB_OP_NOTE, /* who we are to the file text[0] of slot[0]: "pid starttime restarts boot-id" */
    KB_OP_SETNS, /* setns(slot[0], type num[0]) */
    KB_OP_UNSHARE, /* unshare(num[0]) */
    KB_OP_USERNS, /* a user namespace with the maps text[0] (users) and text[1] (groups), below ours -> slot[3] */
    KB_OP_NETLINK, /* send text[0], num[0] bytes of rtnetlink requests; every answer must be an acknowledgement */
    KB_OP_HOSTNAME, /* sethostname(text[0]) */
    KB_OP_DOMAINNAME, /* setdomainname(text[0]) */
    KB_OP_BPF_ATTACH, /* attach the device program slot[1] to the v2 group slot[0] */

    /* the process */
    KB_OP_SESSION, /* setsid() */
    KB_OP_TERMINAL, /* ioctl(slot[0], TIOCSCTTY) */
    KB_OP_DUP, /* dup2(slot[0], num[0]) */
    KB_OP_CLOSE_FROM, /* close_range(num[0], ~0, CLOSE_RANGE_CLOEXEC) */
    KB_OP_RLIMIT, /* setrlimit(num[0], soft num[1], hard num[2]) */
    KB_OP_FILE_LIMIT, /* setrlimit(RLIMIT_NOFILE), to what the monitor was started with */
    KB_OP_UMASK, /* umask(num[0]) */
    KB_OP_PRCTL, /* prctl(num[0], num[1], num[2], num[3]) */
    KB_OP_FSIDS, /* keep capabilities across id changes, then setfsuid(num[0]), setfsgid(num[1]) */
    KB_OP_BOUNDING, /* drop every capability that is not in num[0] from the bounding set */
    KB_OP_AMBIENT, /* raise every capability of num[0] in the ambient set */
    KB_OP_CAPSET, /* effective num[0], permitted num[1], inheritable num[2] */
    KB_OP_GROUPS, /* setgroups(num[0] 32-bit ids at text[0]) */
    KB_OP_USER, /* setresgid(num[1]), setresuid(num[0]) */
    KB_OP_KEYRING, /* a new session keyring */
    KB_OP_SECCOMP, /* seccomp(SECCOMP_SET_MODE_FILTER): num[0] instructions at text[0] */
    KB_OP_CHDIR, /* chdir(text[0]), which must lie beneath the root */
    KB_OP_HOOK, /* run num[0] arguments at text[0] with num[1] variables at text[1], text[2] of num[2] bytes on its
                            standard input, for at most num[3] ms; KB_IN_HOST: in the host's mount and network
                            namespace. "@PID@" with the spaces behind it in text[2] becomes the process id */
    KB_OP_EXEC, /* execve the first that exists of num[2] paths at text[2], num[0] arguments at text[0], num[1]
                            variables at text[1] */

    /* after the end */
    KB_OP_READ, /* the file text[0] of slot[0] to the record under the key num[0]; a missing file is fine */
    KB_OP_WAIT_EMPTY, /* wait until no process is left in the v2 group text[0] (its folder) of slot[0] */
    KB_OP_RMDIR, /* rmdir text[0] of slot[0]; num[0]: tries while it is busy; a missing folder is fine */
    KB_OP_UNLINK, /* unlink text[0] of slot[0]; a missing file is fine */
    KB_OP_SWEEP, /* rename text[0] of slot[0] into the folder slot[1], where the sweeper deletes it */
    KB_OP_END
};

enum kb_target { KB_TARGET_EXISTS, KB_TARGET_FOLDER, KB_TARGET_FILE };

/* slots below KB_SHARED_SLOTS belong to one plan, those from it on to the monitor: a set-up plan fills them */
enum { KB_SHARED_SLOTS = 128, KB_SLOTS = 192, KB_NO_SLOT = -1, KB_MAX_OPS = 2048, KB_MAX_PLAN = 4194304 };
enum { KB_MOST_WORDS = 2048 };

enum kb_op_flag {
    KB_IN_WORKSHOP = 1,
    KB_MAY_FAIL = 2,
    KB_IN_HOST = 4,
    KB_ON_ADOPTION = 8 /* done too when a container that runs already is taken over from a monitor that was killed */
};

struct kb_op {
    uint16_t code;
    uint16_t flags;
    int16_t slot[4];
    uint32_t text[3]; /* offsets into the text; 0 stands for NULL */
    uint64_t num[4];
};

enum kb_request_type {
    KB_LAUNCH = 1,
    KB_SETUP,
    KB_SIGNAL,
    KB_SYNC,
    KB_WAIT, /* answered with KB_EXITED when the container ends next */
    KB_ATTACH, /* what the container writes is copied from now on to life.attach; its input is revealed */
    KB_CLOSE_INPUT, /* the monitor lets go of the container's input: it ends with the last client that has it */
    KB_PAUSE, /* with `signal` not 0 nothing is started in the container: it is frozen, and we would wait for it */
    KB_HEALTH, /* a plan with one clone, run again and again in the container, whose end says whether that is well */
    KB_RESTARTS, /* the container's restart policy becomes life.restart and life.restart_most */
    KB_LIST /* those that have words, after the one with this token: struct kb_listed and the words of each, in the
                            record under the key of its pid; `status` of the answer is how many more there are */
};
enum kb_request_flag {
    KB_LEASE = 1, /* end it when this connection closes */
    KB_RECOVERY = 2, /* a set-up that cleans up after a killed monitor: not done where that has been done already */
    KB_RECOVERED = 4, /* and this was all of it */
    KB_KEEP = 8, /* the container is kept when it ends: see struct kb_life */
    KB_ADOPT = 16, /* it runs already: its first process is the descriptor life.process, `signal` its pid */
    KB_STOPPING = 32, /* with a signal: when it ends it is not started again */
    KB_TAKEN_OVER = 64 /* with a set-up: the containers that run already are this monitor's now */
};

enum kb_restart { KB_NEVER, KB_ON_FAILURE, KB_ALWAYS };

/* Of a container that outlives its engine, and the monitor if that is killed. Slots are KB_NO_SLOT where there is none;
 * the descriptors in them become the monitor's. */
struct kb_life {
    int16_t folder; /* where its records ("running", "exit") and its log are */
    int16_t output, error; /* what it writes is read from: FIFOs, or a terminal and none */
    int16_t input; /* what those who attach write to */
    int16_t attach[2]; /* where this connection wants copies of its output and error */
    int16_t process; /* KB_ADOPT: its first process, a pidfd */
    uint16_t restart, log_files; /* enum kb_restart; log files in all, 0 for no log */
    uint16_t restarts; /* how often it has been started again */
    uint32_t restart_most; /* times, 0 for any number */
    uint64_t log_size; /* bytes after which a log file is full, 0 for any size */
};

/* KB_HEALTH: what the plan writes goes to the file life.output, of which the end is kept. Docker's meanings. */
struct kb_health {
    uint32_t interval_ms, timeout_ms, start_period_ms, start_interval_ms;
    uint32_t retries, reserved;
};

struct kb_request {
    uint32_t magic;
    uint16_t type, flags;
    char token[32]; /* which container: its id, NUL-padded */
    uint16_t before, inside, after, given; /* operations of each part; given: descriptors sent along, slots 0, 1, ... */
    int16_t reveal; /* a slot whose descriptor goes back with the first answer */
    int16_t fail_op, fail_errno; /* make this operation fail, for tests; -1: none */
    uint32_t text_size, last_text; /* the text of the last part begins at last_text and is kept */
    uint32_t words, words_size; /* what a container that is not kept is, for whoever asks: in that text; 0: none */
    int32_t signal;
    int16_t big; /* not 0: operations and text are in a memfd, the slot big - 1 */
    int16_t reserved;
    struct kb_life life;
    struct kb_health health;
}; /* then the operations, then the text */

enum kb_answer_type { KB_STARTED = 1, KB_FAILED, KB_EXITED, KB_OK };

struct kb_answer {
    uint16_t type, last;
    int32_t error, op; /* KB_FAILED: errno and which operation; KB_EXITED: ECHILD where nobody can tell how */
    int32_t pid;
    int32_t status; /* exit status; of a set-up: KB_RECOVERED and KB_TAKEN_OVER, where that has been done */
    int32_t signal; /* the signal that ended it (0: none) */
    uint32_t operations, record_size;
    uint32_t restarts, again_ms; /* started again so often; and in so many milliseconds once more, 0: never */
    uint64_t clock_ns; /* since 1970 */
    uint64_t now_ns, user_us, system_us, max_rss_kb, first_op;
}; /* then struct kb_traced for each operation, then the record */

struct kb_listed {
    char token[32];
    uint64_t clock_ns; /* when it was started */
};

struct kb_traced {
    uint64_t start_ns, end_ns;
    int32_t error;
    uint32_t op;
};
