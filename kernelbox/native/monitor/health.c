/* Health checks: a process in the container, started again and again, whose end says whether the container is well.
 * What is known is in the file "health" of its folder: status, failures in a row, exit code, begin, end, output. */
#include "monitor.h"

#include <stdio.h>
#include <sys/wait.h>

enum { MOST_OUTPUT = 4096 };

struct health {
    struct life *life;
    struct kb_health wanted;
    struct plan *plan;
    struct container *probe; /* under way */
    uint64_t began_ns, due_ns, deadline_ns, probe_began_ns;
    unsigned int failures;
    enum { STARTING, HEALTHY, UNHEALTHY } status;
    bool late;
    int output;
};

static uint64_t after_ms(uint32_t ms) { return now_ns() + (uint64_t)ms * 1000000u; }

static bool in_start_period(const struct health *health)
{
    return health->status == STARTING &&
           now_ns() - health->began_ns < (uint64_t)health->wanted.start_period_ms * 1000000u;
}

static void plan_next(struct health *health)
{
    bool early = in_start_period(health) && health->wanted.start_interval_ms;
    health->due_ns = after_ms(early ? health->wanted.start_interval_ms : health->wanted.interval_ms);
    health->deadline_ns = 0;
}

static void write_down(const struct health *health, int code)
{
    static const char *const words[] = {"starting", "healthy", "unhealthy"};
    char text[MOST_OUTPUT + 256];
    int used = snprintf(text, 256, "%s %u %d %llu %llu\n", words[health->status], health->failures, code,
                        (unsigned long long)health->probe_began_ns, (unsigned long long)clock_ns());
    ssize_t count = pread(health->output, text + used, MOST_OUTPUT, 0);
    size_t size = (size_t)used + (count > 0 ? (size_t)count : 0);
    int fd = openat(health->life->folder, "health.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    bool whole = write(fd, text, size) == (ssize_t)size;
    close(fd);
    if (whole)
        renameat(health->life->folder, "health.new", health->life->folder, "health");
}

int health_new(struct life *life, struct plan *plan)
{
    struct health *health = calloc(1, sizeof *health);
    struct plan *kept = plan_keep(plan);
    int output = take_fd(plan, plan->head.life.output);
    if (!health || !kept || output < 0) {
        free(health);
        plan_forget(kept);
        if (output >= 0)
            close(output);
        return output < 0 ? -EBADF : -ENOMEM;
    }
    health_free(life);
    *health = (struct health){.life = life, .wanted = plan->head.health, .plan = kept, .output = output};
    life->health = health;
    monitor.healths++;
    health_begin(life);
    return 0;
}

void health_begin(struct life *life)
{
    struct health *health = life->health;
    if (!health)
        return;
    health->began_ns = now_ns();
    health->failures = 0;
    health->status = STARTING;
    write_down(health, 0);
    plan_next(health);
}

void health_stop(struct life *life)
{
    if (!life->health)
        return;
    life->health->due_ns = life->health->deadline_ns = 0;
    if (life->health->probe)
        life->health->probe->probes = NULL; /* it ends with the container, and says nothing any more */
    life->health->probe = NULL;
}

void health_free(struct life *life)
{
    struct health *health = life->health;
    if (!health)
        return;
    health_stop(life);
    plan_forget(health->plan);
    close(health->output);
    free(health);
    life->health = NULL;
    monitor.healths--;
}

static void judge(struct health *health, int code)
{
    if (!code) {
        health->failures = 0;
        health->status = HEALTHY;
    } else if (!in_start_period(health)) {
        health->failures++;
        if (health->failures >= health->wanted.retries)
            health->status = UNHEALTHY;
    }
    write_down(health, code);
    plan_next(health);
}

void health_told(struct health *health, const struct kb_answer *head)
{
    health->probe = NULL;
    judge(health, health->late ? -1 : head->signal ? 128 + head->signal : head->status);
}

static void probe(struct health *health)
{
    static struct kb_traced trace[KB_MAX_OPS];
    struct plan plan;
    plan_again(health->plan, &plan, trace);
    for (size_t i = 0; i < sizeof plan.head.token; i++)
        plan.head.token[i] = (char)~plan.head.token[i]; /* no container's: those are random */
    health->late = false;
    health->probe_began_ns = clock_ns();
    if (ftruncate(health->output, 0) || lseek(health->output, 0, SEEK_SET))
        health->due_ns = 0;
    int result = launch_prepare(&plan);
    if (!result)
        result = run_ops(&plan, 0, plan.head.before);
    if (!result && !(health->probe = container_new(&plan, NULL)))
        result = -ENOMEM;
    if (result) {
        int reason = plan.failed_errno ? plan.failed_errno : -result;
        dprintf(health->output, "the check could not be started: %s\n", strerror(reason));
        reap(&plan);
        judge(health, 126);
    } else {
        health->probe->probes = health;
        health->due_ns = 0;
        health->deadline_ns = after_ms(health->wanted.timeout_ms);
    }
    launch_release(&plan);
    plan_close(&plan);
}

uint64_t health_next(const struct life *life)
{
    const struct health *health = life->health;
    if (!health || (!health->due_ns && !health->deadline_ns))
        return UINT64_MAX;
    return health->due_ns ? health->due_ns : health->deadline_ns;
}

void health_due(struct life *life)
{
    struct health *health = life->health;
    if (!health->probe && life->container->paused) {
        plan_next(health);
        return;
    }
    if (!health->probe) {
        probe(health);
        return;
    }
    health->late = true; /* killed; its end is told as that of any process */
    health->deadline_ns = 0;
    syscall(SYS_pidfd_send_signal, health->probe->watch.fd, SIGKILL, NULL, 0);
}
