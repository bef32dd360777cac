/* The interpreter: operations in order, each with its start, end and errno in the trace. */
#include "monitor.h"

#include <time.h>

static int (*const actions[KB_OP_END])(struct plan *, const struct kb_op *) = {
    [KB_OP_OPEN] = op_open,
    [KB_OP_MKDIR] = op_mkdir,
    [KB_OP_MKNOD] = op_mknod,
    [KB_OP_SYMLINK] = op_symlink,
    [KB_OP_CHOWN] = op_chown,
    [KB_OP_WRITE] = op_write,
    [KB_OP_SETXATTR] = op_setxattr,
    [KB_OP_HOLD] = op_hold,
    [KB_OP_OPEN_TREE] = op_open_tree,
    [KB_OP_SET_ATTR] = op_set_attr,
    [KB_OP_FSOPEN] = op_fsopen,
    [KB_OP_FSCONFIG] = op_fsconfig,
    [KB_OP_FSCREATE] = op_fscreate,
    [KB_OP_FSMOUNT] = op_fsmount,
    [KB_OP_ATTACH] = op_attach,
    [KB_OP_ROOT] = op_root,
    [KB_OP_MASK_KERNEL] = op_mask_kernel,
    [KB_OP_PROTECT_KERNEL] = op_protect_kernel,
    [KB_OP_MASK] = op_mask,
    [KB_OP_READONLY] = op_readonly,
    [KB_OP_MOUNT] = op_mount,
    [KB_OP_UMOUNT] = op_umount,
    [KB_OP_PROPAGATION] = op_propagation,
    [KB_OP_PTY_PEER] = op_pty_peer,
    [KB_OP_PTY_INSIDE] = op_pty_inside,
    [KB_OP_SHARE_MEMORY] = op_share_memory,
    [KB_OP_TAKE_NETNS] = op_take_netns,
    [KB_OP_GIVE_NETNS] = op_give_netns,
    [KB_OP_NETLINK] = op_netlink,
    [KB_OP_OUTBOUND] = op_outbound,
    [KB_OP_OUTBOUND_TIE] = op_outbound_tie,
    [KB_OP_OUTBOUND_END] = op_outbound_end,
    [KB_OP_CLONE] = op_clone,
    [KB_OP_PROCESS] = op_process,
    [KB_OP_NOTE] = op_note,
    [KB_OP_SETNS] = op_setns,
    [KB_OP_UNSHARE] = op_unshare,
    [KB_OP_USERNS] = op_userns,
    [KB_OP_HOSTNAME] = op_hostname,
    [KB_OP_DOMAINNAME] = op_domainname,
    [KB_OP_BPF_ATTACH] = op_bpf_attach,
    [KB_OP_SESSION] = op_session,
    [KB_OP_TERMINAL] = op_terminal,
    [KB_OP_DUP] = op_dup,
    [KB_OP_CLOSE_FROM] = op_close_from,
    [KB_OP_RLIMIT] = op_rlimit,
    [KB_OP_FILE_LIMIT] = op_file_limit,
    [KB_OP_UMASK] = op_umask,
    [KB_OP_PRCTL] = op_prctl,
    [KB_OP_FSIDS] = op_fsids,
    [KB_OP_BOUNDING] = op_bounding,
    [KB_OP_AMBIENT] = op_ambient,
    [KB_OP_CAPSET] = op_capset,
    [KB_OP_GROUPS] = op_groups,
    [KB_OP_USER] = op_user,
    [KB_OP_KEYRING] = op_keyring,
    [KB_OP_SECCOMP] = op_seccomp,
    [KB_OP_CHDIR] = op_chdir,
    [KB_OP_HOOK] = op_hook,
    [KB_OP_EXEC] = op_exec,
    [KB_OP_READ] = op_read,
    [KB_OP_WAIT_EMPTY] = op_wait_empty,
    [KB_OP_RMDIR] = op_rmdir,
    [KB_OP_UNLINK] = op_unlink,
    [KB_OP_SWEEP] = op_sweep,
};

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void drop_fd(struct plan *plan, int slot)
{
    int *place = is_shared(slot) ? &monitor.shared[slot - KB_SHARED_SLOTS] : &plan->slots[slot];
    if (*place >= 0)
        close(*place);
    *place = -1;
}

int take_fd(struct plan *plan, int slot)
{
    if (slot == KB_NO_SLOT || is_shared(slot))
        return -1;
    int fd = plan->slots[slot];
    plan->slots[slot] = -1;
    return fd;
}

int keep_fd(struct plan *plan, int slot, int fd)
{
    if (fd < 0)
        return fd;
    if (slot < 0 || slot >= KB_SLOTS) {
        close(fd);
        return -EINVAL;
    }
    drop_fd(plan, slot);
    *(is_shared(slot) ? &monitor.shared[slot - KB_SHARED_SLOTS] : &plan->slots[slot]) = fd;
    return 0;
}

static int run_one(struct plan *plan, int index)
{
    const struct kb_op *op = &plan->ops[index];
    struct kb_traced *trace = &plan->trace[index];
    trace->op = (uint32_t)index;
    trace->start_ns = now_ns();
    int result = 0;
    if (index == plan->head.fail_op)
        result = -plan->head.fail_errno;
    else if (op->flags & KB_IN_WORKSHOP)
        result = enter_mount_ns(monitor.workshop_ns);
    if (!result)
        result = actions[op->code](plan, op);
    if ((op->flags & KB_IN_WORKSHOP || op->code == KB_OP_CLONE) && enter_mount_ns(monitor.host_ns))
        abort(); /* lost in a container's or in no file system: nothing good can follow */
    trace->end_ns = now_ns();
    trace->error = result < 0 ? -result : 0;
    return op->flags & KB_MAY_FAIL ? 0 : result;
}

int run_ops(struct plan *plan, int first, int count)
{
    for (int index = first; index < first + count; index++) {
        int result = run_one(plan, index);
        if (result < 0) {
            if (plan->failed_op < 0 && result != -EINTR) {  /* not already told by the child */
                plan->failed_op = index;
                plan->failed_errno = -result;
            }
            return result;
        }
    }
    return 0;
}

int run_every_op(struct plan *plan, int first, int count)
{
    int worst = 0;
    for (int index = first; index < first + count; index++) {
        int result = run_one(plan, index);
        if (result < 0 && !worst)
            worst = result;
    }
    return worst;
}

void plan_close(struct plan *plan)
{
    for (int slot = 0; slot < KB_SHARED_SLOTS; slot++)
        drop_fd(plan, slot);
}
