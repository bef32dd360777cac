/* The containers that run, and what is to be done when one has ended. */
#include "monitor.h"

#include <sys/resource.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static bool mentions(const struct kb_op *op, int slot)
{
    for (int i = 0; i < 4; i++)
        if (op->slot[i] == slot)
            return true;
    return false;
}

/* Descriptors that the last part names go over to the container; the others are closed with the plan. */
static int hold_descriptors(struct container *container, struct plan *plan)
{
    for (int slot = 0; slot < KB_SHARED_SLOTS; slot++) {
        bool wanted = false;
        for (int i = 0; plan->slots[slot] >= 0 && i < container->after_count && !wanted; i++)
            wanted = mentions(&container->after[i], slot);
        if (!wanted)
            continue;
        struct held *more = realloc(container->held, (size_t)(container->held_count + 1) * sizeof *more);
        if (!more)
            return -ENOMEM;
        container->held = more;
        container->held[container->held_count++] = (struct held){(int16_t)slot, plan->slots[slot]};
        plan->slots[slot] = -1;
    }
    return 0;
}

/* Copies the last part: its operations, with their offsets counted from the part of the text that is kept. */
static int copy_last_part(struct container *container, const struct plan *plan)
{
    const struct kb_op *ops = plan->ops + container->first_op;
    size_t size = plan->head.text_size - plan->head.last_text;
    container->after = malloc((size_t)container->after_count * sizeof *ops + 1);
    container->text = malloc(size + 1);
    if (!container->after || !container->text)
        return -ENOMEM;
    memcpy(container->text + 1, plan->text + plan->head.last_text, size);
    for (int i = 0; i < container->after_count; i++) {
        container->after[i] = ops[i];
        for (int t = 0; t < 3; t++)
            if (ops[i].text[t])
                container->after[i].text[t] = ops[i].text[t] - plan->head.last_text + 1;
    }
    return 0;
}

static void container_free(struct container *container)
{
    if (container->watch.fd >= 0)
        watch_end(&container->watch);
    for (int i = 0; i < container->held_count; i++)
        close(container->held[i].fd);
    free(container->held);
    free(container->after);
    free(container->text);
    free(container);
}

struct container *container_new(struct plan *plan, struct connection *owner)
{
    struct container *container = calloc(1, sizeof *container);
    if (!container)
        return NULL;
    container->watch = (struct watch){WATCH_CONTAINER, plan->pidfd};
    container->owner = owner;
    container->lease = plan->head.flags & KB_LEASE;
    container->pid = plan->pid;
    container->after_count = plan->head.after;
    container->first_op = plan->head.before + plan->head.inside;
    container->fail_op = plan->head.fail_op;
    container->fail_errno = plan->head.fail_errno;
    memcpy(container->token, plan->head.token, sizeof container->token);
    if (copy_last_part(container, plan) || hold_descriptors(container, plan) || watch_add(&container->watch)) {
        container->watch.fd = -1;                      /* the caller still has it, and ends the process through it */
        container_free(container);
        return NULL;
    }
    container->next = monitor.containers;
    monitor.containers = container;
    return container;
}

struct container *container_find(const char token[32])
{
    struct container *container = monitor.containers;
    while (container && memcmp(container->token, token, sizeof container->token))
        container = container->next;
    return container;
}

static void unlink_container(const struct container *container)
{
    struct container **link = &monitor.containers;
    while (*link != container)
        link = &(*link)->next;
    *link = container->next;
}

static void run_last_part(struct container *container, struct plan *plan)
{
    static struct kb_traced trace[KB_MAX_OPS];
    *plan = (struct plan){.ops = container->after, .text = container->text, .trace = trace, .failed_op = -1};
    plan->head.fail_op = (int16_t)(container->fail_op - container->first_op);
    plan->head.fail_errno = container->fail_errno;
    for (int slot = 0; slot < KB_SHARED_SLOTS; slot++)
        plan->slots[slot] = -1;
    for (int i = 0; i < container->held_count; i++)
        plan->slots[container->held[i].slot] = container->held[i].fd;
    run_every_op(plan, 0, container->after_count);
}

static uint64_t microseconds(struct timeval time) { return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec; }

void container_ended(struct container *container)
{
    siginfo_t info = {0};
    struct rusage used = {0};
    struct plan plan;
    if (syscall(SYS_waitid, P_PIDFD, container->watch.fd, &info, WEXITED | WNOHANG, &used) || !info.si_pid)
        return;
    struct kb_answer head = {
        .type = KB_EXITED,
        .last = 1,
        .op = -1,
        .pid = container->pid,
        .now_ns = now_ns(),
        .user_us = microseconds(used.ru_utime),
        .system_us = microseconds(used.ru_stime),
        .max_rss_kb = (uint64_t)used.ru_maxrss,
        .first_op = (uint64_t)container->first_op,
    };
    *(info.si_code == CLD_EXITED ? &head.status : &head.signal) = info.si_status;
    unlink_container(container);
    monitor.record_used = 0;
    run_last_part(container, &plan);
    if (container->owner)
        answer(container->owner, &head, &plan, 0, container->after_count, KB_NO_SLOT);
    container_free(container);
}

void containers_release(struct connection *owner)
{
    for (struct container *container = monitor.containers; container; container = container->next) {
        if (container->owner != owner)
            continue;
        container->owner = NULL;
        if (container->lease)
            syscall(SYS_pidfd_send_signal, container->watch.fd, SIGKILL, NULL, 0);
    }
}
