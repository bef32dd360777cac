/* kb-init PROGRAM ARGUMENT...: the first process of a container that asks for one (--init). It starts the program,
 * passes every signal on to it, reaps whatever it leaves behind, and ends as it does. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* In a process group of its own, and in the foreground of the terminal if there is one: Ctrl-C is then for it alone. */
static void become(char **arguments, const sigset_t *before)
{
    setpgid(0, 0);
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(0, getpid());
    signal(SIGTTOU, SIG_DFL);
    sigprocmask(SIG_SETMASK, before, NULL);
    execvp(arguments[0], arguments);
    fprintf(stderr, "%s: %s\n", arguments[0], strerror(errno));
    _exit(errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

/* How `program` has ended, in a shell's words; -1 while it has not. */
static int reap(pid_t program)
{
    int status, result = -1;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        if (pid == program)
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result;
}

/* Whoever wants to know whether a signal is of use to this process looks for a handler. It never runs: signals are
 * blocked, and waited for. */
static void handle(int number) { (void)number; }

int main(int count, char **arguments)
{
    sigset_t all, before;
    if (count < 2) {
        fprintf(stderr, "kb-init: a program to start is missing\n");
        return NOT_FOUND;
    }
    sigfillset(&all);
    for (int number = 1; number < NSIG; number++)
        if (number != SIGCHLD)
            signal(number, handle);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t program = fork();
    if (program == 0)
        become(arguments + 1, &before);
    if (program < 0) {
        fprintf(stderr, "kb-init: could not start a process: %s\n", strerror(errno));
        return NOT_EXECUTABLE;
    }
    for (;;) {
        int result = reap(program);
        if (result >= 0)
            return result;
        int number = sigwaitinfo(&all, NULL);
        if (number > 0 && number != SIGCHLD)
            kill(program, number);
    }
}
