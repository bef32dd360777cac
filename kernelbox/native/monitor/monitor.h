/* kb-monitor: the parent of a store's containers. It runs the plans that engines send, and decides nothing. */
#pragma once

#include "plan_format.h"
#include "syscalls.h"

#include <stdbool.h>
#include <sys/resource.h>

enum { RECORD_SIZE = 131072 };

/* A plan at work. Lives in memory that is shared with a forked launcher; nothing is allocated after clone. */
struct plan {
    struct kb_request head;
    const struct kb_op *ops;
    const char *text;
    struct kb_traced *trace;                           /* one for each operation */
    int slots[KB_SHARED_SLOTS];
    char **arguments, **environment, **candidates;     /* of KB_OP_EXEC, made before clone */
    int failed_op, failed_errno;                       /* the first operation that failed: -1, 0 */
    int exec_tried;
    int pid, pidfd;
};

enum watch_kind { WATCH_LISTENER, WATCH_CONNECTION, WATCH_CONTAINER, WATCH_SWEEPER, WATCH_STREAM, WATCH_OUTLET };
struct watch {
    enum watch_kind kind;
    int fd;
};        /* what an epoll event points to; first member of its owner */

struct connection {
    struct watch watch;
    struct connection *next;
    bool wants_sync, wants_end; /* wants_end: is to be told of the end of the container `token` */
    char token[32];
    struct attached *attached;
};

/* One of the two ends that somebody who is attached reads from. `pending` could not be written yet: meanwhile the
 * container's stream is not read, so that it waits as it would for any slow reader. */
struct outlet {
    struct watch watch;
    struct attached *owner;
    char *pending;
    size_t used;
};

struct attached {
    struct attached *next;
    struct connection *connection;
    struct life *life;                                 /* NULL: over, and only the rest is still to be written */
    struct outlet outlets[2];
    char *last;                                        /* the message that follows then */
    size_t last_size;
};

struct stream {
    struct watch watch;
    struct life *life;
    bool terminal, paused;
};

struct held {
    int16_t slot;
    int fd;
};

struct container {
    struct watch watch;                                /* fd: the pidfd of its first process */
    struct container *next;
    struct connection *owner; /* who is told of the end; NULL once that connection has closed */
    char token[32];
    bool paused, lease, adopted;                             /* adopted: it is not our child */
    struct health *probes;                             /* whose question this process is, where it is no container */
    struct life *life;                                 /* NULL: nothing is kept of it */
    int pid, held_count, after_count, first_op;
    int16_t fail_op, fail_errno;
    struct kb_op *after;
    char *text;
    const char *words;                                 /* in `text` */
    uint32_t words_size;
    uint64_t clock_ns;                                 /* when it was started */
    struct held *held;
};

/* What there is beside of a container that is kept when it ends (struct kb_life). */
struct life {
    struct container *container;
    struct kb_life wanted;
    struct stream streams[2];
    struct attached *attached;
    int folder, input, log;
    uint64_t log_used;
    bool log_broken;                                   /* the last line could not be written as a whole */
    bool stopping;
    unsigned int restarts, delay_ms;
    uint64_t began_ns, due_ns;                         /* due_ns: when it is started again, 0 while it runs */
    struct plan *again;                                /* its whole plan, where it may be started again */
    struct health *health;
    char *message;                                     /* how it ended last */
    size_t message_size;
};

struct monitor {
    int epoll, listener, proc;
    int host_ns, template_ns, workshop_ns, net_ns, current_ns;
    char boot_id[40];
    int shared[KB_SLOTS - KB_SHARED_SLOTS];
    struct rlimit files; /* what we were started with, and what a program gets; ours is as high as it can be */
    struct connection *connections;
    struct container *containers;
    unsigned int waiting, healths;                     /* containers that are to be started again; that are asked */
    bool recovered; /* what a predecessor left is gone: from now on there may be containers */
    bool taken_over;                                   /* and those that outlived it are ours */
    char record[RECORD_SIZE];
    size_t record_used;
};

extern struct monitor monitor;

static inline int slot_fd(const struct plan *plan, int slot)
{
    if (slot == KB_NO_SLOT)
        return AT_FDCWD;
    return slot < KB_SHARED_SLOTS ? plan->slots[slot] : monitor.shared[slot - KB_SHARED_SLOTS];
}
static inline const char *text_at(const struct plan *plan, uint32_t offset)
{
    return offset ? plan->text + offset : NULL;
}
static inline bool is_shared(int slot) { return slot >= KB_SHARED_SLOTS; }
int keep_fd(struct plan *plan, int slot, int fd); /* into the slot, closing what was there; passes -errno on */
void drop_fd(struct plan *plan, int slot);
uint64_t now_ns(void);

