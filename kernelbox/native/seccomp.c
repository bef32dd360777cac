/* The numbers of system calls, from libseccomp, which is opened at run time: a machine without it can still run
 * unfiltered. */
#include "kb.h"

#include <dlfcn.h>

int kb_syscall_numbers(const char *const names[], size_t count, int numbers[])
{
    int (*resolve)(const char *name);
    uint32_t (*native)(void);
    void *library = dlopen("libseccomp.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return -ENOENT;
    *(void **)&resolve = dlsym(library, "seccomp_syscall_resolve_name");
    *(void **)&native = dlsym(library, "seccomp_arch_native");
    int result = resolve && native ? 0 : -ENOENT;
    for (size_t i = 0; !result && i < count; i++) {
        int number = resolve(names[i]);
        numbers[i] = number < 0 ? -1 : number; /* below -1: a call of another architecture */
    }
    if (!result)
        numbers[count] = (int)native();
    dlclose(library);
    return result;
}
