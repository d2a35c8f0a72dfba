/* Deadlines, time limits, interruption and samples: what a store does at each tick, and the thread that ticks. */
#define _GNU_SOURCE
#include "native.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

/* As in shared.c: the oldest version of what newer C libraries moved. */
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_attr_setstacksize,pthread_attr_setstacksize@GLIBC_2.2.5");
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.2.5");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.3.3");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_create,pthread_create@GLIBC_2.17");
__asm__(".symver pthread_attr_setstacksize,pthread_attr_setstacksize@GLIBC_2.17");
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.17");
__asm__(".symver pthread_condattr_setclock,pthread_condattr_setclock@GLIBC_2.17");
#endif

#define NEVER UINT64_MAX
#define PERIOD 10000000u /* nanoseconds from tick to tick */
#define PATIENCE 100     /* ticks without a call until the ticker sleeps */

#define READ(place) __atomic_load_n(&(place), __ATOMIC_RELAXED)
#define WRITE(place, value) __atomic_store_n(&(place), value, __ATOMIC_RELAXED)

static uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* ---- What there is in the process ---- */

struct wrt_clock {
    wasm_engine_t *engine;
    uint64_t ticks; /* the user's */
    size_t shares;
    size_t running; /* calls that run in stores of the engine: changed by `enter` and `leave` only */
    wrt_clock_t *next, **back;
};

struct wrt_beat {
    wrt_clock_t *clock;
    uint64_t nanoseconds, next_time;
    wrt_beat_t *next, **back;
};

/* Times are nanoseconds of the monotonic clock. What any thread may write is written with the GIL and read without. */
struct wrt_epochs {
    wrt_limit_t limit;             /* of the call that is running, the limits of the outer calls included */
    wrt_epochs_t *outer;           /* the store of the call that this one runs inside of, on the same thread, or NULL */
    wasmtime_store_t *store;
    wrt_clock_t *clock;
    uint64_t deadline;             /* by the user's clock, or NEVER */
    uint64_t set_began, set_ends;  /* the limit that is set for all calls, or 0 and NEVER */
    uint64_t allowance;            /* nanoseconds for each call that begins while none is set, or NEVER */
    uint64_t call_began, call_ends; /* the limit that this gives the running call, or NEVER */
    int interrupted;               /* whether the running call is to end */
    uint64_t began;                /* the tick before the call */
    wasmtime_guestprofiler_t *profiler;
    uint64_t samples, interval, next_sample;
    pthread_t thread;              /* that is inside, */
    bool inside;                   /* and whether one is */
    wrt_epochs_t *next, **back;
};

static struct {
    pthread_mutex_t lock; /* of the lists of clocks and beats, and of the thread's state */
    pthread_cond_t wake;
    wrt_clock_t *clocks;
    wrt_beat_t *beats;
    wrt_epochs_t *inside; /* the stores that calls run in: changed by `enter` and `leave` only */
    uint64_t time;        /* of the last tick */
    bool alive;           /* whether there is a thread */
    int parked;           /* whether whoever enters must wake it */
} ticker = {.lock = PTHREAD_MUTEX_INITIALIZER, .parked = 1};

#define LINK(head, item)                      \
    do {                                      \
        (item)->next = (head);                \
        (item)->back = &(head);               \
        if ((item)->next)                     \
            (item)->next->back = &(item)->next; \
        (head) = (item);                      \
    } while (0)

#define UNLINK(item)                           \
    do {                                       \
        *(item)->back = (item)->next;          \
        if ((item)->next)                      \
            (item)->next->back = (item)->back; \
    } while (0)

/* ---- The user's clock ---- */

wrt_clock_t *wrt_clock_new(wasm_engine_t *engine) {
    wrt_clock_t *clock = calloc(1, sizeof *clock);
    if (!clock)
        return NULL;
    clock->shares = 1;
    clock->engine = wasmtime_engine_clone(engine);
    pthread_mutex_lock(&ticker.lock);
    LINK(ticker.clocks, clock);
    pthread_mutex_unlock(&ticker.lock);
    return clock;
}

static wrt_clock_t *share(wrt_clock_t *clock) {
    __atomic_add_fetch(&clock->shares, 1, __ATOMIC_RELAXED);
    return clock;
}

