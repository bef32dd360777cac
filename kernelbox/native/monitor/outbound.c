/* A way out of a network namespace for an ordinary user's container: a program (pasta, slirp4netns) that carries what
 * goes into a TAP device in there to sockets out here. A keeper, a copy of us, starts it, and ends it with the
 * container: so neither outlives the container, nor needs a monitor that may be killed. */
#include "monitor.h"

#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { MAX_WORDS = 64, PATIENCE_MS = 5000, END_MS = 2000, MOST_SAID = 16384 };
static const char netns_word[] = "@NETNS@";            /* of its arguments: the path of the namespace */

static void end(pid_t pid)
{
    if (pid <= 0)
        return;
    kill(pid, SIGKILL);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

/* The program wants a path to the namespace: this process's. Whoever has fewer rights than it may not look (ptrace(2)),
 * and the program gives most of its up first: so this one has none. */
static void hold_namespace(int told)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int error = unshare(CLONE_NEWNET) || syscall(SYS_capset, &head, none) || prctl(PR_SET_DUMPABLE, 1) ? errno : 0;
    if (write(told, &error, sizeof error) == sizeof error && !error)
        for (;;)
            pause();
    _exit(1);
}

static void run_program(char **words, int ready, int said)
{
    char *const environment[] = {NULL};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_NOFILE, &monitor.files);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    ready = fcntl(ready, F_DUPFD_CLOEXEC, 3); /* each may be where another one is to be */
    said = fcntl(said, F_DUPFD_CLOEXEC, 3);
    if (dup2(null, 0) < 0 || dup2(ready, 1) < 0 || dup2(said, 2) < 0)
        _exit(127);
    syscall(SYS_close_range, 3U, ~0U, 0);
    execve(words[0], words + 1, environment);
    _exit(127);
}

static int forked(pid_t *pid, int pipe_ends[2])
{
    if (pipe2(pipe_ends, O_CLOEXEC))
        return -errno;
    *pid = fork();
    if (*pid < 0)
        return -errno;
    close(pipe_ends[*pid == 0 ? 0 : 1]);
    return 0;
}

static int make_namespace(pid_t *holder)
{
    int ends[2], error = ECHILD;
    char path[32];
    int result = forked(holder, ends);
    if (result)
        return result;
    if (*holder == 0)
        hold_namespace(ends[1]);
    if (read(ends[0], &error, sizeof error) != sizeof error || error)
        return -error;
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)*holder);
    return or_errno(open(path, O_RDONLY | O_CLOEXEC));
}

/* It says a word once the device is there and has its addresses. */
static int start_program(char **words, pid_t holder, pid_t *program, int said)
{
    int ends[2];
    char path[32], byte;
    snprintf(path, sizeof path, "/proc/%d/ns/net", (int)holder);
    for (char **word = words; *word; word++)
        if (!strcmp(*word, netns_word))
            *word = path;
    int result = forked(program, ends);
    if (result)
        return result;
    if (*program == 0)
        run_program(words, ends[1], said);
    struct pollfd ready = {ends[0], POLLIN, 0};
    result = poll(&ready, 1, PATIENCE_MS);
    if (result > 0)
        result = read(ends[0], &byte, 1) == 1 ? 1 : -ECANCELED;
    close(ends[0]);
    return result > 0 ? 0 : result ? result : -ETIMEDOUT;
}

static void keep(int socket, char **words, int said)
{
    pid_t holder = 0, program = 0;
    prctl(PR_SET_NAME, "kb-network");
    setsid();
    if (dup2(socket, 0) < 0 || dup2(said, 1) < 0 || syscall(SYS_close_range, 2U, ~0U, 0))
        _exit(1); /* the lock and the connections are the monitor's alone */
    int netns = make_namespace(&holder);
    int result = netns < 0 ? netns : start_program(words, holder, &program, 1);
    int untold = note_send(0, (struct note){-result, result ? -1 : netns});
    end(holder);
    close(netns);
    close(1);
    if (!result && !untold) {
        struct pollfd container = {note_receive(0, 0).fd, POLLIN, 0};
        close(0);
        while (container.fd >= 0 && poll(&container, 1, -1) < 0 && errno == EINTR)
            ;
    }
    end(program);
    _exit(0);
}

/* For the error: what it said. */
static void tell(int said)
{
    char words[512];
    ssize_t count = pread(said, words, sizeof words, 0);
    if (count > 0)
        record_add(UINT32_MAX, words, strnlen(words, (size_t)count)); /* the key of no counter */
}

/* A file in memory for what the program says, which may be much in the course of time: it cannot grow. */
static int short_file(void)
{
    int fd = memfd_create("kernelbox-network", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd >= 0 && !ftruncate(fd, MOST_SAID) && !fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return -error;
}

static int begin(struct plan *plan, const struct kb_op *op, int ends[2], char **words, int said)
{
    pid_t keeper = fork();
    if (keeper < 0)
        return -errno;
    if (keeper == 0)
        keep(ends[1], words, said);
    close(ends[1]);
    ends[1] = -1;
    struct note note = note_receive(ends[0], 0);
    int pidfd = note.error ? -note.error : or_errno(syscall(SYS_pidfd_open, keeper, 0));
    if (pidfd < 0) {
        tell(said);
        close(ends[0]);
        ends[0] = -1;
        while (waitpid(keeper, NULL, 0) < 0 && errno == EINTR)
            ;
        if (note.fd >= 0)
            close(note.fd);
        return pidfd;
    }
    keep_fd(plan, op->slot[1], ends[0]);
    keep_fd(plan, op->slot[2], pidfd);
    ends[0] = -1;
    return keep_fd(plan, op->slot[3], note.fd);
}

OPERATION(op_outbound)
{
    char *words[MAX_WORDS + 1];
    const char *text = text_at(plan, op->text[0]);
    int ends[2] = {-1, -1};
    if (op->num[0] > MAX_WORDS)
        return -E2BIG;
    for (uint64_t i = 0; i < op->num[0]; i++, text += strlen(text) + 1)
        words[i] = (char *)(uintptr_t)text;
    words[op->num[0]] = NULL;
    int said = short_file();
    int result = said < 0 ? said : or_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
    if (!result)
        result = begin(plan, op, ends, words, said);
    for (int i = 0; i < 2; i++)
        if (ends[i] >= 0)
            close(ends[i]);
    if (said >= 0)
        close(said);
    return result;
}

/* From here on the keeper waits for our end, whatever becomes of the monitor. */
OPERATION(op_outbound_tie)
{
    int self = or_errno(syscall(SYS_pidfd_open, syscall(SYS_getpid), 0));
    if (self < 0)
        return self;
    int result = note_send(slot_fd(plan, op->slot[0]), (struct note){0, self});
    close(self);
    return result;
}

OPERATION(op_outbound_end)
{
    siginfo_t info;
    int keeper = op->slot[0] == KB_NO_SLOT ? -1 : slot_fd(plan, op->slot[0]);
    drop_fd(plan, op->slot[1]); /* one that was never told of a container goes */
    if (keeper < 0)                                    /* not ours: of a monitor that was killed */
        return 0;
    struct pollfd over = {keeper, POLLIN, 0};
    if (poll(&over, 1, END_MS) == 0)
        syscall(SYS_pidfd_send_signal, keeper, SIGKILL, NULL, 0);
    return or_errno(waitid(P_PIDFD, (id_t)keeper, &info, WEXITED));
}
