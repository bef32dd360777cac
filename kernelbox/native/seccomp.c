/* Compiles filter rules through libseccomp, which is opened at run time: a machine without it can still run
 * unfiltered. */
#include "kb.h"

#include <dlfcn.h>
#include <sys/mman.h>

/* libseccomp's stable ABI, as documented in seccomp_init(3), seccomp_rule_add(3), seccomp_attr_set(3). */
struct argument_test {
    unsigned int argument;
    int operation;
    uint64_t a, b;
};
enum { ATTR_ACT_DEFAULT = 1, ATTR_ACT_BADARCH = 2, ATTR_CTL_NNP = 3, ATTR_CTL_OPTIMIZE = 8, BINARY_TREE = 2 };
static const uint32_t KILL_PROCESS = 0x80000000u;

struct library {
    void *handle;
    void *(*init)(uint32_t action);
    void (*release)(void *filter);
    int (*attr_set)(void *filter, int attribute, uint32_t value);
    int (*resolve)(const char *name);
    int (*rule_add_array)(void *filter, uint32_t action, int number, unsigned int count,
                          const struct argument_test *tests);
    int (*export_bpf)(void *filter, int fd);
};

static int library_open(struct library *library)
{
    library->handle = dlopen("libseccomp.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library->handle)
        return -ENOENT;
    const struct {
        const char *name;
        void **function;
    } symbols[] = {
        {"seccomp_init", (void **)&library->init},
        {"seccomp_release", (void **)&library->release},
        {"seccomp_attr_set", (void **)&library->attr_set},
        {"seccomp_syscall_resolve_name", (void **)&library->resolve},
        {"seccomp_rule_add_array", (void **)&library->rule_add_array},
        {"seccomp_export_bpf", (void **)&library->export_bpf},
    };
    for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++)
        if (!(*symbols[i].function = dlsym(library->handle, symbols[i].name)))
            return -ENOENT;
    return 0;
}

static int add_rule(const struct library *library, void *filter, const struct kb_seccomp_rule *rule,
                    uint32_t default_action)
{
    struct argument_test tests[6];
    int number = library->resolve(rule->syscall);
    if (number < 0 ||
        rule->action == default_action) /* unknown here, or what happens anyway (libseccomp refuses those) */
        return 0;
    if (rule->compares > 6)
        return -EINVAL;
    for (uint32_t i = 0; i < rule->compares; i++)
        tests[i] = (struct argument_test){rule->argument[i], (int)rule->operation[i], rule->a[i], rule->b[i]};
    return library->rule_add_array(filter, rule->action, number, rule->compares, tests);
}

static int export_code(const struct library *library, void *filter, void *code, size_t size)
{
    int fd = memfd_create("kernelbox-seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int result = library->export_bpf(filter, fd);
    if (!result) {
        off_t length = lseek(fd, 0, SEEK_END);
        if (length < 0)
            result = -errno;
        else if ((size_t)length > size)
            result = -E2BIG;
        else
            result = pread(fd, code, (size_t)length, 0) == length ? (int)length : -EIO;
    }
    close(fd);
    return result;
}

int kb_seccomp_compile(const struct kb_seccomp_rule *rules, size_t count, uint32_t default_action, void *code,
                       size_t size)
{
    struct library library = {0};
    int result = library_open(&library);
    void *filter = NULL;
    if (!result && !(filter = library.init(default_action)))
        result = -EINVAL;
    if (!result)
        result = library.attr_set(filter, ATTR_ACT_BADARCH, KILL_PROCESS);
    if (!result)
        library.attr_set(filter, ATTR_CTL_OPTIMIZE,
                         BINARY_TREE); /* libseccomp before 2.5 has no tree: slower, same meaning */
    for (size_t i = 0; !result && i < count; i++)
        result = add_rule(&library, filter, &rules[i], default_action);
    if (!result)
        result = export_code(&library, filter, code, size);
    if (filter)
        library.release(filter);
    if (library.handle)
        dlclose(library.handle);
    return result;
}
