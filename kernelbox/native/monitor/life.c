/* What is kept of a container beyond its end: records and a log in its folder, and who is to be told. */
#include "monitor.h"

#include <stdio.h>
#include <sys/stat.h>

enum { ROOM_OF_RECORD = 8192 };

static int take_streams(struct life *life, struct plan *plan)
{
    int output = take_fd(plan, life->wanted.output), error = take_fd(plan, life->wanted.error);
    life->input = take_fd(plan, life->wanted.input);
    int result = stream_open(life, 0, output, error < 0);
    return result ? result : stream_open(life, 1, error, false);
}

static int open_record(const struct life *life)
{
    return openat(life->folder, "exit.new", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* A container that fills its disk ends by that, and how it did so is to be known: its record has its room from the
 * start on. Without any it is tried all the same. */
static void reserve(const struct life *life)
{
    int fd = open_record(life);
    if (fd < 0)
        return;
    (void)!fallocate(fd, 0, 0, ROOM_OF_RECORD);
    close(fd);
}

int life_new(struct container *container, struct plan *plan)
{
    struct life *life = calloc(1, sizeof *life);
    if (!life)
        return -ENOMEM;
    life->container = container;
    life->wanted = plan->head.life;
    life->restarts = plan->head.life.restarts;
    life->log = life->input = -1;
    life->streams[0].watch.fd = life->streams[1].watch.fd = -1;
    container->life = life;
    life->folder = take_fd(plan, life->wanted.folder);
    int result = life->folder < 0 ? -EBADF : log_open(life);
    if (!result && life->wanted.restart != KB_NEVER)
        result = (life->again = plan_keep(plan)) ? 0 : -ENOMEM;
    if (!result)
        result = take_streams(life, plan);
    life->began_ns = now_ns();
    if (!result)
        reserve(life);
    return result;
}

/* After another start: its folder is open already, its streams are new. */
void life_began(struct life *life, struct plan *plan)
{
    if (life->input >= 0)
        close(life->input);
    take_streams(life, plan);
    life->began_ns = now_ns();
    life->due_ns = 0;
    renameat(life->folder, "exit", life->folder, "exit.new"); /* its room is the next one's */
    health_begin(life);
}

/* A terminal is read and written at one end. */
int input_of(const struct life *life)
{
    const struct stream *output = &life->streams[0];
    return output->terminal ? output->watch.fd : life->input;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void life_free(struct life *life)
{
    if (life->due_ns)
        monitor.waiting--;
    streams_close(life);
    close_fd(&life->input);
    close_fd(&life->log);
    close_fd(&life->folder);
    health_free(life);
    plan_forget(life->again);
    free(life->message);
    while (life->attached)
        attached_free(life->attached);
    free(life);
}

/* Whole or not at all, for whoever reads it at any time. Where that fails there is none: one of an earlier run would be
 * taken for this one's. */
static bool write_down(const struct life *life, const char *message, size_t size)
{
    int fd = open_record(life);
    bool whole = fd >= 0 && write(fd, message, size) == (ssize_t)size && !ftruncate(fd, (off_t)size);
    if (fd >= 0)
        close(fd);
    whole = whole && !renameat(life->folder, "exit.new", life->folder, "exit");
    if (!whole)
        unlinkat(life->folder, "exit", 0);
    unlinkat(life->folder, "running", 0);
    return whole;
}

static bool pack(struct life *life, const struct kb_answer *head, const struct plan *plan)
{
    size_t traced = head->operations * sizeof *plan->trace, size = sizeof *head + traced + head->record_size;
    char *message = realloc(life->message, size);
    if (!message)
        return false;
    memcpy(message, head, sizeof *head);
    memcpy(message + sizeof *head, plan->trace, traced);
    memcpy(message + sizeof *head + traced, monitor.record, head->record_size);
    monitor.record_used = 0;
    life->message = message;
    life->message_size = size;
    return true;
}

static void set_not_again(struct life *life)
{
    struct kb_answer head;
    memcpy(&head, life->message, sizeof head);
    head.again_ms = 0;
    memcpy(life->message, &head, sizeof head);
}

bool life_ended(struct life *life, struct kb_answer *head, const struct plan *plan, int count)
{
    health_stop(life);
    streams_close(life);
    close_fd(&life->input);
    head->restarts = life->restarts;
    head->operations = (uint32_t)count;
    head->record_size = (uint32_t)monitor.record_used;
    bool again = restart_wanted(life, head);
    if (!pack(life, head, plan))
        return again;                                  /* no memory: whoever waits sees that it has gone */
    if (!write_down(life, life->message, life->message_size) && again) {
        again = false;                                 /* nobody would know that it waits, and could stop it */
        set_not_again(life);
    }
    connections_tell(life->container->token, life->message, life->message_size);
    if (!again)
        attached_tell(life, life->message, life->message_size);
    return again;
}

void life_not_again(struct life *life)
{
    if (!life->message)
        return;
    set_not_again(life);
    write_down(life, life->message, life->message_size);
    connections_tell(life->container->token, life->message, life->message_size);
    attached_tell(life, life->message, life->message_size);
}

int proc_stat(int pid, char *text, size_t size)
{
    char path[32];
    snprintf(path, sizeof path, "%d/stat", pid);
    int fd = openat(monitor.proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t count = read(fd, text, size - 1);
    close(fd);
    text[count > 0 ? count : 0] = 0;
    return strrchr(text, ')') ? 0 : -EIO;
}

/* The 22nd field, counted from behind the name, which may contain anything. */
static int start_time(int pid, char text[32])
{
    char stat[1024];
    int result = proc_stat(pid, stat, sizeof stat);
    if (result)
        return result;
    char *at = strrchr(stat, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at && sscanf(at, " %31[0-9]", text) == 1 ? 0 : -EIO;
}

OPERATION(op_note)
{
    char text[128], started[32];
    int result = start_time(plan->pid, started);
    if (result)
        return result;
    int length =
        snprintf(text, sizeof text, "%d %s %u %s\n", plan->pid, started, plan->head.life.restarts, monitor.boot_id);
    int fd = openat(slot_fd(plan, op->slot[0]), text_at(plan, op->text[0]),
                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    ssize_t count = write(fd, text, (size_t)length);
    result = count == length ? 0 : count < 0 ? -errno : -ENOSPC;
    close(fd);
    return result;
}
