/* A user namespace below our own: for containers that want other ids than an ordinary user's monitor gives, for who
 * starts them is not root in them, and for mounts that show the ids of one container as another's. It is held by a
 * descriptor; no process is in it yet. */
#include "monitor.h"

#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* A copy of us, which goes into the namespace and waits there until we have closed our end of the pipe, or have ended.
 * Files in /proc belong to the machine's root where a process may not be traced, as we may not: so it may be, but not
 * before it is where nobody else is. */
static void helper_main(int said, int over)
{
    char byte = 0;
    prctl(PR_SET_NAME, "kb-userns");
    if (dup2(said, 0) < 0 || dup2(over, 1) < 0 || syscall(SYS_close_range, 2U, ~0U, 0))
        _exit(1); /* the lock and the connections are the monitor's alone */
    int error = unshare(CLONE_NEWUSER) ? errno : prctl(PR_SET_DUMPABLE, 1) ? errno : 0;
    if (write(0, &error, sizeof error) == sizeof error)
        (void)!read(1, &byte, 1);
    _exit(0);
}

static int write_map(pid_t pid, const char *name, const char *text)
{
    char path[32];
    snprintf(path, sizeof path, "%d/%s", (int)pid, name);
    int fd = openat(monitor.proc, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = write(fd, text, strlen(text)) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static int open_mapped(pid_t pid, int said, const char *users, const char *groups)
{
    char path[32];
    int error;
    if (read(said, &error, sizeof error) != sizeof error)
        return -ECHILD;
    int result = error ? -error : write_map(pid, "uid_map", users);
    if (!result)
        result = write_map(pid, "gid_map", groups);
    if (result)
        return result;
    snprintf(path, sizeof path, "%d/ns/user", (int)pid);
    return or_errno(openat(monitor.proc, path, O_RDONLY | O_CLOEXEC));
}

static int make(int said[2], int over[2], const char *users, const char *groups)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0) {
        close(over[1]);
        helper_main(said[1], over[0]);
    }
    close(said[1]);
    said[1] = -1;
    int result = open_mapped(pid, said[0], users, groups);
    close(over[1]);
    over[1] = -1;
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return result;
}

int userns_make(const char *users, const char *groups)
{
    int said[2] = {-1, -1}, over[2] = {-1, -1};
    int result = pipe2(said, O_CLOEXEC) || pipe2(over, O_CLOEXEC) ? -errno : 0;
    if (!result)
        result = make(said, over, users, groups);
    for (int i = 0; i < 2; i++) {
        if (said[i] >= 0)
            close(said[i]);
        if (over[i] >= 0)
            close(over[i]);
    }
    return result;
}

OPERATION(op_userns)
{
    return keep_fd(plan, op->slot[3], userns_make(text_at(plan, op->text[0]), text_at(plan, op->text[1])));
}
