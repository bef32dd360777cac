/* Restart policies: the same plan once more, after a pause that doubles while the container does not hold out. */
#include "monitor.h"

enum { FIRST_DELAY_MS = 100, LONGEST_DELAY_MS = 60000 };
static const uint64_t UNREAPED_NS = 50000000u;         /* how often is asked whether they can be reaped now */
static const uint64_t HELD_OUT_NS = 10000000000u; /* Docker's: who ran that long begins with a short pause again */

bool restart_wanted(struct life *life, struct kb_answer *head)
{
    bool failed = head->status || head->signal || head->error;
    bool policy = life->wanted.restart == KB_ALWAYS || (life->wanted.restart == KB_ON_FAILURE && failed);
    bool most = life->wanted.restart == KB_ON_FAILURE && life->wanted.restart_most &&
                life->restarts >= life->wanted.restart_most;
    if (!life->again || life->stopping || !policy || most)
        return false;
    uint64_t now = now_ns();
    bool held_out = now - life->began_ns >= HELD_OUT_NS;
    life->delay_ms = !life->delay_ms || held_out ? FIRST_DELAY_MS : life->delay_ms * 2;
    if (life->delay_ms > LONGEST_DELAY_MS)
        life->delay_ms = LONGEST_DELAY_MS;
    life->due_ns = now + (uint64_t)life->delay_ms * 1000000u;
    monitor.waiting++;
    head->again_ms = life->delay_ms;
    return true;
}

static uint64_t next_of(const struct life *life)
{
    uint64_t asked = health_next(life);
    return life->due_ns && life->due_ns < asked ? life->due_ns : asked;
}

int timers_wait_ms(void)
{
    bool any = monitor.waiting || monitor.healths;
    uint64_t next = UINT64_MAX, now = now_ns();
    for (struct container *container = any ? monitor.containers : NULL; container; container = container->next)
        if (container->life && next_of(container->life) < next)
            next = next_of(container->life);
    if (is_any_unreaped() && next > now + UNREAPED_NS)
        next = now + UNREAPED_NS;
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : (int)((next - now) / 1000000u) + 1;
}

static void start_again(struct container *container)
{
    static struct kb_traced trace[KB_MAX_OPS];
    struct life *life = container->life;
    struct plan plan;
    plan_again(life->again, &plan, trace);
    plan.head.life.restarts = (uint16_t)++life->restarts;
    monitor.waiting--;
    life->due_ns = 0;
    int result = launch_prepare(&plan);
    if (!result)
        result = run_ops(&plan, 0, plan.head.before);
    if (!result)
        result = container_begin_again(container, &plan);
    if (result)
        container_failed_again(container, &plan, result);
    launch_release(&plan);
    plan_close(&plan);
}

/* One at a time: what is done about one may end it, or begin another. */
void timers_due(void)
{
    if (is_any_unreaped())
        reap_again();
    bool any = monitor.waiting || monitor.healths;
    uint64_t now = any ? now_ns() : 0;
    for (struct container *container = any ? monitor.containers : NULL; container; container = container->next) {
        struct life *life = container->life;
        if (!life || next_of(life) > now)
            continue;
        if (life->due_ns && life->due_ns <= now)
            start_again(container);
        else
            health_due(life);
        return;
    }
}
