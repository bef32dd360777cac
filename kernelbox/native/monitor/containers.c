/* The containers that run, and what is to be done when one has ended. */
#include "monitor.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* pidfd_info of <linux/pidfd.h> as Linux 6.15 has it, which headers of Debian 12 do not know. */
struct pidfd_exit_info {
    uint64_t mask, cgroupid;
    uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code;
};
#define PIDFD_ASK _IOWR(0xFF, 11, struct pidfd_exit_info)
enum { PIDFD_TELL_EXIT = 8 };

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
    if (plan->head.words_size)
        container->words = container->text + 1 + plan->head.words - plan->head.last_text;
    container->words_size = plan->head.words_size;
    return 0;
}

static void let_go(struct container *container)
{
    if (container->watch.fd >= 0)
        watch_end(&container->watch);
    for (int i = 0; i < container->held_count; i++)
        close(container->held[i].fd);
    container->held_count = 0;
}

static void container_free(struct container *container)
{
    let_go(container);
    if (container->life)
        life_free(container->life);
    free(container->held);
    free(container->after);
    free(container->text);
    free(container);
}

/* Its process runs. Where this fails the caller still has the pidfd, and ends the process through it. */
static int begin(struct container *container, struct plan *plan)
{
    container->pid = plan->pid;
    container->watch = (struct watch){WATCH_CONTAINER, plan->pidfd};
    int result = hold_descriptors(container, plan);
    if (!result)
        result = watch_add(&container->watch);
    if (result)
        container->watch.fd = -1;
    return result;
}