/* run.c */
int run_ops(struct plan *plan, int first, int count);
int run_every_op(struct plan *plan, int first, int count);
void plan_close(struct plan *plan);

/* files.c, mounts.c, terminal.c, memory.c, process.c, network.c, outbound.c, userns.c, ending.c: one function for each
 * operation */
#define OPERATION(name) int name(struct plan *plan, const struct kb_op *op)
OPERATION(op_open);
OPERATION(op_mkdir);
OPERATION(op_mknod);
OPERATION(op_symlink);
OPERATION(op_chown);
OPERATION(op_write);
OPERATION(op_setxattr);
OPERATION(op_hold);
OPERATION(op_open_tree);
OPERATION(op_set_attr);
OPERATION(op_fsopen);
OPERATION(op_fsconfig);
OPERATION(op_fscreate);
OPERATION(op_fsmount);
OPERATION(op_attach);
OPERATION(op_root);
OPERATION(op_mask);
OPERATION(op_mask_kernel);
OPERATION(op_protect_kernel);
OPERATION(op_readonly);
OPERATION(op_mount);
OPERATION(op_umount);
OPERATION(op_propagation);
OPERATION(op_pty_peer);
OPERATION(op_pty_inside);
OPERATION(op_share_memory);
OPERATION(op_take_netns);
OPERATION(op_give_netns);
OPERATION(op_netlink);
OPERATION(op_outbound);
OPERATION(op_outbound_tie);
OPERATION(op_outbound_end);
OPERATION(op_process);
OPERATION(op_note);
OPERATION(op_clone);
OPERATION(op_setns);
OPERATION(op_unshare);
OPERATION(op_userns);
OPERATION(op_hostname);
OPERATION(op_domainname);
OPERATION(op_bpf_attach);
OPERATION(op_session);
OPERATION(op_terminal);
OPERATION(op_dup);
OPERATION(op_close_from);
OPERATION(op_rlimit);
OPERATION(op_file_limit);
OPERATION(op_umask);
OPERATION(op_prctl);
OPERATION(op_fsids);
OPERATION(op_bounding);
OPERATION(op_ambient);
OPERATION(op_capset);
OPERATION(op_groups);
OPERATION(op_user);
OPERATION(op_keyring);
OPERATION(op_seccomp);
OPERATION(op_chdir);
OPERATION(op_hook);
OPERATION(op_exec);
OPERATION(op_read);
OPERATION(op_wait_empty);
OPERATION(op_rmdir);
OPERATION(op_sweep);
OPERATION(op_unlink);

/* beneath.c: paths of the container, always resolved beneath its root */
int open_beneath(int root, const char *path, enum kb_target make);

/* A container that ends where a child of ours cannot be killed: what that waits for may be a process in there. Its
 * first process, a pidfd, and its v2 group; -1 where there is none. */
struct hostage { int process, group; };

/* launch.c */
struct clone_args;
long clone3_call(struct clone_args *args, size_t size, int (*function)(void *), void *argument);
int launch_open(void);
int launch_prepare(struct plan *plan); /* what exec needs, made before clone */
void launch_release(struct plan *plan);

/* notes.c */
struct note { int error, fd; };
int note_send(int socket, struct note note);
struct note note_receive(int socket, int flags);       /* error ECHILD: nobody is at the other end */

/* aside.c */
enum { ASIDE_MOST = 2 };
struct opened { int fd[ASIDE_MOST]; };
typedef int aside_work(struct plan *plan, const struct kb_op *op, struct opened *opened);
/* Has a child do it; what that has opened is ours then. -ETIMEDOUT where it took too long. */
int aside(struct plan *plan, const struct kb_op *op, struct hostage hostage, aside_work *work, struct opened *opened);

/* watchdog.c */
int watchdog_start(void);
void watchdog_end(void);
unsigned int watchdog_watch(const struct plan *plan, struct hostage hostage); /* its child, from now on */
bool watchdog_bit(unsigned int before); /* whether the child had to be killed since */

/* ending.c */
void record_add(uint32_t key, const void *bytes, size_t size);

