/* What the binding needs in C because Python may not run there, or must not run in between.
 *
 * Everything here is safe to call without the GIL, and nothing here calls Python.
 */
#ifndef WRT_NATIVE_H
#define WRT_NATIVE_H

#include <wasmtime.h>

#include "wasi/wasi.h"

/* Python lays out arrays of externs itself: see externs.py. */
_Static_assert(sizeof(wasmtime_extern_t) == 32 && offsetof(wasmtime_extern_t, of) == 8, "layout of externs");

/* ---- Identity of what was built and of what was loaded ---- */

extern const char wrt_version[];
extern const char wrt_engine_version[];
extern const char wrt_engine_build_id[];

/* Writes the build-id of the engine library in this process as hexadecimal digits, NUL-terminated.
 * Returns false where it has none or `size` is too small.
 */
bool wrt_loaded_engine_build_id(char *hex, size_t size);

/* Bytes of C stack between here and the lowest address that the current thread may use. */
size_t wrt_stack_left(void);

/* ---- Exceptions that nothing caught ----
 *
 * A host function that takes the exception that is pending on its store into `env`. The engine roots what it
 * hands out until the host function returns; taken from outside of one, it would be for as long as the store.
 */
typedef struct wrt_taken {
    bool found;
    wasmtime_exnref_t exception;
} wrt_taken_t;

wasm_trap_t *wrt_take_exception(
    void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t count);

/* ---- Functions are the same where their code and their instance are, however they were reached. */

void wrt_func_identity(const wasmtime_func_t *func, uintptr_t identity[2]);

/* ---- Host objects inside externrefs ----
 *
 * An externref carries a key; Python maps keys to objects. When the engine drops the externref, on
 * whichever thread, the key goes onto a list that Python empties on its next way in.
 */
typedef struct wrt_host_refs {
    struct wrt_host_ref *dropped; /* the newest first */
} wrt_host_refs_t;

wrt_host_refs_t *wrt_host_refs_new(void);
/* Only after the store is gone: its deletion drops the last externrefs. */
void wrt_host_refs_delete(wrt_host_refs_t *refs);
bool wrt_host_ref_new(
    wasmtime_context_t *context, wrt_host_refs_t *refs, uint64_t key, wasmtime_externref_t *out);
/* The key inside `ref`, or 0 where it holds no host object of ours. */
uint64_t wrt_host_ref_key(wasmtime_context_t *context, const wasmtime_externref_t *ref);
/* Whether there are dropped keys. */
bool wrt_host_refs_any(const wrt_host_refs_t *refs);
/* Moves up to `max` dropped keys into `keys` and returns how many. */
size_t wrt_host_refs_dropped(wrt_host_refs_t *refs, uint64_t *keys, size_t max);


/* ---- Epochs ----
 *
 * The engine's own epoch moves with every tick, whoever ticks: a user, or the ticker. What users count is a clock
 * of its own beside it. So each store of an engine with epochs has a callback of ours, which WebAssembly reaches
 * once per tick. It ends the call where the user's deadline has passed by the user's clock, where the time limit
 * has, or where another thread asks for it; takes a sample where a profiler is attached; lets Python handle its
 * signals on Python's main thread; and lets WebAssembly go on otherwise.
 */
typedef struct wrt_clock wrt_clock_t;

/* Shared by an engine and its stores: each has a share. */
wrt_clock_t *wrt_clock_new(wasm_engine_t *engine);
void wrt_clock_release(wrt_clock_t *clock);
/* A tick of the user's. */
void wrt_clock_tick(wrt_clock_t *clock);

/* The next three may be called inside the store's guard only. */
void wrt_epochs_set_deadline(wrt_epochs_t *epochs, uint64_t ticks);
/* Takes samples into `profiler`, which is borrowed, one every so many nanoseconds, or none where it is NULL. */
void wrt_epochs_set_profiler(wrt_epochs_t *epochs, wasmtime_guestprofiler_t *profiler, uint64_t interval);
/* How many samples were taken since `wrt_epochs_set_profiler`. */
uint64_t wrt_epochs_samples(const wrt_epochs_t *epochs);

/* ---- Limits ----
 *
 * The calls that run on a thread, each in a store of its own, are inside of one another: an inner call ends when an
 * outer one must. Ticks look at that in WebAssembly, and host functions when they begin and when they return.
 */

/* When the innermost call of a thread must end, by the monotonic clock in nanoseconds: UINT64_MAX is never, 0 is now,
 * since it was interrupted.
 */
typedef struct wrt_limit {
    uint64_t due;
} wrt_limit_t;

/* NULL, or a trap that ends the running call: its time limit has passed, it was interrupted, or (at most once a tick,
 * on Python's main thread) a signal handler raised. `epochs` may be NULL (an engine without epochs): then the limits of
 * the outer calls on this thread count, and signals are not looked at. Without the GIL, inside a host function.
 */
wasm_trap_t *wrt_limits_look(wrt_epochs_t *epochs);
/* When the running call must end at the latest, outer limits included: what sleeps wakes up by then. */
uint64_t wrt_limits_end(const wrt_epochs_t *epochs);
/* Makes a call that has ended in the engine fail if its limit has passed: no result and no exit code hides that. After
 * the outermost call into a store, before the store is left.
 */