struct container *container_new(struct plan *plan, struct connection *owner)
{
    struct container *container = calloc(1, sizeof *container);
    if (!container)
        return NULL;
    bool kept = plan->head.flags & KB_KEEP;
    container->watch.fd = -1;
    container->owner = kept ? NULL : owner;
    container->lease = plan->head.flags & KB_LEASE;
    container->adopted = plan->head.flags & KB_ADOPT;
    container->after_count = plan->head.after;
    container->first_op = plan->head.before + plan->head.inside;
    container->fail_op = plan->head.fail_op;
    container->fail_errno = plan->head.fail_errno;
    container->clock_ns = clock_ns();
    memcpy(container->token, plan->head.token, sizeof container->token);
    if (copy_last_part(container, plan) || (kept && life_new(container, plan)) || begin(container, plan)) {
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
    for (int i = 0; i < container->held_count; i++)    /* an operation may have closed its own */
        container->held[i].fd = plan->slots[container->held[i].slot];
}

static uint64_t microseconds(struct timeval time) { return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_usec; }

/* proc_pid_stat(5): a process that its parent has not been told of yet shows its status as the last field. */
static bool ask_proc(int pid, int *status)
{
    char text[1024];
    if (proc_stat(pid, text, sizeof text) || !strstr(strrchr(text, ')'), ") Z "))
        return false;
    const char *last = strrchr(text, ' ');
    return sscanf(last, "%d", status) == 1;
}

/* Of a process that is not our child the kernel tells (from Linux 6.15 on) once its parent has been told. */
static bool ask_kernel(const struct container *container, int *status)
{
    struct timespec moment = {0, 500000};
    for (int tries = 0; tries < 40; tries++) {
        struct pidfd_exit_info info = {.mask = PIDFD_TELL_EXIT};
        if (ask_proc(container->pid, status))
            return true;
        if (ioctl(container->watch.fd, PIDFD_ASK, &info))
            return false;
        if (info.mask & PIDFD_TELL_EXIT) {
            *status = info.exit_code;
            return true;
        }
        nanosleep(&moment, NULL);
    }
    return false;
}

/* False where it has not ended. */
static bool ask_how(const struct container *container, struct kb_answer *head)
{
    siginfo_t info = {0};
    struct rusage used = {0};
    int status = 0;
    if (!container->adopted && !syscall(SYS_waitid, P_PIDFD, container->watch.fd, &info, WEXITED | WNOHANG, &used) &&
        info.si_pid) {
        *(info.si_code == CLD_EXITED ? &head->status : &head->signal) = info.si_status;
    } else if (container->adopted ? ask_kernel(container, &status) : ask_proc(container->pid, &status)) {
        head->status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
        head->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        if (!container->adopted)                       /* somebody traces it, and may never let it go */
            reap_later(fcntl(container->watch.fd, F_DUPFD_CLOEXEC, 3));
    } else if (container->adopted) {
        head->error = ECHILD;
    } else {
        return false;
    }
    head->user_us = microseconds(used.ru_utime);
    head->system_us = microseconds(used.ru_stime);
    head->max_rss_kb = (uint64_t)used.ru_maxrss;
    return true;
}

static struct kb_answer exit_of(const struct container *container)
{
    return (struct kb_answer){
        .type = KB_EXITED,
        .last = 1,
        .op = -1,
        .pid = container->pid,
        .now_ns = now_ns(),
        .clock_ns = clock_ns(),
        .first_op = (uint64_t)container->first_op,
    };
}

static void forget(struct container *container)
{
    unlink_container(container);
    container_free(container);
}

void container_ended(struct container *container)
{
    struct plan plan;
    struct kb_answer head = exit_of(container);
    if (!ask_how(container, &head))
        return;
    if (container->life)
        streams_drain(container->life);
    monitor.record_used = 0;
    run_last_part(container, &plan);
    if (container->life && life_ended(container->life, &head, &plan, container->after_count)) {
        let_go(container);
        return;
    }
    if (container->probes)
        health_told(container->probes, &head);
    unlink_container(container);                       /* who is told may ask at once */
    if (container->owner)
        answer(container->owner, &head, &plan, 0, container->after_count, KB_NO_SLOT);
    container_free(container);
}

int container_begin_again(struct container *container, struct plan *plan)
{
    int result = begin(container, plan);
    if (!result) {
        container->adopted = false;
        life_began(container->life, plan);
    }
    return result;
}

/* What it has done of its start is undone; the policy says whether that is tried again. */
void container_failed_again(struct container *container, struct plan *plan, int error)
{
    struct kb_answer head = exit_of(container);
    int first = plan->head.before + plan->head.inside;
    head.error = plan->failed_errno ? plan->failed_errno : -error;
    head.status = 127;
    reap(plan);
    plan->head.fail_op = -1;
    monitor.record_used = 0;
    run_every_op(plan, first, plan->head.after);
    struct plan last = *plan;
    last.trace += first;
    if (life_ended(container->life, &head, &last, plan->head.after))
        let_go(container);
    else
        forget(container);
}

/* One that waits to be started again has no process: the signal that would end it ends the waiting. */
int container_signal(struct container *container, int signal, bool stopping)
{
    struct life *life = container->life;
    if (life && stopping)
        life->stopping = true;
    if (container->watch.fd >= 0)
        return or_errno(syscall(SYS_pidfd_send_signal, container->watch.fd, signal, NULL, 0));
    if (stopping || signal == SIGKILL) {
        life_not_again(life);
        forget(container);
    }
    return 0;
}

static bool list_one(const struct container *container)
{
    char entry[sizeof(struct kb_listed) + KB_MOST_WORDS];
    struct kb_listed head = {.clock_ns = container->clock_ns};
    size_t before = monitor.record_used;
    memcpy(head.token, container->token, sizeof head.token);
    memcpy(entry, &head, sizeof head);
    memcpy(entry + sizeof head, container->words, container->words_size);
    record_add((uint32_t)container->pid, entry, sizeof head + container->words_size);
    return monitor.record_used > before;
}

/* As many as one answer holds. */
void containers_list(struct connection *connection, const char after[32])
{
    struct kb_answer head = {.type = KB_OK, .last = 1, .op = -1, .now_ns = now_ns(), .clock_ns = clock_ns()};
    const struct container *container = container_find(after);
    for (container = container ? container->next : monitor.containers; container; container = container->next)
        if (container->words && (head.status || !list_one(container)))
            head.status++;
    send_answer(connection, &head, NULL, 0, -1);
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

OPERATION(op_process)
{
    const struct container *container = container_find(text_at(plan, op->text[0]));
    char path[32];
    if (!container || container->watch.fd < 0)
        return -ESRCH;
    if (container->paused)
        return -EBUSY;
    if (op->slot[2] != KB_NO_SLOT) {
        snprintf(path, sizeof path, "%d/root", container->pid);
        int root = openat(monitor.proc, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        int result = keep_fd(plan, op->slot[2], root < 0 ? -errno : root);
        if (result)
            return result;
    }
    int result = keep_fd(plan, op->slot[3], or_errno(fcntl(container->watch.fd, F_DUPFD_CLOEXEC, 3)));
    if (result)
        return result;
    /* Only now it is sure that the number was still its own. */
    return or_errno(syscall(SYS_pidfd_send_signal, container->watch.fd, 0, NULL, 0));
}
