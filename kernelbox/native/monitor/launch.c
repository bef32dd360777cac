/* From a plan to a running process: clone3 with memory shared until exec, so that a launch costs the same however many
 * containers the monitor holds. */
#include "monitor.h"
#include "sanitize/stack.h"

#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { GUARD = 65536, STACK = 65536 }; /* a guard of the largest page size there is */

static char memory[GUARD + STACK] __attribute__((aligned(GUARD)));
static char *const stack = memory + GUARD;
static char between[16384] __attribute__((aligned(16)));

/* Below the child's stack lies nothing that it could overwrite. */
int launch_open(void) { return or_errno(mprotect(memory, GUARD, PROT_NONE)); }

/* The C library has no clone3 that starts a function on a stack of its own. */
#if defined(__x86_64__)
long clone3_call(struct clone_args *args, size_t size, int (*function)(void *), void *argument)
{
    long result;
    register struct clone_args *a __asm__("rdi") = args;
    register size_t s __asm__("rsi") = size;
    register int (*f)(void *) __asm__("r12") = function;
    register void *g __asm__("r13") = argument;
    __asm__ volatile("mov %[clone3], %%eax\n\tsyscall\n\ttest %%rax, %%rax\n\tjnz 1f\n\t"
                     "xor %%ebp, %%ebp\n\tmov %%r13, %%rdi\n\tcall *%%r12\n\tmov %%eax, %%edi\n\t"
                     "mov %[exit], %%eax\n\tsyscall\n\thlt\n1:"
                     : "=a"(result)
                     : "r"(a), "r"(s), "r"(f), "r"(g), [clone3] "i"(SYS_clone3), [exit] "i"(SYS_exit)
                     : "rcx", "r11", "memory", "cc");
    return result;
}
#elif defined(__aarch64__)
long clone3_call(struct clone_args *args, size_t size, int (*function)(void *), void *argument)
{
    register long result __asm__("x0") = (long)args;
    register size_t s __asm__("x1") = size;
    register long number __asm__("x8") = SYS_clone3;
    register int (*f)(void *) __asm__("x20") = function;
    register void *g __asm__("x21") = argument;
    __asm__ volatile("svc #0\n\tcbnz x0, 1f\n\tmov x29, xzr\n\tmov x0, x21\n\tblr x20\n\t"
                     "mov x8, %[exit]\n\tsvc #0\n\tbrk #1\n1:"
                     : "+r"(result)
                     : "r"(s), "r"(number), "r"(f), "r"(g), [exit] "i"(SYS_exit)
                     : "x30", "memory", "cc");
    return result;
}
#else
#error "clone3_call: this architecture is not written yet"
#endif

static char **vector(const char *text, size_t count)
{
    char **pointers = malloc((count + 1) * sizeof *pointers);
    for (size_t i = 0; pointers && i < count; i++) {
        pointers[i] = (char *)(uintptr_t)text;
        text += strlen(text) + 1;
    }
    if (pointers)
        pointers[count] = NULL;
    return pointers;
}

int launch_prepare(struct plan *plan)
{
    int end = plan->head.before + plan->head.inside;
    for (int i = 0; i < end; i++) {
        const struct kb_op *op = &plan->ops[i];
        if (op->code != KB_OP_EXEC)
            continue;
        if (plan->arguments)
            return -EINVAL;
        plan->arguments = vector(text_at(plan, op->text[0]), op->num[0]);
        plan->environment = vector(text_at(plan, op->text[1]), op->num[1]);
        plan->candidates = vector(text_at(plan, op->text[2]), op->num[2]);
        if (!plan->arguments || !plan->environment || !plan->candidates)
            return -ENOMEM;
    }
    return 0;
}

void launch_release(struct plan *plan)
{
    free(plan->arguments);
    free(plan->environment);
    free(plan->candidates);
}

static int child_main(void *argument)
{
    struct plan *plan = argument;
    run_ops(plan, plan->head.before, plan->head.inside);
    _exit(127);                                        /* the plan ends with exec, or has failed */
}

static long clone_child(struct plan *plan, const struct kb_op *op, uint64_t parent)
{
    struct clone_args args = {
        .flags = op->num[0] | parent | CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_PARENT_SETTID | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&plan->pidfd,
        .parent_tid = (uint64_t)(uintptr_t)&plan->pid,
        .exit_signal = parent ? 0 : SIGCHLD,           /* with CLONE_PARENT that of who is in between */
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = STACK,
    };
    if (op->slot[0] != KB_NO_SLOT) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)slot_fd(plan, op->slot[0]);
    }
    struct stack_bounds own = use_stack((struct stack_bounds){stack, STACK}, 1);
    long result = clone3_call(&args, sizeof args, child_main, plan);
    use_stack(own, 0);
    return result;
}

/* Who goes into a container's pid namespace cannot come back as an ordinary user, and must not as anybody: a process in
 * between does so, which ends when its child, whose parent we are, has called exec. Whoever is in that pid namespace
 * sees the child from its first moment on, and may read what /proc says of its mounts and network: so these are the
 * container's by then too. */
struct beside {
    struct plan *plan;
    const struct kb_op *op;
    long result;
};

static int beside_main(void *argument)
{
    struct beside *beside = argument;
    int spaces = (int)beside->op->num[1] & (CLONE_NEWNS | CLONE_NEWNET);
    beside->result = or_errno(setns(slot_fd(beside->plan, beside->op->slot[1]), CLONE_NEWPID | spaces));
    if (!beside->result)
        beside->result = clone_child(beside->plan, beside->op, CLONE_PARENT);
    _exit(0);
}

static long clone_beside(struct plan *plan, const struct kb_op *op)
{
    struct beside beside = {plan, op, -ECHILD};
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_FILES | CLONE_CLEAR_SIGHAND,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)between,
        .stack_size = sizeof between,
    };
    struct stack_bounds own = use_stack((struct stack_bounds){between, sizeof between}, 1);
    long pid = clone3_call(&args, sizeof args, beside_main, &beside);
    use_stack(own, 0);
    if (pid < 0)
        return pid;
    while (waitpid((pid_t)pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    return beside.result;
}

OPERATION(op_clone)
{
    int kept[KB_SHARED_SLOTS];
    memcpy(kept, plan->slots, sizeof kept);
    int result = op->num[0] & CLONE_NEWNS ? enter_mount_ns(monitor.template_ns) : 0;
    if (result < 0)
        return result;
    bool is_new = op->slot[1] == KB_NO_SLOT, has_group = op->slot[0] != KB_NO_SLOT;
    struct hostage hostage = {-1, has_group && !is_new ? slot_fd(plan, op->slot[0]) : -1};
    if (!is_new)
        hostage.process = slot_fd(plan, op->slot[1]);
    unsigned int bites = watchdog_watch(plan, hostage);
    long pid = is_new ? clone_child(plan, op, 0) : clone_beside(plan, op);
    bool late = watchdog_bit(bites);
    memcpy(plan->slots, kept, sizeof kept);            /* what the child put there are descriptors of the child */
    prctl(PR_SET_DUMPABLE, 0); /* a change of ids in memory that was shared may have reset it */
    if (pid < 0)
        return (int)pid;
    if (late)
        return -ETIMEDOUT;
    if (plan->failed_op >= 0)
        return -plan->failed_errno;
    return plan->exec_tried ? 0 : -EINTR; /* killed on its way: by the memory limit, most likely */
}
