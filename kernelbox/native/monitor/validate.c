/* A request is data from another process: every number in it is checked before an operation sees it. */
#include "monitor.h"

/* Where an operation may be. Outside and after the end it runs in the monitor itself, which must stay what it is;
 * inside it runs on the monitor's memory, so it must not change what that says of the monitor. RECIPE: for the pool. */
enum { OUTSIDE = 1, INSIDE = 2, LAST = 4, RECIPE = 8 };

/* While one of these lasts the monitor does nothing else. */
enum { MOST_TRIES = 10000, LONGEST_HOOK_MS = 60000, MOST_LOG_FILES = 1000 };

static const uint8_t places[KB_OP_END] = {
    [KB_OP_OPEN] = OUTSIDE | INSIDE,
    [KB_OP_MKDIR] = OUTSIDE | INSIDE,
    [KB_OP_MKNOD] = OUTSIDE | INSIDE,
    [KB_OP_SYMLINK] = OUTSIDE | INSIDE,
    [KB_OP_CHOWN] = OUTSIDE | INSIDE,
    [KB_OP_WRITE] = OUTSIDE | INSIDE | LAST | RECIPE,
    [KB_OP_SETXATTR] = OUTSIDE | INSIDE,
    [KB_OP_HOLD] = LAST,
    [KB_OP_OPEN_TREE] = OUTSIDE | INSIDE,
    [KB_OP_SET_ATTR] = OUTSIDE | INSIDE,
    [KB_OP_FSOPEN] = OUTSIDE | INSIDE,
    [KB_OP_FSCONFIG] = OUTSIDE | INSIDE,
    [KB_OP_FSCREATE] = OUTSIDE | INSIDE,
    [KB_OP_FSMOUNT] = OUTSIDE | INSIDE,
    [KB_OP_ATTACH] = OUTSIDE | INSIDE,
    [KB_OP_ROOT] = INSIDE,
    [KB_OP_MASK] = INSIDE,
    [KB_OP_MASK_KERNEL] = INSIDE,
    [KB_OP_READONLY] = INSIDE,
    [KB_OP_PROTECT_KERNEL] = INSIDE,
    [KB_OP_MOUNT] = INSIDE,
    [KB_OP_UMOUNT] = OUTSIDE | INSIDE | LAST,
    [KB_OP_PROPAGATION] = INSIDE,
    [KB_OP_PTY_PEER] = OUTSIDE | INSIDE,
    [KB_OP_PTY_INSIDE] = OUTSIDE,
    [KB_OP_SHARE_MEMORY] = OUTSIDE,
    [KB_OP_TAKE_NETNS] = OUTSIDE,
    [KB_OP_GIVE_NETNS] = LAST,
    [KB_OP_OUTBOUND] = OUTSIDE,
    [KB_OP_OUTBOUND_TIE] = INSIDE,
    [KB_OP_OUTBOUND_END] = LAST,
    [KB_OP_CLONE] = OUTSIDE,
    [KB_OP_PROCESS] = OUTSIDE,
    [KB_OP_NOTE] = INSIDE,
    [KB_OP_SETNS] = INSIDE,
    [KB_OP_UNSHARE] = INSIDE,
    [KB_OP_USERNS] = OUTSIDE,
    [KB_OP_NETLINK] = INSIDE | RECIPE,
    [KB_OP_HOSTNAME] = INSIDE,
    [KB_OP_DOMAINNAME] = INSIDE,
    [KB_OP_BPF_ATTACH] = OUTSIDE,
    [KB_OP_SESSION] = INSIDE,
    [KB_OP_TERMINAL] = INSIDE,
    [KB_OP_DUP] = INSIDE,
    [KB_OP_CLOSE_FROM] = INSIDE,
    [KB_OP_RLIMIT] = INSIDE,
    [KB_OP_FILE_LIMIT] = INSIDE,
    [KB_OP_UMASK] = INSIDE,
    [KB_OP_PRCTL] = INSIDE,
    [KB_OP_FSIDS] = INSIDE,
    [KB_OP_BOUNDING] = INSIDE,
    [KB_OP_AMBIENT] = INSIDE,
    [KB_OP_CAPSET] = INSIDE,
    [KB_OP_GROUPS] = INSIDE,
    [KB_OP_USER] = INSIDE,
    [KB_OP_KEYRING] = INSIDE,
    [KB_OP_SECCOMP] = INSIDE,
    [KB_OP_CHDIR] = INSIDE,
    [KB_OP_HOOK] = OUTSIDE | INSIDE | LAST,
    [KB_OP_EXEC] = INSIDE,
    [KB_OP_READ] = OUTSIDE | LAST,
    [KB_OP_WAIT_EMPTY] = OUTSIDE | LAST,
    [KB_OP_RMDIR] = OUTSIDE | LAST,
    [KB_OP_UNLINK] = OUTSIDE | LAST,
    [KB_OP_SWEEP] = OUTSIDE | LAST,
};