/* userns.c */
int userns_make(const char *users, const char *groups); /* a descriptor of a new one with these maps */

/* namespaces.c */
int namespaces_open(bool rootless);
int enter_mount_ns(int ns);

/* network.c */
void pool_configure(const struct plan *plan, int first, int count, int target);
bool pool_refill_one(void); /* true while another one is wanted */

/* sweeper.c */
int sweep(int parent, const char *name, int trash);
bool sweeper_idle(void);
void sweeper_report(void); /* the sweeper has said how much it has done */
void sweeper_end(void);

/* containers.c */
struct container *container_new(struct plan *plan, struct connection *owner);
struct container *container_find(const char token[32]);
void container_ended(struct container *container);
void containers_list(struct connection *connection, const char after[32]);
void containers_release(struct connection *owner);
int container_signal(struct container *container, int signal, bool stopping);
int container_begin_again(struct container *container, struct plan *plan); /* another start: its process runs */
void container_failed_again(struct container *container, struct plan *plan, int error);

/* life.c: what is kept of a container */
int life_new(struct container *container, struct plan *plan);
void life_began(struct life *life, struct plan *plan);
void life_free(struct life *life);
int proc_stat(int pid, char *text, size_t size); /* proc_pid_stat(5) */
int input_of(const struct life *life); /* what who is attached writes to: -1 where there is none */
void life_not_again(struct life *life); /* it was to be started again, and is not */
/* Tells everybody of the end, and writes it down; true where the container is to be started again. */
bool life_ended(struct life *life, struct kb_answer *head, const struct plan *plan, int count);

/* again.c: a plan that is done more than once */
struct plan *plan_keep(const struct plan *plan);       /* NULL: no memory */
void plan_again(const struct plan *kept, struct plan *plan, struct kb_traced *trace);
void plan_forget(struct plan *kept);

/* health.c */
int health_new(struct life *life, struct plan *plan);
void health_free(struct life *life);
void health_begin(struct life *life); /* the container has been started, or once more */
void health_stop(struct life *life); /* it has ended */
void health_told(struct health *health, const struct kb_answer *head);
uint64_t health_next(const struct life *life); /* when there is something to do, UINT64_MAX: never */
void health_due(struct life *life);

/* restart.c */
bool restart_wanted(struct life *life, struct kb_answer *head); /* and when */
void timers_due(void);
int timers_wait_ms(void); /* until the next one is due, -1 where none is */

/* streams.c */
int stream_open(struct life *life, int number, int fd, bool terminal);
void stream_ready(struct stream *stream);
void stream_resume(struct stream *stream);
void streams_drain(struct life *life);
void streams_close(struct life *life);

/* log.c */
int log_open(struct life *life);
void log_write(struct life *life, int number, const char *bytes, size_t size);

/* attached.c */
int attach(struct life *life, struct connection *connection, struct plan *plan);
void attached_give(struct life *life, int number, const char *bytes, size_t size);
bool attached_waits(const struct life *life, int number);
void attached_tell(struct life *life, const void *message, size_t size); /* of the end */
void attached_free(struct attached *attached);
void outlet_ready(struct outlet *outlet);

/* connections.c */
void connection_accept(void);
void connection_ready(struct connection *connection);
void answer(struct connection *connection, struct kb_answer *head, const struct plan *plan, int first, int count,
            int reveal);
/* With the operations' traces and, where `fd` is one, that descriptor, which stays ours. */
void send_answer(struct connection *connection, struct kb_answer *head, const struct kb_traced *trace, int count,
                 int fd);
void answer_simple(struct connection *connection, int error);
void connections_report_sync(void);
void connections_tell(const char token[32], const void *message, size_t size); /* of the container's end */
int take_fd(struct plan *plan, int slot); /* out of the plan's slot, now the caller's; -1 where there is none */
uint64_t clock_ns(void);
int watch_add(struct watch *watch);
void watch_end(struct watch *watch); /* closes its descriptor too */

/* reaping.c */
void reap(struct plan *plan); /* a process that was started is not to live */
void reap_later(int pidfd); /* it has ended, and somebody else is to be told first; takes the descriptor */
bool is_any_unreaped(void);
void reap_again(void);

/* requests.c */
void request_handle(struct connection *connection, struct plan *plan);

/* validate.c */
int validate(const struct kb_request *head, const struct kb_op *ops, const char *text);

/* main.c */
void farewell_set(const struct plan *plan);
