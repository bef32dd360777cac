/* A plan that is done more than once: the descriptors that were sent along stay open, its own are opened anew. */
#include "monitor.h"

struct plan *plan_keep(const struct plan *plan)
{
    size_t count = (size_t)plan->head.before + plan->head.inside + plan->head.after;
    const int16_t *attach = plan->head.life.attach;    /* these are the connection's that asked, and end with it */
    struct plan *kept = calloc(1, sizeof *kept);
    struct kb_op *ops = malloc(count * sizeof *ops);
    char *text = malloc(plan->head.text_size);
    if (!kept || !ops || !text) {
        free(kept);
        free(ops);
        free(text);
        return NULL;
    }
    memcpy(ops, plan->ops, count * sizeof *ops);
    memcpy(text, plan->text, plan->head.text_size);
    *kept = (struct plan){.head = plan->head, .ops = ops, .text = text};
    kept->head.fail_op = -1;
    for (int slot = 0; slot < KB_SHARED_SLOTS; slot++) {
        bool wanted = slot < plan->head.given && slot != attach[0] && slot != attach[1] && plan->slots[slot] >= 0;
        kept->slots[slot] = wanted ? fcntl(plan->slots[slot], F_DUPFD_CLOEXEC, 3) : -1;
    }
    return kept;
}

void plan_again(const struct plan *kept, struct plan *plan, struct kb_traced *trace)
{
    *plan = *kept;
    plan->trace = trace;
    plan->failed_op = plan->pidfd = -1;
    for (int slot = 0; slot < plan->head.given; slot++)
        if (plan->slots[slot] >= 0)
            plan->slots[slot] = fcntl(plan->slots[slot], F_DUPFD_CLOEXEC, 3);
}

void plan_forget(struct plan *kept)
{
    if (!kept)
        return;
    plan_close(kept);
    free((void *)(uintptr_t)kept->ops);
    free((void *)(uintptr_t)kept->text);
    free(kept);
}
