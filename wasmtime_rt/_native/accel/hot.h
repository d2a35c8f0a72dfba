/* What every call does, inlined into each of the places that do it. The rare branches are functions. */
#ifndef WRT_HOT_H
#define WRT_HOT_H

#include "accel.h"

#include <math.h>
#include <signal.h>

#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* ---- This thread ---- */

struct thread {
    unsigned long ident;    /* as Python knows it */
    uintptr_t lowest_stack; /* the lowest address that its stack may reach */
    wrt_limit_t **limit;    /* where the limit of its innermost call is */
};

/* In the static block, where no call is needed to find it. */
extern __thread struct thread this_thread __attribute__((tls_model("initial-exec"), visibility("hidden")));
void learn_this_thread(void);

/* The signals by which the engine notices traps. A blocked one ends the process, whoever handles it. Threads may
 * inherit such a mask, or set it: it is lifted when a thread is learnt, and what Python blocks later in `handlers.c`. */
#define FAULT_COUNT 3
static const int FAULTS[FAULT_COUNT] = {SIGILL, SIGSEGV, SIGFPE};
void unblock_faults(void);

static inline unsigned long thread_ident(void) {
    if (!this_thread.ident)
        learn_this_thread();
    return this_thread.ident;
}

static inline size_t stack_left(void) {
    char here;
    return (uintptr_t)&here - this_thread.lowest_stack;
}

/* ---- Limits ---- */

/* Whether a limit of this thread's calls has passed, by the last tick. Inside a guard: the thread is known. */
static inline int limit_passed(void) {
    const wrt_limit_t *limit = *this_thread.limit;
    return limit && unlikely(__atomic_load_n(epochs_calls->time, __ATOMIC_RELAXED) >=
                             __atomic_load_n(&limit->due, __ATOMIC_RELAXED));
}

/* Whether one of them was interrupted. */
static inline int limit_is_now(void) {
    const wrt_limit_t *limit = *this_thread.limit;
    return limit && unlikely(__atomic_load_n(&limit->due, __ATOMIC_RELAXED) == 0);
}

/* ---- The guard ---- */

/* Outermost calls until one looks whether the program has put signal handlers in front of the engine's: asking the
 * system each time would take longer than the call. */
#define CALLS_BETWEEN_LOOKS 32
extern int calls_until_look __attribute__((visibility("hidden")));

int guard_refuse(Guard *guard);      /* raises, returns -1 */
int guard_enter_first(Guard *guard); /* what only the outermost entry does: -1 with an exception */
int guard_leave_last(Guard *guard);  /* the same for leaving, where something waits for it */

static inline int objects_were_dropped(const Guard *guard) {
    return __atomic_load_n(&guard->refs->dropped, __ATOMIC_RELAXED) != NULL;
}

static inline int guard_enter_inline(Guard *guard) {
    unsigned long here = thread_ident();
    if (guard->closed || (guard->owner != here && guard->owner != 0))
        return guard_refuse(guard);
    guard->owner = here;
    if (guard->depth++ == 0 && (guard->raised || objects_were_dropped(guard)))
        return guard_enter_first(guard);
    return 0;
}

static inline int guard_leave_inline(Guard *guard) {
    if (unlikely((guard->on_leave || guard->closed) && guard->depth == 1))
        return guard_leave_last(guard);
    if (--guard->depth == 0)
        guard->owner = 0;
    return 0;
}

int guard_small_stack(Guard *guard, size_t needed); /* leaves, raises, returns -1 */
void guard_look_around(void);                       /* now and then, before an outermost call */
int guard_no_ticker(Guard *guard);                  /* leaves, raises that nothing keeps the time, returns -1 */

static inline int guard_enter_running_inline(Guard *guard) {
    if (guard_enter_inline(guard) < 0)
        return -1;
    /* Nested activations share the limit that the outermost one set. */
    size_t needed = guard->activations ? STACK_MARGIN : guard->max_wasm_stack + STACK_MARGIN;
    if (stack_left() < needed)
        return guard_small_stack(guard, needed);
    if (guard->activations == 0) {
        if (unlikely(--calls_until_look < 0))
            guard_look_around();
        if (unlikely(guard->inside.epochs) && !epochs_calls->enter(guard->inside.epochs))
            return guard_no_ticker(guard);
    }
    guard->activations++;
    return 0;
}

static inline int guard_leave_running_inline(Guard *guard) {
    if (--guard->activations == 0 && unlikely(guard->inside.epochs))
        epochs_calls->leave(guard->inside.epochs);
    return guard_leave_inline(guard);
}

/* Into a store where nobody is and where nothing waits: 1, or 0 where it is not so or the stack is too small. */
static inline int guard_enter_first_inline(Guard *guard) {
    char here;
    unsigned long ident = this_thread.ident; /* 0, and then the stack is unknown too, before the first call */
    if (unlikely(
            guard->owner || guard->closed || guard->raised || !ident || objects_were_dropped(guard) ||
            (uintptr_t)&here - this_thread.lowest_stack < guard->max_wasm_stack + STACK_MARGIN ||
            --calls_until_look < 0))
        return 0;
    guard->owner = ident;
    guard->depth = guard->activations = 1;
    return 1;
}

