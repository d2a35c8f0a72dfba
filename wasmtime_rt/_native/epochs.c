/* Deadlines by the user's clock, samples for profiles, and the thread that ticks. */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <signal.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* As in shared.c: the oldest version of what newer C libraries moved. */
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_join,pthread_join@GLIBC_2.2.5");
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.2.5");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.3.3");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.17");
__asm__(".symver pthread_join,pthread_join@GLIBC_2.17");
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.17");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.17");
#endif

/* ---- The user's clock ---- */

struct wrt_clock {
    uint64_t ticks;
    size_t shares;
};

wrt_clock_t *wrt_clock_new(void) {
    wrt_clock_t *clock = calloc(1, sizeof *clock);
    if (clock)
        clock->shares = 1;
    return clock;
}

void wrt_clock_release(wrt_clock_t *clock) {
    if (__atomic_sub_fetch(&clock->shares, 1, __ATOMIC_ACQ_REL) == 0)
        free(clock);
}

void wrt_clock_tick(wrt_clock_t *clock) { __atomic_add_fetch(&clock->ticks, 1, __ATOMIC_RELEASE); }

static uint64_t clock_now(const wrt_clock_t *clock) { return __atomic_load_n(&clock->ticks, __ATOMIC_ACQUIRE); }

/* ---- A store's epochs ---- */

#define NEVER UINT64_MAX
#define FAR ((uint64_t)1 << 62) /* in ticks of the engine's own epoch */

struct wrt_epochs {
    wasmtime_store_t *store;
    wrt_clock_t *clock;
    uint64_t deadline; /* by the clock, or NEVER */
    wasmtime_guestprofiler_t *profiler;
    uint64_t samples;
};

/* Ticks of the engine's own epoch until the callback is wanted again. */
static uint64_t until_next(const wrt_epochs_t *epochs) {
    return epochs->profiler || epochs->deadline != NEVER ? 1 : FAR;
}

static wasmtime_error_t *at_tick(
    wasmtime_context_t *context, void *data, uint64_t *delta, wasmtime_update_deadline_kind_t *kind) {
    wrt_epochs_t *epochs = data;
    (void)context;
    if (epochs->deadline != NEVER && clock_now(epochs->clock) >= epochs->deadline)
        return wasmtime_error_new("wasm trap: interrupt"); /* which _failure.py knows */
    if (epochs->profiler) {
        wasmtime_guestprofiler_sample(epochs->profiler, epochs->store, 0);
        epochs->samples++;
    }
    *delta = until_next(epochs);
    *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
    return NULL;
}

static void epochs_delete(void *data) {
    wrt_epochs_t *epochs = data;
    wrt_clock_release(epochs->clock);
    free(epochs);
}

static void arm(wrt_epochs_t *epochs, uint64_t ticks) {
    wasmtime_context_set_epoch_deadline(wasmtime_store_context(epochs->store), ticks);
}

wrt_epochs_t *wrt_epochs_new(wasmtime_store_t *store, wrt_clock_t *clock) {
    wrt_epochs_t *epochs = malloc(sizeof *epochs);
    if (!epochs)
        return NULL;
    __atomic_add_fetch(&clock->shares, 1, __ATOMIC_RELAXED);
    *epochs = (wrt_epochs_t){.store = store, .clock = clock, .deadline = NEVER};
    wasmtime_store_epoch_deadline_callback(store, at_tick, epochs, epochs_delete);
    arm(epochs, FAR);
    return epochs;
}

void wrt_epochs_set_deadline(wrt_epochs_t *epochs, uint64_t ticks) {
    uint64_t now = clock_now(epochs->clock);
    epochs->deadline = ticks < NEVER - now ? now + ticks : NEVER;
    arm(epochs, ticks == 0 ? 0 : until_next(epochs));
}

void wrt_epochs_set_profiler(wrt_epochs_t *epochs, wasmtime_guestprofiler_t *profiler) {
    epochs->profiler = profiler;
    epochs->samples = 0;
    /* Where the user's deadline has passed, the callback must find that out at once. */
    arm(epochs, epochs->deadline != NEVER && clock_now(epochs->clock) >= epochs->deadline ? 0 : until_next(epochs));
}

uint64_t wrt_epochs_samples(const wrt_epochs_t *epochs) { return epochs->samples; }

/* ---- The ticker ---- */

struct wrt_ticker {
    wasm_engine_t *engine;
    uint64_t nanoseconds;
    pid_t process;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop;
};

static void *tick(void *data) {
    wrt_ticker_t *ticker = data;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    pthread_mutex_lock(&ticker->lock);
    while (!ticker->stop) {
        struct timespec now;
        uint64_t nanoseconds = (uint64_t)next.tv_nsec + ticker->nanoseconds;
        next.tv_sec += (time_t)(nanoseconds / 1000000000u);
        next.tv_nsec = (long)(nanoseconds % 1000000000u);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > next.tv_sec || (now.tv_sec == next.tv_sec && now.tv_nsec > next.tv_nsec))
            next = now; /* late: what was missed is not made up for */
        while (!ticker->stop && pthread_cond_timedwait(&ticker->wake, &ticker->lock, &next) != ETIMEDOUT)
            ;
        if (!ticker->stop)
            wasmtime_engine_increment_epoch(ticker->engine);
    }
    pthread_mutex_unlock(&ticker->lock);
    return NULL;
}

wrt_ticker_t *wrt_ticker_new(wasm_engine_t *engine, uint64_t nanoseconds) {
    wrt_ticker_t *ticker = calloc(1, sizeof *ticker);
    pthread_condattr_t monotonic;
    sigset_t all, before;
    int failed;
    if (!ticker)
        return NULL;
    ticker->nanoseconds = nanoseconds;
    ticker->process = getpid();
    ticker->engine = wasmtime_engine_clone(engine);
    pthread_mutex_init(&ticker->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ticker->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    sigfillset(&all); /* signals are for the program's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    failed = pthread_create(&ticker->thread, NULL, tick, ticker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failed)
        return ticker;
    wasm_engine_delete(ticker->engine);
    free(ticker);
    return NULL;
}

void wrt_ticker_delete(wrt_ticker_t *ticker) {
    if (ticker->process != getpid())
        return; /* a forked child has not the thread, and may find the lock taken */
    pthread_mutex_lock(&ticker->lock);
    ticker->stop = true;
    pthread_cond_signal(&ticker->wake);
    pthread_mutex_unlock(&ticker->lock);
    pthread_join(ticker->thread, NULL);
    pthread_cond_destroy(&ticker->wake);
    pthread_mutex_destroy(&ticker->lock);
    wasm_engine_delete(ticker->engine);
    free(ticker);
}
