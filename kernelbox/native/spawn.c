/* Starts the monitor from a process of any size: the child borrows our memory until it has called exec. */
#include "syscalls.h"

#include <linux/close_range.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* Somebody who holds a page of it for a moment (compaction, migration) is waited for by the kernel, but not long: EBUSY
 * (mm/memfd.c). */
static int seal(int fd)
{
    int result, tries = 20;
    do
        result = fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
    while (result && errno == EBUSY && --tries);
    return result;
}

int kb_memfd_sealed(const char *name, const void *bytes, size_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0 && errno == EINVAL)                     /* before Linux 6.3 every memfd can be executed */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    for (size_t done = 0; done < size;) {
        ssize_t count = write(fd, (const char *)bytes + done, size - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            int error = errno;
            close(fd);
            return -error;
        }
        done += (size_t)count;
    }
    if (seal(fd)) {
        int error = errno;
        close(fd);
        return -error;
    }
    return fd;
}

enum { MAX_FDS = 16 };

struct spawn {
    int program, count, error;
    const char *const *argv;
    const int *fds;
};

/* Two passes, so that no descriptor is overwritten before it has been copied. */
static int place_descriptors(const struct spawn *spawn, int *program)
{
    int high[MAX_FDS];
    int copy = fcntl(spawn->program, F_DUPFD_CLOEXEC, 64);
    if (copy < 0)
        return -errno;
    *program = copy;
    for (int i = 0; i < spawn->count; i++)
        if ((high[i] = fcntl(spawn->fds[i], F_DUPFD_CLOEXEC, 64)) < 0)
            return -errno;
    for (int i = 0; i < spawn->count; i++)
        if (dup2(high[i], i) < 0)
            return -errno;
    return or_errno(syscall(SYS_close_range, spawn->count, ~0U, CLOSE_RANGE_CLOEXEC));
}

static int spawn_child(void *argument)
{
    struct spawn *spawn = argument;
    char *const environment[] = {NULL};
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigset_t none;
    int program = -1;
    for (int number = 1; number < NSIG; number++)      /* no handler of the parent may run on its memory here */
        sigaction(number, &standard, NULL);
    sigemptyset(&none);
    setsid();
    spawn->error = place_descriptors(spawn, &program);
    if (!spawn->error) {
        sigprocmask(SIG_SETMASK, &none, NULL);
        syscall(SYS_execveat, program, "", (char *const *)(uintptr_t)spawn->argv, environment, AT_EMPTY_PATH);
        spawn->error = -errno;
    }
    _exit(127);
}

int kb_spawn(int program, const char *const argv[], const int fds[], int count)
{
    enum { STACK = 65536 };
    struct spawn spawn = {.program = program, .argv = argv, .fds = fds, .count = count};
    sigset_t all, before;
    if (count > MAX_FDS)
        return -EINVAL;
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED)
        return -errno;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t pid = clone(spawn_child, stack + STACK, CLONE_VM | CLONE_VFORK | SIGCHLD, &spawn);
    int result = pid < 0 ? -errno : (int)pid;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    munmap(stack, STACK);
    if (result >= 0 && spawn.error) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return spawn.error;
    }
    return result;
}
