/* What AddressSanitizer has to be told about stacks; nothing in the ordinary monitor. */
#pragma once

#include <stddef.h>

struct stack_bounds {
    const void *bottom;
    size_t size;
};

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* The stack at `next` is in use from here on, and empty where `fresh`: the last child left its frames there by exec.
 * Returns what was in use before. */
static inline struct stack_bounds use_stack(struct stack_bounds next, int fresh)
{
    struct stack_bounds before = {NULL, 0};
    if (fresh)
        __asan_unpoison_memory_region(next.bottom, next.size);
    __sanitizer_start_switch_fiber(NULL, next.bottom, next.size);
    __sanitizer_finish_switch_fiber(NULL, &before.bottom, &before.size);
    return before;
}
#else
static inline struct stack_bounds use_stack(struct stack_bounds next, int fresh)
{
    (void)fresh;
    return next;
}
#endif