static int place_of(const struct kb_request *head, int index)
{
    if (index < head->before)
        return OUTSIDE;
    if (index >= head->before + head->inside)
        return LAST;
    return head->type == KB_SETUP ? RECIPE : INSIDE;
}

/* Descriptors of the monitor's own are filled by set-up plans alone. */
static bool slots_fit(const struct kb_request *head, const struct kb_op *op, int place)
{
    for (int i = 0; i < 4; i++)
        if (op->slot[i] < KB_NO_SLOT || op->slot[i] >= KB_SLOTS)
            return false;
    if (op->code == KB_OP_OUTBOUND || op->code == KB_OP_OUTBOUND_END)
        for (int i = 0; i < 4; i++)
            if (is_shared(op->slot[i]))
                return false;
    if (op->code == KB_OP_SHARE_MEMORY && (is_shared(op->slot[1]) || op->slot[1] == KB_NO_SLOT))
        return false;
    bool fills_third = op->code == KB_OP_PROCESS || op->code == KB_OP_PTY_INSIDE;
    bool fills = is_shared(op->slot[3]) || (fills_third && is_shared(op->slot[2])) ||
                 (op->code == KB_OP_FSMOUNT && is_shared(op->slot[0]));
    return !fills || (head->type == KB_SETUP && place == OUTSIDE);
}

static bool flags_fit(const struct kb_op *op, int place)
{
    if (op->code == KB_OP_UMOUNT && place != INSIDE && !(op->flags & KB_IN_WORKSHOP))
        return false;                                  /* nothing of the host is unmounted */
    return !(op->flags & KB_IN_WORKSHOP) || place == OUTSIDE || place == LAST;
}

static bool bytes_fit(const struct kb_request *head, uint32_t offset, uint64_t count, uint64_t size)
{
    return count <= KB_MAX_PLAN && (!count || (offset && count * size <= head->text_size - offset));
}

static bool strings_fit(const struct kb_request *head, const char *text, uint32_t offset, uint64_t count)
{
    if (!count)
        return true;
    if (!offset || count > head->text_size)
        return false;
    const char *at = text + offset, *end = text + head->text_size;
    for (; count && at < end; count--)
        at += strlen(at) + 1;                          /* the text as a whole ends with NUL */
    return !count;
}