void wrt_clock_release(wrt_clock_t *clock) {
    if (__atomic_sub_fetch(&clock->shares, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    pthread_mutex_lock(&ticker.lock);
    UNLINK(clock);
    pthread_mutex_unlock(&ticker.lock);
    wasm_engine_delete(clock->engine);
    free(clock);
}

void wrt_clock_tick(wrt_clock_t *clock) {
    __atomic_add_fetch(&clock->ticks, 1, __ATOMIC_RELEASE);
    wasmtime_engine_increment_epoch(clock->engine);
}

static uint64_t clock_now(const wrt_clock_t *clock) { return __atomic_load_n(&clock->ticks, __ATOMIC_ACQUIRE); }

/* ---- A store's epochs ---- */

/* Ask for the callback after so many ticks: never more than one, so that it hears of all that happens. */
static void arm(wrt_epochs_t *epochs, uint64_t ticks) {
    wasmtime_context_set_epoch_deadline(wasmtime_store_context(epochs->store), ticks);
}

static wrt_serve_t serve;
static uintptr_t main_thread;
static uint64_t next_service; /* written on the main thread only */

void wrt_serve_signals(wrt_serve_t function, uintptr_t thread) {
    serve = function;
    main_thread = thread;
}

/* The stores that calls of this thread run in, the innermost first: linked by `outer`. */
static __thread wrt_epochs_t *innermost __attribute__((tls_model("initial-exec")));

/* When the running call of one store must end by its own limits: 0 where it was interrupted. */
static uint64_t ends(const wrt_epochs_t *epochs, uint64_t *began) {
    uint64_t set = READ(epochs->set_ends), call = READ(epochs->call_ends);
    if (__atomic_load_n(&epochs->interrupted, __ATOMIC_ACQUIRE)) {
        *began = epochs->began;
        return 0;
    }
    *began = set < call ? READ(epochs->set_began) : READ(epochs->call_began);
    return set < call ? set : call;
}

/* Set `limit` after something that it follows from has changed. With the GIL. */
static void set_due(wrt_epochs_t *epochs) {
    uint64_t due = NEVER, began;
    for (const wrt_epochs_t *one = epochs; one; one = one->outer) {
        uint64_t own = ends(one, &began);
        due = own < due ? own : due;
    }
    WRITE(epochs->limit.due, due);
}

/* The text of a failure: what ended the call, nanoseconds that had passed, and how many the limit was. _failure.py
 * reads it.
 */
typedef char reason_t[96];

/* Whether a call of this thread, and so each that runs inside of it, must end. */
static bool is_over(uint64_t time, reason_t reason) {
    if (!innermost || time < READ(innermost->limit.due))
        return false;
    for (const wrt_epochs_t *one = innermost; one; one = one->outer) {
        uint64_t began, end = ends(one, &began);
        if (time < end)
            continue;
        uint64_t passed = now() - began;
        if (end == 0)
            snprintf(reason, sizeof(reason_t), "wasm trap: interrupted %" PRIu64, passed);
        else
            snprintf(reason, sizeof(reason_t), "wasm trap: timeout %" PRIu64 " %" PRIu64, passed, end - began);
        return true;
    }
    return false;
}

static wasm_trap_t *end_by_limit(void) {
    reason_t reason;
    return is_over(READ(ticker.time), reason) ? wasmtime_trap_new(reason, strlen(reason)) : NULL;
}

void wrt_limits_settle(wasmtime_error_t **error, wasm_trap_t **trap) {
    if (!*trap && !*error) /* else it failed already: proc_exit has looked at the limit itself */
        *trap = end_by_limit();
}

uint64_t wrt_limits_end(const wrt_epochs_t *epochs) {
    (void)epochs; /* it is one of these */
    return innermost ? READ(innermost->limit.due) : NEVER;
}

/* ---- Signals ---- */

static bool serves(uint64_t time) {
    return serve && time >= READ(next_service) && (uintptr_t)pthread_self() == main_thread;
}

/* Where other threads keep the GIL busy, the wait for it costs WebAssembly a part of its time at most. */
static int serve_in(wasmtime_context_t *context) {
    uint64_t before = now();
    int go_on = serve((uintptr_t)wasmtime_context_get_data(context));
    uint64_t after = now(), pause = 20 * (after - before);
    WRITE(next_service, after + (pause < PERIOD / 2 ? PERIOD / 2 : pause > 10 * PERIOD ? 10 * PERIOD : pause));
    return go_on;
}

static const char handler_raised[] = "a signal handler raised an exception";

wasm_trap_t *wrt_limits_serve(wasmtime_context_t *context) {
    if (!serves(now()) || serve_in(context))
        return NULL;
    return wasmtime_trap_new(handler_raised, sizeof handler_raised - 1);
}

wasm_trap_t *wrt_limits_look(wrt_epochs_t *epochs) {
    uint64_t time = READ(ticker.time);
    if (innermost && time >= READ(innermost->limit.due))
        return end_by_limit();
    if (!epochs || !serves(time))
        return NULL;
    if (!serve_in(wasmtime_store_context(epochs->store)))
        return wasmtime_trap_new(handler_raised, sizeof handler_raised - 1);
    return end_by_limit();
}

/* Why a call must end, at a tick. */
static wasmtime_error_t *over_at_tick(const wrt_epochs_t *epochs, uint64_t time) {
    reason_t reason;
    if (is_over(time, reason))
        return wasmtime_error_new(reason);
    if (epochs->deadline != NEVER && clock_now(epochs->clock) >= epochs->deadline)
        return wasmtime_error_new("wasm trap: interrupt");
    return NULL;
}

static wasmtime_error_t *at_tick(
    wasmtime_context_t *context, void *data, uint64_t *delta, wasmtime_update_deadline_kind_t *kind) {
    wrt_epochs_t *epochs = data;
    uint64_t time = now();
    wasmtime_error_t *over = over_at_tick(epochs, time);
    if (over)
        return over;
    if (epochs->profiler && time >= epochs->next_sample) {
        wasmtime_guestprofiler_sample(epochs->profiler, epochs->store, 0);
        epochs->samples++;
        epochs->next_sample = time + epochs->interval - epochs->interval / 4; /* ticks come a little early or late */
    }
    if (serves(time)) {
        /* A signal handler may call into this very store, and the engine has put its callback aside. */
        wasmtime_store_epoch_deadline_callback(epochs->store, at_tick, epochs, NULL);
        arm(epochs, 1);
        if (!serve_in(context))
            return wasmtime_error_new(handler_raised);
        if ((over = over_at_tick(epochs, now())))
            return over;
    }
    *delta = 1;
    *kind = WASMTIME_UPDATE_DEADLINE_CONTINUE;
    return NULL;
}

static void epochs_delete(void *data) {
    wrt_epochs_t *epochs = data;
    wrt_clock_release(epochs->clock);
    free(epochs);
}

static wrt_epochs_t *new_epochs(wasmtime_store_t *store, wrt_clock_t *clock) {
    wrt_epochs_t *epochs = malloc(sizeof *epochs);
    if (!epochs)
        return NULL;
    *epochs = (wrt_epochs_t){.store = store, .clock = share(clock), .deadline = NEVER,
        .limit = {NEVER}, .set_ends = NEVER, .allowance = NEVER, .call_ends = NEVER};
    wasmtime_store_epoch_deadline_callback(store, at_tick, epochs, epochs_delete);
    arm(epochs, 1);
    return epochs;
}

void wrt_epochs_set_deadline(wrt_epochs_t *epochs, uint64_t ticks) {
    uint64_t time = clock_now(epochs->clock);
    epochs->deadline = ticks < NEVER - time ? time + ticks : NEVER;
    arm(epochs, ticks == 0 ? 0 : 1);
}

void wrt_epochs_set_profiler(wrt_epochs_t *epochs, wasmtime_guestprofiler_t *profiler, uint64_t interval) {
    epochs->profiler = profiler;
    epochs->samples = epochs->next_sample = 0;
    epochs->interval = interval;
}

uint64_t wrt_epochs_samples(const wrt_epochs_t *epochs) { return epochs->samples; }

/* The calls that run inside of one follow its limit, too. With the GIL, as all that enters and leaves. */
static void limits_changed(void) {
    for (wrt_epochs_t *one = ticker.inside; one; one = one->next)
        set_due(one);
}

/* The allowance counts from the beginning of a call that no other limit is set for any more. */
static void allow(wrt_epochs_t *epochs) {
    if (epochs->set_began == 0 && epochs->allowance < NEVER - epochs->call_began)
        WRITE(epochs->call_ends, epochs->call_began + epochs->allowance);
}

static void set_limit(wrt_epochs_t *epochs, uint64_t began, uint64_t ends) {
    WRITE(epochs->set_began, began);
    WRITE(epochs->set_ends, ends);
    if (READ(epochs->inside))
        allow(epochs);
    limits_changed();
}

static void set_allowance(wrt_epochs_t *epochs, uint64_t nanoseconds) { epochs->allowance = nanoseconds; }

static bool interrupt(wrt_epochs_t *epochs) {
    if (!READ(epochs->inside))
        return false;
    __atomic_store_n(&epochs->interrupted, 1, __ATOMIC_SEQ_CST);
    limits_changed();
    wasmtime_engine_increment_epoch(epochs->clock->engine);
    return true;
}

/* ---- Calls that run ---- */

static void leave(wrt_epochs_t *epochs) {
    if (!epochs->inside)
        return;
    WRITE(epochs->inside, false);
    WRITE(epochs->clock->running, epochs->clock->running - 1);
    UNLINK(epochs);
    wrt_epochs_t **link = &innermost;
    while (*link && *link != epochs) /* it is the first, unless C stacks were switched meanwhile */
        link = &(*link)->outer;
    if (*link)
        *link = epochs->outer;
}

/* One thread at a time: with the GIL. False where a limit is set and no thread can be started to keep the time. */
static bool enter(wrt_epochs_t *epochs) {
    WRITE(epochs->interrupted, 0);
    epochs->began = READ(ticker.time);
    epochs->thread = pthread_self();
    LINK(ticker.inside, epochs);
    WRITE(epochs->inside, true);
    WRITE(epochs->clock->running, epochs->clock->running + 1);
    epochs->outer = innermost;
    innermost = epochs;
    WRITE(epochs->call_ends, NEVER);
    uint64_t time = 0; /* one look at the clock is enough */
    if (epochs->allowance != NEVER) {
        WRITE(epochs->call_began, time = now());
        allow(epochs);
    }
    uint64_t due = epochs->set_ends < epochs->call_ends ? epochs->set_ends : epochs->call_ends;
    if (epochs->outer && epochs->outer->limit.due < due)
        due = epochs->outer->limit.due;
    WRITE(epochs->limit.due, due);
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* `parked` is read after `running` is written: see `keep_ticking` */
    if (READ(ticker.parked)) {
        bool ticks = wrt_ticker_start();
        epochs->began = READ(ticker.time);
        if (!ticks && due != NEVER) {
            leave(epochs);
            return false;
        }
    }
    if (due != NEVER && (time ? time : (time = now())) >= due) {
        WRITE(ticker.time, time); /* what looks at it need not wait for the next tick */
        arm(epochs, 0);
    }
    return true;
}

static wrt_limit_t **here(void) { return (wrt_limit_t **)&innermost; }

const wrt_epochs_calls_t *wrt_epochs_calls(void) {
    static const wrt_epochs_calls_t calls = {
        new_epochs, enter, leave, set_limit, set_allowance, interrupt, here, &ticker.time, end_by_limit, wrt_limits_settle};
    return &calls;
}

/* ---- The ticker ---- */

static void wait_until(uint64_t time) {
    struct timespec until = {(time_t)(time / 1000000000u), (long)(time % 1000000000u)};
    pthread_cond_timedwait(&ticker.wake, &ticker.lock, &until);
}

/* The next time after `time` of what happens every so often: what was missed is not made up for. */
static uint64_t following(uint64_t last, uint64_t every, uint64_t time) {
    return last + every > time ? last + every : time + every;
}

static void *keep_ticking(void *unused) {
    unsigned idle = 0;
    (void)unused;
    prctl(PR_SET_NAME, "wasmtime-ticker");
    pthread_mutex_lock(&ticker.lock);
    uint64_t next = now() + PERIOD;
    for (;;) {
        uint64_t first = next;
        for (wrt_beat_t *beat = ticker.beats; beat; beat = beat->next)
            if (beat->next_time < first)
                first = beat->next_time;
        wait_until(first);
        uint64_t time = now();
        WRITE(ticker.time, time);
        for (wrt_beat_t *beat = ticker.beats; beat; beat = beat->next)
            if (time >= beat->next_time) {
                beat->next_time = following(beat->next_time, beat->nanoseconds, time);
                if (READ(beat->clock->running))
                    wasmtime_engine_increment_epoch(beat->clock->engine);
            }
        if (time < next)
            continue;
        next = following(next, PERIOD, time);
        bool any = false;
        for (wrt_clock_t *clock = ticker.clocks; clock; clock = clock->next)
            if (READ(clock->running)) {
                wasmtime_engine_increment_epoch(clock->engine);
                any = true;
            }
        if (any) {
            wrt_signals_look(); /* a trap may loop in a handler that was installed meanwhile */
            idle = 0;
            WRITE(ticker.parked, 0);
        } else if (++idle == PATIENCE) {
            /* Whoever enters from now on wakes us. Whoever has just entered and did not see this has written
             * `running`, without a barrier, which would cost each call: it is seen a whole period later. */
            __atomic_store_n(&ticker.parked, 1, __ATOMIC_SEQ_CST);
        } else if (idle > PATIENCE) {
            while (ticker.parked)
                pthread_cond_wait(&ticker.wake, &ticker.lock);
            idle = 0;
            next = now() + PERIOD;
        }
    }
    return NULL;
}

/* With the lock. */
static bool wake(void) {
    if (ticker.parked)
        WRITE(ticker.time, now());
    if (!ticker.alive) {
        pthread_t thread;
        pthread_attr_t attributes;
        sigset_t all, before;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attributes, 256 * 1024);
        sigfillset(&all); /* signals are for the program's own threads */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        ticker.alive = pthread_create(&thread, &attributes, keep_ticking, NULL) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
        if (!ticker.alive)
            return false;
    }
    if (ticker.parked) {
        WRITE(ticker.parked, 0);
        pthread_cond_signal(&ticker.wake);
    }
    return true;
}

bool wrt_ticker_start(void) {
    pthread_mutex_lock(&ticker.lock);
    bool started = wake();
    pthread_mutex_unlock(&ticker.lock);
    return started;
}

wrt_beat_t *wrt_beat_new(const wrt_epochs_t *epochs, uint64_t nanoseconds) {
    wrt_beat_t *beat = calloc(1, sizeof *beat);
    if (!beat)
        return NULL;
    *beat = (wrt_beat_t){.clock = epochs->clock, .nanoseconds = nanoseconds, .next_time = now() + nanoseconds};
    pthread_mutex_lock(&ticker.lock);
    bool started = wake();
    if (started) {
        share(beat->clock);
        LINK(ticker.beats, beat);
        pthread_cond_signal(&ticker.wake); /* its time may come first */
    }
    pthread_mutex_unlock(&ticker.lock);
    if (started)
        return beat;
    free(beat);
    return NULL;
}

void wrt_beat_delete(wrt_beat_t *beat) {
    pthread_mutex_lock(&ticker.lock);
    UNLINK(beat);
    pthread_mutex_unlock(&ticker.lock);
    wrt_clock_release(beat->clock);
    free(beat);
}

/* ---- Forks ---- */

static void init_wake(void) {
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ticker.wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

static void before_fork(void) { pthread_mutex_lock(&ticker.lock); }

static void after_fork(void) { pthread_mutex_unlock(&ticker.lock); }

/* There is one thread left, and the calls that run on it. */
static void in_forked_child(void) {
    wrt_epochs_t *next;
    init_wake();
    ticker.alive = false;
    ticker.parked = 1;
    for (wrt_clock_t *clock = ticker.clocks; clock; clock = clock->next)
        clock->running = 0;
    for (wrt_epochs_t *epochs = ticker.inside; epochs; epochs = next) {
        next = epochs->next;
        if (pthread_equal(epochs->thread, pthread_self())) {
            epochs->clock->running++;
        } else {
            epochs->inside = false;
            UNLINK(epochs);
        }
    }
    pthread_mutex_unlock(&ticker.lock);
}

void wrt_ticker_after_fork(void) {
    pthread_mutex_lock(&ticker.lock);
    if (ticker.inside)
        wake();
    pthread_mutex_unlock(&ticker.lock);
}

__attribute__((constructor)) static void prepare(void) {
    init_wake();
    pthread_atfork(before_fork, after_fork, in_forked_child);
}
