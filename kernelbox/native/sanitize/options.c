/* Part of kb-monitor-asan alone. The monitor has no environment, so what sanitizers would read from it stands here. */

const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

/* A launcher's stack is borrowed memory that is left by exec, so no fake frames. Leaks are looked for by tracing, which
 * the monitor does not allow. */
const char *__asan_default_options(void) { return "detect_stack_use_after_return=0:detect_leaks=0:abort_on_error=1"; }

const char *__ubsan_default_options(void) { return "print_stacktrace=1:halt_on_error=1:abort_on_error=1"; }