void wrt_limits_settle(wasmtime_error_t **error, wasm_trap_t **trap);
/* Signals alone, by the clock and not by ticks: for what sleeps in a store without epochs. NULL, or a trap. */
wasm_trap_t *wrt_limits_serve(wasmtime_context_t *context);

/* What `_accel` calls in `_ffi`. */
typedef struct wrt_epochs_calls {
    /* They live as long as the store. There is no deadline at first. NULL where there is no memory. */
    wrt_epochs_t *(*make)(wasmtime_store_t *store, wrt_clock_t *clock);
    /* Around the outermost call into the store, so that the ticker ticks meanwhile: with the GIL. False where there
     * is a limit and no thread that keeps the time. */
    bool (*enter)(wrt_epochs_t *epochs);
    void (*leave)(wrt_epochs_t *epochs);
    /* From any thread: nanoseconds of the monotonic clock when the limit was set and when it ends, or 0 and
     * UINT64_MAX where there is none. */
    void (*set_limit)(wrt_epochs_t *epochs, uint64_t began, uint64_t ends);
    /* Nanoseconds that each outermost call has while no limit is set, or UINT64_MAX. */
    void (*set_allowance)(wrt_epochs_t *epochs, uint64_t nanoseconds);
    /* From any thread: end the call that is running. False where there is none. */
    bool (*interrupt)(wrt_epochs_t *epochs);
    /* Where the limit of this thread's innermost call is, or NULL where none runs in a store with epochs. */
    wrt_limit_t **(*here)(void);
    const uint64_t *time; /* of the last tick: what is due by then has ended */
    wasm_trap_t *(*end)(void); /* NULL, or what ends that call */
    void (*settle)(wasmtime_error_t **error, wasm_trap_t **trap); /* wrt_limits_settle */
} wrt_epochs_calls_t;

const wrt_epochs_calls_t *wrt_epochs_calls(void);

/* Lets Python handle its signals, called on its main thread inside the engine with the data of the store.
 * 1 where WebAssembly may go on, 0 where a handler raised.
 */
typedef int (*wrt_serve_t)(uintptr_t store);

void wrt_serve_signals(wrt_serve_t serve, uintptr_t main_thread);

/* ---- The ticker: one thread of the process, without the GIL and without signals ----
 *
 * While a call runs in a store of an engine with epochs, it moves that engine's epoch on every 10 milliseconds.
 * After a second without any call it sleeps until the next one.
 */

/* Starts the thread, or wakes it. False where it cannot be started. */
bool wrt_ticker_start(void);
/* In a forked child, which has not the thread: starts it where a call is running. */
void wrt_ticker_after_fork(void);

/* Makes the ticker tick for a store's engine every so many nanoseconds in addition. NULL where it cannot. */
typedef struct wrt_beat wrt_beat_t;

wrt_beat_t *wrt_beat_new(const wrt_epochs_t *epochs, uint64_t nanoseconds);
void wrt_beat_delete(wrt_beat_t *beat);

/* ---- The engine's threads, and forks: see threads.c ---- */

/* As the engine's own functions of these names; forks wait for their end. */
wasm_engine_t *wrt_engine_new(wasm_config_t *config, bool signals); /* `signals`: its signals_based_traps */
wasmtime_error_t *wrt_module_new(wasm_engine_t *engine, const uint8_t *wasm, size_t size, wasmtime_module_t **out);
wasmtime_error_t *wrt_module_validate(wasm_engine_t *engine, const uint8_t *wasm, size_t size);
wasmtime_error_t *wrt_module_deserialize(
    wasm_engine_t *engine, const uint8_t *bytes, size_t size, wasmtime_module_t **out);
wasmtime_error_t *wrt_module_deserialize_file(wasm_engine_t *engine, const char *path, wasmtime_module_t **out);
void wrt_store_delete(wasmtime_store_t *store);

/* Makes the system end this process with its parent, and says whether that is still `parent`. */
bool wrt_end_with_parent(long parent);

/* The C library's getenv: what Python's own copy of the environment says may differ. */
const char *wrt_getenv(const char *name);

/* Whether `count` more threads with `stack` bytes of stack each can run at once: starts and ends them. */
bool wrt_threads_can_start(size_t count, size_t stack);

/* Starts the `count` threads that `engine`, and every other, compiles with in parallel. Returns whether that works:
 * not without threads, and not in a forked child whose parent had them.
 */
bool wrt_compiler_start(wasm_engine_t *engine, size_t count, size_t stack);

/* What a fork on another thread waits for, within reason: it may hold locks of the engine. From anywhere. */
#define WRT_WORKS 0
#define WRT_INSTANTIATES 1
#define WRT_TRAPS 2
#define WRT_KINDS 3
void wrt_enter(int kind);
void wrt_leave(int kind);

/* On the thread that forks. What follows in the child needs no asking. */
void wrt_fork_before(void);
void wrt_fork_in_parent(void);

/* ---- Signal handlers: see signals.c ---- */

/* Around the making of an engine that wants them. */
void wrt_signals_before_engine(void);
void wrt_signals_after_engine(void);
/* Puts the engine's handlers in front again where the program has installed others since, which come next in
 * line. Returns whether it had to. Some system calls; from any thread, but not from a signal handler.
 */
bool wrt_signals_restore(void);
/* The same for who calls it often: only if some milliseconds have passed since the last time. */
void wrt_signals_look(void);
void wrt_signals_in_child(void);

#endif
