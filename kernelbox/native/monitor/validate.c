/* A request is data from another process: every number in it is checked before an operation sees it. */
#include "monitor.h"

static bool slots_fit(const struct kb_op *op)
{
    for (int i = 0; i < 4; i++)
        if (op->slot[i] < KB_NO_SLOT || op->slot[i] >= KB_SLOTS)
            return false;
    return true;
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
    case KB_OP_NETLINK: return bytes_fit(head, op->text[0], op->num[0], 1);
    case KB_OP_SECCOMP: return op->num[0] <= 0xffff && bytes_fit(head, op->text[0], op->num[0], 8);
    case KB_OP_GROUPS: return bytes_fit(head, op->text[0], op->num[0], 4);
    case KB_OP_MOUNT: return op->num[1] < head->text_size;
    case KB_OP_EXEC:
        return strings_fit(head, text, op->text[0], op->num[0]) && strings_fit(head, text, op->text[1], op->num[1]) &&
               op->num[2] && strings_fit(head, text, op->text[2], op->num[2]);
    case KB_OP_HOOK:
        return op->num[0] && strings_fit(head, text, op->text[0], op->num[0]) &&
               strings_fit(head, text, op->text[1], op->num[1]) && bytes_fit(head, op->text[2], op->num[2], 1);
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
    case KB_OP_PIVOT:
    case KB_OP_PROPAGATION:
    case KB_OP_HOSTNAME:
    case KB_OP_DOMAINNAME:
    case KB_OP_CHDIR:
    case KB_OP_CHOWN:
    case KB_OP_READ:
    case KB_OP_WAIT_EMPTY:
    case KB_OP_RMDIR:
    case KB_OP_SWEEP: return op->text[0];
    case KB_OP_SYMLINK: return op->text[0] && op->text[1];
    default: return true;
    }
}

static bool op_fits(const struct kb_request *head, const struct kb_op *op, const char *text)
{
    if (op->code < KB_OP_OPEN || op->code >= KB_OP_END || !slots_fit(op))
        return false;
    for (int i = 0; i < 3; i++)
        if (op->text[i] >= head->text_size && op->text[i])
            return false;
    return operands_fit(head, op, text);
}

int validate(const struct kb_request *head, const struct kb_op *ops, const char *text)
{
    int count = head->before + head->inside + head->after;
    for (int i = 0; i < count; i++)
        if (!op_fits(head, &ops[i], text))
            return -EINVAL;
    for (int i = head->before + head->inside; i < count; i++)
        for (int t = 0; t < 3; t++)
            if (ops[i].text[t] && ops[i].text[t] < head->last_text)
                return -EINVAL;
    return 0;
}
