/* The engine's own threads, and forks.
 *
 * The engine compiles on a pool of threads. It starts them when they are first needed, ends the process where it
 * cannot, and in a forked child, where they are gone, waits for them for ever. So they are started here, after
 * looking whether they can be, and a child knows that it has lost them.
 *
 * A child must not find a lock of the engine's taken by a thread that it does not have. What takes such locks is
 * counted, and a fork waits until nobody is inside: until compiling and its like have ended, until an instance is made
 * or has begun to run, until a trap is looked up. What takes them for a moment only keeps the GIL meanwhile, which
 * whoever forks must hold: see build_ffi.py. That leaves WebAssembly that casts references, which is not waited for.
 */
#define _GNU_SOURCE
#include "native.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif
#include <time.h>
#include <unistd.h>

/* As in shared.c: the oldest version of what newer C libraries moved. */
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join,pthread_join@GLIBC_2.2.5");
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.2.5");
__asm__(".symver pthread_attr_setstacksize,pthread_attr_setstacksize@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.17");
__asm__(".symver pthread_join,pthread_join@GLIBC_2.17");
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.17");
__asm__(".symver pthread_attr_setstacksize,pthread_attr_setstacksize@GLIBC_2.17");
#endif

/* ---- What forks wait for ---- */

static int inside[WRT_KINDS]; /* threads by what they do */
static bool forking;
static __thread struct {
    int inside[WRT_KINDS];
    int forks; /* how often it has said that it forks: finalizers may run until it does */
} mine __attribute__((tls_model("initial-exec")));

/* Longer than this nobody is waited for, in milliseconds: what makes an instance has begun to run it by then. */
static const int PATIENCE[WRT_KINDS] = {60000, 200, 1000};

static void pause_a_bit(void) {
    struct timespec bit = {.tv_nsec = 50000};
    nanosleep(&bit, NULL);
}

void wrt_enter(int kind) {
    mine.inside[kind]++;
    for (;;) {
        __atomic_add_fetch(&inside[kind], 1, __ATOMIC_SEQ_CST);
        if (mine.forks || !__atomic_load_n(&forking, __ATOMIC_SEQ_CST))
            return;
        __atomic_sub_fetch(&inside[kind], 1, __ATOMIC_SEQ_CST);
        pause_a_bit();
    }
}

void wrt_leave(int kind) {
    __atomic_sub_fetch(&inside[kind], 1, __ATOMIC_SEQ_CST);
    mine.inside[kind]--;
}

static void begin(void) { wrt_enter(WRT_WORKS); }

static void end(void) { wrt_leave(WRT_WORKS); }

wasm_engine_t *wrt_engine_new(wasm_config_t *config, bool signals) {
    begin();
    if (signals)
        wrt_signals_before_engine();
    wasm_engine_t *engine = wasm_engine_new_with_config(config);
    if (signals)
        wrt_signals_after_engine();
    end();
    return engine;
}

wasmtime_error_t *wrt_module_new(wasm_engine_t *engine, const uint8_t *wasm, size_t size, wasmtime_module_t **out) {
    begin();
    wasmtime_error_t *error = wasmtime_module_new(engine, wasm, size, out);
    end();
    return error;
}

wasmtime_error_t *wrt_module_validate(wasm_engine_t *engine, const uint8_t *wasm, size_t size) {
    begin();
    wasmtime_error_t *error = wasmtime_module_validate(engine, wasm, size);
    end();
    return error;
}

wasmtime_error_t *wrt_module_deserialize(
    wasm_engine_t *engine, const uint8_t *bytes, size_t size, wasmtime_module_t **out) {
    begin();
    wasmtime_error_t *error = wasmtime_module_deserialize(engine, bytes, size, out);
    end();
    return error;
}

wasmtime_error_t *wrt_module_deserialize_file(wasm_engine_t *engine, const char *path, wasmtime_module_t **out) {
    begin();
    wasmtime_error_t *error = wasmtime_module_deserialize_file(engine, path, out);
    end();
    return error;
}