static inline int guard_leave_first_inline(Guard *guard) {
    guard->activations = 0;
    if (unlikely(guard->on_leave || guard->closed))
        return guard_leave_last(guard);
    guard->depth = 0;
    guard->owner = 0;
    return 0;
}

/* What changes around a call into the engine that drops the GIL. */
struct crossing {
    PyThreadState *released;
    PyObject *caller;
};

static inline struct crossing guard_cross(Guard *guard, PyObject *store, int keep_gil) {
    struct crossing outer = {guard->released, guard->caller};
    guard->caller = store;
    guard->released = keep_gil ? GIL_KEPT : PyEval_SaveThread();
    return outer;
}

/* What the outermost call ends with, after the engine has returned: no result and no exit code hides a limit that had
 * passed by then. Without the GIL, since the wait for it is not the guest's; an interruption may come meanwhile, so
 * that it is looked at again. */
static inline void settle(const Guard *guard, wasmtime_error_t **error, wasm_trap_t **trap) {
    if (limit_passed() && guard->activations == 1)
        epochs_calls->settle(error, trap);
}

static inline void settle_interruption(const Guard *guard, wasmtime_error_t **error, wasm_trap_t **trap) {
    if (limit_is_now() && guard->activations == 1)
        epochs_calls->settle(error, trap);
}

static inline void guard_return(
    Guard *guard, struct crossing outer, wasmtime_error_t **error, wasm_trap_t **trap) {
    settle(guard, error, trap);
    if (guard->released != GIL_KEPT)
        PyEval_RestoreThread(guard->released);
    settle_interruption(guard, error, trap);
    guard->released = outer.released;
    guard->caller = outer.caller;
}

/* ---- Numbers ---- */

/* Whether an exact int is of one digit, and then which: true for all that programs count with. */
static inline int small_int(PyObject *value, long *number) {
#if PY_VERSION_HEX >= 0x030C0000
    if (!PyUnstable_Long_IsCompact((PyLongObject *)value))
        return 0;
    *number = (long)PyUnstable_Long_CompactValue((PyLongObject *)value);
#else
    Py_ssize_t size = Py_SIZE(value);
    if (size > 1 || size < -1)
        return 0;
    *number = size ? size * (long)((PyLongObject *)value)->ob_digit[0] : 0;
#endif
    return 1;
}

/* Everything else: what is no plain int or float of the right range. The rules are Python's. */
int pack_by_the_rules(
    Signature *sig, enum kind kind, PyObject *value, wasmtime_val_raw_t *slot, PyObject *name, const char *what,
    Py_ssize_t index);

/* 1 where `value` is a plain int, float or bytes in the range of its kind, and packed. */
static inline int pack_plain(enum kind kind, PyObject *value, wasmtime_val_raw_t *slot) {
    long small;
    switch (kind) {
    case KIND_I32:
        if (!PyLong_CheckExact(value) || !small_int(value, &small)) /* a digit has 30 bits */
            return 0;
        slot->i32 = (int32_t)small;
        return 1;
    case KIND_I64:
        if (!PyLong_CheckExact(value) || !small_int(value, &small))
            return 0;
        slot->i64 = small;
        return 1;
    case KIND_F64:
        if (!PyFloat_CheckExact(value))
            return 0;
        slot->f64 = PyFloat_AS_DOUBLE(value);
        return 1;
    case KIND_F32:
        if (!PyFloat_CheckExact(value))
            return 0;
        slot->f32 = (float)PyFloat_AS_DOUBLE(value);
        return !isinf(slot->f32) || isinf(PyFloat_AS_DOUBLE(value));
    default:
        if (!PyBytes_CheckExact(value) || PyBytes_GET_SIZE(value) != 16)
            return 0;
        memcpy(slot->v128, PyBytes_AS_STRING(value), 16);
        return 1;
    }
}

static inline int pack_number(
    Signature *sig, enum kind kind, PyObject *value, wasmtime_val_raw_t *slot, PyObject *name, const char *what,
    Py_ssize_t index) {
    return pack_plain(kind, value, slot) ? 0 : pack_by_the_rules(sig, kind, value, slot, name, what, index);
}

static inline PyObject *unpack_number(enum kind kind, const wasmtime_val_raw_t *slot) {
    switch (kind) {
    case KIND_I32: return PyLong_FromLong(slot->i32);
    case KIND_I64: return PyLong_FromLongLong(slot->i64);
    case KIND_F32: return PyFloat_FromDouble(slot->f32);
    case KIND_F64: return PyFloat_FromDouble(slot->f64);
    default: return PyBytes_FromStringAndSize((const char *)slot->v128, 16);
    }
}

#endif
