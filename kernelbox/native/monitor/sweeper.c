/* A process beside the monitor that deletes what containers leave behind, so that no launch waits for it. What is to
 * go is
 * first renamed into a trash folder: whoever opens the store after a crash empties that. */
#include "monitor.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

struct job { char name[64]; };

static struct {
    struct watch watch;
    pid_t pid;
    int trash;
    unsigned int asked, done;
} sweeper = {{WATCH_SWEEPER, -1}, -1, -1, 0, 0};

static void remove_tree(int parent, const char *name, dev_t device)
{
    if (!unlinkat(parent, name, 0) || errno == ENOENT)
        return;
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) /* overlay's work folder has mode 000: not even root's own, rootless */
        fd = fchmodat(parent, name, 0700, 0) ? -1
                                             : openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return;
    struct stat status;
    DIR *folder = NULL;
    if (!fstat(fd, &status) && status.st_dev == device) /* never across a mount */
        folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            remove_tree(fd, entry->d_name, device);
    closedir(folder);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static void sweeper_main(int socket, int trash)
{
    struct job job;
    struct stat status;
    prctl(PR_SET_NAME, "kb-sweeper");
    if (fstat(trash, &status))
        _exit(1);
    while (recv(socket, &job, sizeof job, 0) == sizeof job) {
        remove_tree(trash, job.name, status.st_dev);
        if (send(socket, "", 1, MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

static int sweeper_start(int trash)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return -errno;
    sweeper.pid = fork();
    if (sweeper.pid < 0)
        return -errno;
    if (sweeper.pid == 0) {
        if (dup2(ends[1], 0) < 0 || dup2(trash, 1) < 0 || syscall(SYS_close_range, 2U, ~0U, 0))
            _exit(1); /* the lock and the connections are the monitor's alone */
        sweeper_main(0, 1);
    }
    close(ends[1]);
    sweeper.watch.fd = ends[0];
    sweeper.trash = trash;
    return watch_add(&sweeper.watch);
}

int sweep(int parent, const char *name, int trash)
{
    static unsigned int serial;
    struct job job = {{0}};
    if (sweeper.pid < 0) {
        int result = sweeper_start(trash);
        if (result < 0)
            return result;
    }
    size_t length = strnlen(name, 40);
    memcpy(job.name, name, length);
    job.name[length] = '.';
    for (unsigned int digits = serial++, at = (unsigned int)length + 1; at < length + 9; at++, digits >>= 4)
        job.name[at] = "0123456789abcdef"[digits & 15];
    if (renameat(parent, name, trash, job.name))
        return errno == ENOENT ? 0 : -errno;
    if (send(sweeper.watch.fd, &job, sizeof job, MSG_NOSIGNAL | MSG_DONTWAIT) == sizeof job)
        sweeper.asked++; /* a full queue only means that it is emptied when the store opens */
    return 0;
}

bool sweeper_idle(void) { return sweeper.asked == sweeper.done; }

void sweeper_report(void)
{
    char byte;
    while (recv(sweeper.watch.fd, &byte, 1, MSG_DONTWAIT) == 1)
        sweeper.done++;
    if (sweeper_idle())
        connections_report_sync();
}

void sweeper_end(void)
{
    if (sweeper.pid < 0)
        return;
    close(sweeper.watch.fd);
    while (waitpid(sweeper.pid, NULL, 0) < 0 && errno == EINTR)
        ;
}