void wrt_store_delete(wasmtime_store_t *store) {
    begin();
    wasmtime_store_delete(store);
    end();
}

/* ---- The engine's threads ---- */

struct pool {
    bool started; /* in this process, or in one that it was forked of */
    bool gone;    /* by a fork since */
};

static struct pool compiler;
static pthread_mutex_t starting = PTHREAD_MUTEX_INITIALIZER; /* taken by work only */

const char *wrt_getenv(const char *name) { return getenv(name); }

struct meeting {
    pthread_mutex_t lock;
    pthread_cond_t over;
    bool ended;
};

static void *attend(void *data) {
    struct meeting *meeting = data;
    pthread_mutex_lock(&meeting->lock);
    while (!meeting->ended)
        pthread_cond_wait(&meeting->over, &meeting->lock);
    pthread_mutex_unlock(&meeting->lock);
    return NULL;
}

bool wrt_threads_can_start(size_t count, size_t stack) {
    struct meeting meeting = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    pthread_t *threads = calloc(count, sizeof *threads);
    pthread_attr_t attributes;
    sigset_t all, before;
    size_t started = 0;
    if (!threads)
        return false;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, stack);
    sigfillset(&all); /* signals are for the program's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < count && pthread_create(&threads[started], &attributes, attend, &meeting) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    pthread_mutex_lock(&meeting.lock);
    meeting.ended = true;
    pthread_cond_broadcast(&meeting.over);
    pthread_mutex_unlock(&meeting.lock);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    free(threads);
    return started == count;
}

bool wrt_compiler_start(wasm_engine_t *engine, size_t count, size_t stack) {
    static const uint8_t smallest[] = "\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\x0a\4\1\2\0\x0b"; /* (module (func)) */
    if (__atomic_load_n(&compiler.started, __ATOMIC_ACQUIRE))
        return !compiler.gone;
    begin();
    pthread_mutex_lock(&starting);
    bool can = compiler.started || wrt_threads_can_start(count, stack);
    if (can && !compiler.started) {
        wasmtime_error_t *error = wasmtime_module_validate(engine, smallest, sizeof smallest - 1);
        if (error)
            wasmtime_error_delete(error);
        __atomic_store_n(&compiler.started, true, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&starting);
    end();
    return can;
}

/* ---- Around a fork, on the thread that forks ---- */

static int64_t milliseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void wrt_fork_before(void) {
    if (mine.forks++) /* a package that was forgotten and imported again asks as often */
        return;
    while (__atomic_exchange_n(&forking, true, __ATOMIC_SEQ_CST)) /* one at a time */
        pause_a_bit();
    int64_t start = milliseconds();
    for (int kind = 0; kind < WRT_KINDS; kind++)
        while (__atomic_load_n(&inside[kind], __ATOMIC_SEQ_CST) > mine.inside[kind] &&
               milliseconds() - start < PATIENCE[kind])
            pause_a_bit();
}

static void fork_is_over(void) {
    mine.forks = 0;
    __atomic_store_n(&forking, false, __ATOMIC_SEQ_CST);
}

void wrt_fork_in_parent(void) {
    if (mine.forks && --mine.forks == 0)
        fork_is_over();
}

/* Called by the C library, whoever forks, and whether or not that leads to another program. */
static void in_forked_child(void) {
    for (int kind = 0; kind < WRT_KINDS; kind++)
        inside[kind] = mine.inside[kind];
    pthread_mutex_init(&starting, NULL);
    compiler.gone = compiler.started;
    wrt_signals_in_child();
    fork_is_over();
}

bool wrt_end_with_parent(long parent) {
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    return (long)getppid() == parent;
}
__attribute__((constructor)) static void prepare(void) { pthread_atfork(NULL, NULL, in_forked_child); }
