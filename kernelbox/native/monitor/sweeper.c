/* A process beside the monitor that deletes what containers leave behind, so that no launch waits for it. What is to
 * go is first renamed into a trash folder: whoever opens the store after a crash empties that. */
#include "monitor.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { MOST_DEPTH = 64, SHORTEST_NAME = 40, MOST_LOST = 3 };

struct job { char name[64]; };                         /* empty: everything that is in the trash */

static struct {
    struct watch watch;
    pid_t pid;
    int trash;
    unsigned int asked, done, lost;                    /* lost: how often it was killed since it finished something */
    bool missed;                                       /* something lies in the trash that it was not told of */
} sweeper = {{WATCH_SWEEPER, -1}, -1, -1, 0, 0, 0, false};

/* What the sweeper process works in. */
static struct {
    int trash;
    dev_t device;
    unsigned int moved;
} work;

static void moved_name(char name[static 96], const char *job, unsigned int number)
{
    snprintf(name, 96, "%.64s-%u", job, number);
}

/* Never across a mount, be it of the same file system. */
static int open_folder(int parent, const char *name)
{
    const uint64_t flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW, here = RESOLVE_BENEATH | RESOLVE_NO_XDEV;
    int fd = sys_openat2(parent, name, flags, 0, here);
    /* overlay's work folder has mode 000, which counts rootless */
    if (fd == -EACCES && !fchmodat(parent, name, 0700, 0))
        fd = sys_openat2(parent, name, flags, 0, here);
    return fd;
}

/* Folders nested deeper than descriptors and stack should go are moved up into the trash, to be removed after the
 * rest. */
static void remove_tree(const char *job, int parent, const char *name, int depth)
{
    if (!unlinkat(parent, name, 0) || errno == ENOENT)
        return;
    if (depth == MOST_DEPTH) {
        char fresh[96];
        moved_name(fresh, job, work.moved);
        work.moved += !renameat(parent, name, work.trash, fresh);
        return;
    }
    int fd = open_folder(parent, name);
    if (fd < 0)
        return;
    struct stat status;
    DIR *folder = NULL;
    if (!fstat(fd, &status) && status.st_dev == work.device)
        folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            remove_tree(job, fd, entry->d_name, depth + 1);
    closedir(folder);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static void remove_entry(const char *name)
{
    char fresh[96];
    work.moved = 0;
    remove_tree(name, work.trash, name, 0);
    for (unsigned int number = 0; number < work.moved; number++) {
        moved_name(fresh, name, number);
        remove_tree(name, work.trash, fresh, 0);
    }
}

/* Names in the trash begin with those of containers; anything else is not ours. */
static void remove_everything(void)
{
    DIR *folder = fdopendir(openat(work.trash, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder)
        return;
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strspn(entry->d_name, "0123456789abcdef") >= SHORTEST_NAME)
            remove_entry(entry->d_name);
    closedir(folder);
}

static int work_in(int trash)
{
    struct stat status;
    if (fstat(trash, &status))
        return -errno;
    work.trash = trash;
    work.device = status.st_dev;
    return 0;
}

static void sweeper_main(int socket, int trash)
{
    struct job job;
    prctl(PR_SET_NAME, "kb-sweeper");
    if (work_in(trash))
        _exit(1);
    while (recv(socket, &job, sizeof job, 0) == sizeof job) {
        if (*job.name)
            remove_entry(job.name);
        else
            remove_everything();
        (void)send(socket, "", 1, MSG_NOSIGNAL); /* to nobody, where the monitor has gone: the rest is still done */
    }
    _exit(0);
}

static int sweeper_start(void)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -errno;
    sweeper.pid = fork();
    if (sweeper.pid < 0) {
        int error = errno;
        close(ends[0]);
        close(ends[1]);
        return -error;
    }
    if (sweeper.pid == 0) {
        if (dup2(ends[1], 0) < 0 || dup2(sweeper.trash, 1) < 0 || syscall(SYS_close_range, 2U, ~0U, 0))
            _exit(1); /* the lock and the connections are the monitor's alone */
        sweeper_main(0, 1);
    }
    close(ends[1]);
    sweeper.watch.fd = ends[0];
    return watch_add(&sweeper.watch);
}

static void ask(const struct job *job)
{
    if (send(sweeper.watch.fd, job, sizeof *job, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof *job)
        sweeper.asked++;
    else
        sweeper.missed = true; /* it has too much to do: it looks for what is left when it is through */
}

int sweep(int parent, const char *name, int trash)
{
    static unsigned int serial;
    struct job job = {{0}};
    if (sweeper.trash < 0 && (sweeper.trash = fcntl(trash, F_DUPFD_CLOEXEC, 3)) < 0)
        return -errno;
    size_t length = strnlen(name, SHORTEST_NAME);
    memcpy(job.name, name, length);
    job.name[length] = '.';
    for (unsigned int digits = serial++, at = (unsigned int)length + 1; at < length + 9; at++, digits >>= 4)
        job.name[at] = "0123456789abcdef"[digits & 15];
    if (renameat(parent, name, trash, job.name))
        return errno == ENOENT ? 0 : -errno;
    if (sweeper.pid < 0 && sweeper_start() < 0)
        sweeper.missed = true;
    else
        ask(&job);
    return 0;
}

/* Whether there is nothing to wait for. One that could not be started is tried again; where it still cannot, what is in
 * the trash stays until the monitor goes. */
bool sweeper_idle(void)
{
    const struct job everything = {{0}};
    if (sweeper.missed && sweeper.pid < 0 && !sweeper_start()) {
        sweeper.missed = false;
        ask(&everything);
    }
    return sweeper.pid < 0 || (sweeper.asked == sweeper.done && !sweeper.missed);
}

/* Killed by somebody: another one takes over its work. */
static void sweeper_lost(void)
{
    watch_end(&sweeper.watch);
    while (waitpid(sweeper.pid, NULL, 0) < 0 && errno == EINTR)
        ;
    sweeper.pid = -1;
    sweeper.done = sweeper.asked;
    sweeper.missed =
        ++sweeper.lost <= MOST_LOST && !sweeper_start(); /* if not, whoever opens the store next sees to it */
}

void sweeper_report(void)
{
    const struct job everything = {{0}};
    char byte;
    ssize_t count;
    while ((count = recv(sweeper.watch.fd, &byte, 1, MSG_DONTWAIT)) == 1) {
        sweeper.done++;
        sweeper.lost = 0;
    }
    if (count == 0 || errno != EAGAIN)
        sweeper_lost();
    if (sweeper.missed && sweeper.asked == sweeper.done) {
        sweeper.missed = false;
        ask(&everything);
    }
    if (sweeper_idle())
        connections_report_sync();
}

/* Waits until it is through. What it was killed over, was not told of, or could not remove while something still wrote
 * there is removed here: nobody writes there any more. */
void sweeper_end(void)
{
    if (sweeper.pid >= 0) {
        watch_end(&sweeper.watch);
        while (waitpid(sweeper.pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (sweeper.trash >= 0 && !work_in(sweeper.trash))
        remove_everything();
}