static bool operands_fit(const struct kb_request *head, const struct kb_op *op, const char *text)
{
    switch (op->code) {
    case KB_OP_WRITE: return op->text[0] && bytes_fit(head, op->text[1], op->num[0], 1);
    case KB_OP_SETXATTR: return op->text[0] && op->text[1] && bytes_fit(head, op->text[2], op->num[0], 1);
    case KB_OP_SHARE_MEMORY:
    case KB_OP_PROCESS: return bytes_fit(head, op->text[0], 32, 1);
    case KB_OP_PTY_INSIDE: return op->text[0] && op->num[2] <= KB_SLOTS;
    case KB_OP_NETLINK: return bytes_fit(head, op->text[0], op->num[0], 1);
    case KB_OP_SECCOMP: return op->num[0] <= 0xffff && bytes_fit(head, op->text[0], op->num[0], 8);
    case KB_OP_GROUPS: return bytes_fit(head, op->text[0], op->num[0], 4);
    case KB_OP_MOUNT: return op->num[1] < head->text_size;
    case KB_OP_EXEC:
        return strings_fit(head, text, op->text[0], op->num[0]) && strings_fit(head, text, op->text[1], op->num[1]) &&
               op->num[2] && strings_fit(head, text, op->text[2], op->num[2]);
    case KB_OP_OUTBOUND: return op->num[0] > 1 && strings_fit(head, text, op->text[0], op->num[0]);
    case KB_OP_HOOK:
        return op->num[0] && op->num[3] && op->num[3] <= LONGEST_HOOK_MS &&
               strings_fit(head, text, op->text[0], op->num[0]) && strings_fit(head, text, op->text[1], op->num[1]) &&
               bytes_fit(head, op->text[2], op->num[2], 1);
    case KB_OP_OPEN:
    case KB_OP_MKDIR:
    case KB_OP_MKNOD:
    case KB_OP_FSOPEN:
    case KB_OP_ATTACH:
    case KB_OP_MASK:
    case KB_OP_MASK_KERNEL:
    case KB_OP_PROTECT_KERNEL:
    case KB_OP_READONLY:
    case KB_OP_UMOUNT:
    case KB_OP_PROPAGATION:
    case KB_OP_HOSTNAME:
    case KB_OP_DOMAINNAME:
    case KB_OP_CHDIR:
    case KB_OP_NOTE:
    case KB_OP_CHOWN:
    case KB_OP_READ:
    case KB_OP_WAIT_EMPTY:
    case KB_OP_UNLINK:
    case KB_OP_SWEEP: return op->text[0];
    case KB_OP_RMDIR: return op->text[0] && op->num[0] <= MOST_TRIES;
    case KB_OP_USERNS:
    case KB_OP_SYMLINK: return op->text[0] && op->text[1];
    default: return true;
    }
}

static bool op_fits(const struct kb_request *head, const struct kb_op *op, const char *text, int place)
{
    if (op->code < KB_OP_OPEN || op->code >= KB_OP_END || !(places[op->code] & place))
        return false;
    if (!slots_fit(head, op, place) || !flags_fit(op, place))
        return false;
    for (int i = 0; i < 3; i++)
        if (op->text[i] >= head->text_size && op->text[i])
            return false;
    return operands_fit(head, op, text);
}

static bool is_own_slot(int slot) { return slot >= KB_NO_SLOT && slot < KB_SHARED_SLOTS; }

static bool life_fits(const struct kb_request *head)
{
    const struct kb_life *life = &head->life;
    bool fits = is_own_slot(life->folder) && is_own_slot(life->output) && is_own_slot(life->error) &&
                is_own_slot(life->input) && is_own_slot(life->attach[0]) && is_own_slot(life->attach[1]) &&
                is_own_slot(life->process) && life->restart <= KB_ALWAYS && life->log_files <= MOST_LOG_FILES;
    if (head->flags & (KB_KEEP | KB_ADOPT))
        fits = fits && head->type == KB_LAUNCH && head->flags & KB_KEEP && life->folder != KB_NO_SLOT &&
               !(head->flags & KB_LEASE);
    if (head->type == KB_HEALTH)
        fits = fits && !head->flags && head->health.interval_ms && head->health.timeout_ms && head->health.retries;
    return fits && (!(head->flags & KB_ADOPT) || (life->process != KB_NO_SLOT && head->signal > 0));
}

static bool words_fit(const struct kb_request *head)
{
    uint32_t first = head->words, size = head->words_size;
    return !size || (size <= KB_MOST_WORDS && first && first >= head->last_text && first < head->text_size &&
                     size <= head->text_size - first && !(head->flags & KB_KEEP));
}

int validate(const struct kb_request *head, const struct kb_op *ops, const char *text)
{
    int count = head->before + head->inside + head->after, clones = 0;
    if (head->reveal < KB_NO_SLOT || head->reveal >= KB_SLOTS || !life_fits(head) || !words_fit(head))
        return -EINVAL;
    for (int i = 0; i < count; i++) {
        if (!op_fits(head, &ops[i], text, place_of(head, i)))
            return -EINVAL;
        clones += ops[i].code == KB_OP_CLONE;
    }
    for (int i = head->before + head->inside; i < count; i++)
        for (int t = 0; t < 3; t++)
            if (ops[i].text[t] && ops[i].text[t] < head->last_text)
                return -EINVAL;
    return clones == (head->type == KB_LAUNCH || head->type == KB_HEALTH) ? 0 : -EINVAL;
}
