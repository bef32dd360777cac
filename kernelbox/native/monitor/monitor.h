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

enum watch_kind { WATCH_LISTENER, WATCH_CONNECTION, WATCH_CONTAINER, WATCH_SWEEPER };
struct watch {
    enum watch_kind kind;
    int fd;
};        /* what an epoll event points to; first member of its owner */

struct connection {
    struct watch watch;
    struct connection *next;
    bool wants_sync;
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
    bool lease;
    int pid, held_count, after_count, first_op;
    int16_t fail_op, fail_errno;
    struct kb_op *after;
    char *text;
    struct held *held;
};

struct monitor {
    int epoll, listener, proc;
    int host_ns, template_ns, workshop_ns, net_ns, current_ns;
    int shared[KB_SLOTS - KB_SHARED_SLOTS];
    struct rlimit files; /* what we were started with, and what a program gets; ours is as high as it can be */
    struct connection *connections;
    struct container *containers;
    bool recovered; /* what a predecessor left is gone: from now on there may be containers */
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

/* files.c, mounts.c, process.c, network.c, ending.c: one function an operation */
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
OPERATION(op_take_netns);
OPERATION(op_give_netns);
OPERATION(op_netlink);
OPERATION(op_clone);
OPERATION(op_setns);
OPERATION(op_unshare);
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

/* launch.c */
int launch_open(void);
int launch_prepare(struct plan *plan); /* what exec needs, made before clone */
void launch_release(struct plan *plan);

/* ending.c */
void record_add(uint32_t key, const void *bytes, size_t size);

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
void containers_release(struct connection *owner);

/* connections.c */
void connection_accept(void);
void connection_ready(struct connection *connection);
void answer(struct connection *connection, struct kb_answer *head, const struct plan *plan, int first, int count,
            int reveal);
void connections_report_sync(void);
int watch_add(struct watch *watch);
void watch_end(struct watch *watch); /* closes its descriptor too */

/* validate.c */
int validate(const struct kb_request *head, const struct kb_op *ops, const char *text);

/* main.c */
void farewell_set(const struct plan *plan);
