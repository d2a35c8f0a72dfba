/* Preloaded by tools/instrumented.py: what GCC's undefined-behaviour sanitizer says goes into a file of its own.
 *
 * It writes to standard error whatever `log_path` says, and a test that looks at neither that nor the status of a
 * process would not notice. It calls this before it prints, and the process ends afterwards.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void __ubsan_on_report(void) {
    const char *folder = getenv("WASMTIME_RT_REPORTS");
    char path[4096];
    if (!folder)
        return;
    snprintf(path, sizeof path, "%s/undefined.%d", folder, (int)getpid());
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (file >= 0)
        dup2(file, STDERR_FILENO);
}
