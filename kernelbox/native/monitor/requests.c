/* What engines ask for: a container started, taken over, attached to, signalled, waited for. */
#include "monitor.h"

#include <sys/wait.h>

static void launch_failed(struct connection *connection, struct plan *plan, int result)
{
    int launched = plan->head.before + plan->head.inside;
    struct kb_answer head = {
        .type = KB_FAILED,
        .last = 1,
        .error = plan->failed_errno ? plan->failed_errno : -result,
        .op = plan->failed_op,
        .now_ns = now_ns(),
        .clock_ns = clock_ns(),
    };
    reap(plan);
    if (plan->head.flags & KB_KEEP && slot_fd(plan, plan->head.life.folder) >= 0)
        unlinkat(slot_fd(plan, plan->head.life.folder), "running", 0);
    size_t words = monitor.record_used;                /* what the kernel said about the failure, not counters */
    plan->head.fail_op = -1;
    run_every_op(plan, launched, plan->head.after);
    monitor.record_used = words;
    answer(connection, &head, plan, 0, launched, KB_NO_SLOT);
}

/* Of a container that runs already only what a monitor needs is opened; it has got its process from the engine. */
static int adopt(struct plan *plan)
{
    for (int index = 0; index < plan->head.before; index++)
        if (plan->ops[index].flags & KB_ON_ADOPTION) {
            int result = run_ops(plan, index, 1);
            if (result)
                return result;
        }
    plan->pidfd = take_fd(plan, plan->head.life.process);
    plan->pid = plan->head.signal;
    return 0;
}

static int start(struct connection *connection, struct plan *plan, struct container **container)
{
    if (container_find(plan->head.token))
        return -EEXIST;
    int result = launch_prepare(plan);
    if (!result)
        result = plan->head.flags & KB_ADOPT ? adopt(plan) : run_ops(plan, 0, plan->head.before);
    if (!result && plan->pidfd < 0)
        result = -EINVAL;                              /* a plan without clone launches nothing */
    if (!result && !(*container = container_new(plan, connection)))
        result = -ENOMEM;
    return result;
}

static void launch(struct connection *connection, struct plan *plan)
{
    const int16_t *wanted = plan->head.life.attach;
    struct container *container = NULL;
    int result = start(connection, plan, &container);
    if (result < 0 && plan->head.flags & KB_ADOPT) {   /* it runs: nothing of it may be undone */
        answer_simple(connection, -result);
        return;
    }
    if (result < 0) {
        launch_failed(connection, plan, result);
        return;
    }
    bool attaches = container->life && (wanted[0] != KB_NO_SLOT || wanted[1] != KB_NO_SLOT);
    bool stays = !container->life || (attaches && !attach(container->life, connection, plan));
    struct kb_answer head = {
        .type = KB_STARTED,
        .last = !stays,
        .op = -1,
        .pid = plan->pid,
        .now_ns = now_ns(),
        .clock_ns = clock_ns(),
    };
    int traced = plan->head.flags & KB_ADOPT ? 0 : plan->head.before + plan->head.inside;
    if (container->life)
        send_answer(connection, &head, plan->trace, traced, stays ? input_of(container->life) : -1);
    else
        answer(connection, &head, plan, 0, traced, plan->head.reveal);
}

static void attach_to(struct connection *connection, struct plan *plan, struct container *container)
{
    struct kb_answer head = {.type = KB_OK, .op = -1, .now_ns = now_ns(), .clock_ns = clock_ns()};
    int result = container && container->life ? attach(container->life, connection, plan) : -ESRCH;
    if (result)
        answer_simple(connection, -result);
    else
        send_answer(connection, &head, NULL, 0, input_of(container->life));
}

static void wait_for(struct connection *connection, struct plan *plan, struct container *container)
{
    if (!container || !container->life) {
        answer_simple(connection, ESRCH);
        return;
    }
    connection->wants_end = true;
    memcpy(connection->token, plan->head.token, sizeof connection->token);
}

static int change(struct container *container, const struct kb_request *head)
{
    struct life *life = container ? container->life : NULL;
    if (!life)
        return ESRCH;
    if (head->type == KB_CLOSE_INPUT) {
        if (life->input >= 0)
            close(life->input);
        life->input = -1;
        return 0;
    }
    if (head->type == KB_PAUSE) {
        container->paused = head->signal;
        return 0;
    }
    if (!life->again && head->life.restart != KB_NEVER)
        return EOPNOTSUPP;                             /* its plan was not kept */
    life->wanted.restart = head->life.restart;
    life->wanted.restart_most = head->life.restart_most;
    return 0;
}

static void set_up(struct connection *connection, struct plan *plan)
{
    bool late = plan->head.flags & KB_RECOVERY && monitor.recovered;
    if (plan->head.after)                              /* first: what fails half way is to leave nothing either */
        farewell_set(plan);
    int result = late ? 0 : run_ops(plan, 0, plan->head.before);
    if (!result) {
        monitor.recovered |= plan->head.flags & KB_RECOVERED;
        monitor.taken_over |= plan->head.flags & KB_TAKEN_OVER;
        if (plan->head.inside)
            pool_configure(plan, plan->head.before, plan->head.inside, plan->head.signal);
    }
    struct kb_answer head = {
        .type = result ? KB_FAILED : KB_OK,
        .last = 1,
        .error = -result,
        .op = plan->failed_op,
        .pid = getpid(),
        .status = (monitor.recovered ? KB_RECOVERED : 0) | (monitor.taken_over ? KB_TAKEN_OVER : 0),
        .now_ns = now_ns(),
    };
    answer(connection, &head, plan, 0, plan->head.before, result ? KB_NO_SLOT : plan->head.reveal);
}

void request_handle(struct connection *connection, struct plan *plan)
{
    struct container *container = container_find(plan->head.token);
    bool stopping = plan->head.flags & KB_STOPPING;
    switch (plan->head.type) {
    case KB_LAUNCH:
        launch(connection, plan);
        launch_release(plan);
        break;
    case KB_SETUP: set_up(connection, plan); break;
    case KB_SIGNAL:
        answer_simple(connection, container ? -container_signal(container, plan->head.signal, stopping) : ESRCH);
        break;
    case KB_LIST: containers_list(connection, plan->head.token); break;
    case KB_WAIT: wait_for(connection, plan, container); break;
    case KB_ATTACH: attach_to(connection, plan, container); break;
    case KB_HEALTH:
        answer_simple(connection, container && container->life ? -health_new(container->life, plan) : ESRCH);
        break;
    case KB_PAUSE:
    case KB_CLOSE_INPUT:
    case KB_RESTARTS: answer_simple(connection, change(container, &plan->head)); break;
    case KB_SYNC:
        if (sweeper_idle())
            answer_simple(connection, 0);
        else
            connection->wants_sync = true;
        break;
    default: answer_simple(connection, EINVAL);
    }
    plan_close(plan);
}
