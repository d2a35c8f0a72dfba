/* What the parts of `_accel` share: the guard of a store, signatures, and the way up into Python.
 *
 * `_accel` holds the paths where nanoseconds matter. Whatever is rare (errors, unusual types, misuse)
 * calls up into Python through `struct state`, so that each rule and each message exists once.
 *
 * The GIL protects every field of every object here. It is held wherever Python objects are touched
 * and dropped only around the engine's own calls.
 */
#ifndef WRT_ACCEL_H
#define WRT_ACCEL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "native.h"

#ifdef Py_GIL_DISABLED
#error "_accel relies on the GIL: free-threaded builds are not supported"
#endif

/* ---- The module's state ---- */

struct state {
    PyTypeObject *guard_type, *running_type, *lease_type, *signature_type, *function_type, *host_type, *memory_type,
        *view_type, *owned_type, *caller_type, *failure_type;
    unsigned long main_thread; /* the one that ends the interpreter */
    /* Python functions, registered by the package. */
    PyObject *context;      /* (address) -> the context as Python's C calls take it */
    PyObject *number;       /* (value, kind, where) -> int, float or bytes that the kind holds */
    PyObject *refuse;       /* (guard): raise what says why the store cannot be entered */
    PyObject *small_stack;  /* (needed, left): raise */
    PyObject *heap_full;    /* (): raise that there is no room for another reference */
    PyObject *no_ticker;    /* (): raise that no thread can be started to keep the time */
    PyObject *failure;      /* (store, context, Failure, raised) -> exception */
    PyObject *explained;    /* (exception, name, arguments, types) -> itself, or what says which argument it is about */
    PyObject *wasm_exception; /* the class of what WebAssembly may catch */
    PyObject *throw;        /* (store, exception) -> the address of the trap to answer with */
    PyObject *caller_class; /* of who calls a host function, derived from Caller */
    PyObject *value_class;  /* of what is no host object: values that know their type */
    PyObject *to_val;       /* (store, value, type, address, name, what, index): write a wasmtime_val_t */
    PyObject *from_val;     /* (store, address) -> object */
    PyObject *bad_results;  /* (name, returned, expected): raise what is wrong with them */
    PyObject *out_of_range; /* (size, offset, length): raise IndexError */
    PyObject *not_pinned;   /* (memory): raise why it has no views */
    PyObject *keywords;     /* (function, arguments, keywords): call it with a timeout */
};

/* wrt_store_delete, wrt_enter, wrt_leave, wrt_signals_restore and wrt_signals_look: they belong to the other
 * extension. */
extern void (*delete_store)(wasmtime_store_t *);
extern bool (*restore_signals)(void);
extern void (*look_at_signals)(void);
extern void (*enter_work)(int), (*leave_work)(int);

struct state *state_of_type(PyTypeObject *type); /* of a type of this module, or derived from one */

/* ---- The guard: who is inside a store ---- */

/* The C store, shared by its guard and by the views of its memories: it goes with the last of them. */
typedef struct {
    PyObject_HEAD
    wasmtime_store_t *store;
    wrt_host_refs_t *refs;
    Py_ssize_t views;
} Lease;

typedef struct Guard {
    PyObject_HEAD
    struct state *state;
    struct Guard *next, **link; /* all that were opened */
    Lease *lease;                /* NULL once the store is closed and nobody is inside, */
    wasmtime_context_t *context; /* and then so are these two */
    wrt_host_refs_t *refs;
    wrt_store_t inside;          /* the data of the C store */
    PyObject *wasi;              /* what owns `inside.wasi`, or NULL */
    PyObject *context_object; /* the context for Python, made when a `with` block first asks for it */
    unsigned long owner;  /* the thread that is inside, or 0 */
    unsigned depth;       /* entries of that thread */
    unsigned activations; /* those of them that run WebAssembly */
    char closed;
    char lost; /* by a fork, since another thread was inside: it is closed too, and its store is never freed */
    size_t max_wasm_stack;
    PyThreadState *released; /* the thread state that dropped the GIL for the innermost call, */
                             /* GIL_KEPT, or NULL where another way in was taken */
    PyObject *caller;   /* the public store of the innermost call, borrowed from it, or NULL */
    PyObject *raised;   /* what the host function that failed last raised */
    PyObject *on_leave; /* called when the outermost entry ends, or NULL */
    uint64_t last_key;
    unsigned long long number;     /* no two stores of a process have the same */
    unsigned long long fuel_given; /* in all */
    unsigned long long abandoned;  /* calls that ended in the middle of WebAssembly: see _failure.py */
    PyObject *engine;              /* the engine's pointer as Python's C calls take it */
    PyObject *objects;  /* host objects by key */
    PyObject *hosts;    /* host functions by address */
} Guard;

#define GIL_KEPT ((PyThreadState *)1)

/* C stack that must be left above what WebAssembly may use: for the engine and for callbacks. */
#define STACK_MARGIN (256 * 1024)

/* Take the GIL back inside the engine, and drop it again: see host.c. */
PyThreadState *enter_python(Guard *guard, PyGILState_STATE *ensured);
void leave_python(PyThreadState *released, PyGILState_STATE ensured);

extern const wrt_epochs_calls_t *epochs_calls; /* what to do with a guard's epochs */
int guard_add_serve(PyObject *module);

Guard *guard_of(wasmtime_caller_t *caller); /* the guard of the store that a callback is for */
int guard_enter(Guard *guard);         /* -1 with an exception where it is refused */
int guard_leave(Guard *guard);         /* -1 with an exception that what follows a call raised */
int guard_enter_running(Guard *guard); /* the same for what runs WebAssembly: stack is checked too */
int guard_leave_running(Guard *guard);

/* In a forked child, give up stores that another thread was in. */
void guard_lose_by_fork(void);

/* Make an externref to a Python object, which the store keeps. Inside the guard. */
int guard_new_object(Guard *guard, PyObject *object, wasmtime_val_t *val);
/* Raise what a call ended with; takes over error and trap. Inside the guard. */
void guard_raise_failure(Guard *guard, PyObject *store, wasmtime_error_t *error, wasm_trap_t *trap);

/* ---- What a call ended with ---- */

/* An object that owns both, whatever happens: NULL with an exception, and they are deleted. One may be NULL. */
PyObject *failure_new(struct state *state, wasmtime_error_t *error, wasm_trap_t *trap);
PyObject *failure_hold(PyObject *module, PyObject *args);
PyObject *failure_error_message(PyObject *module, PyObject *address);

/* ---- Signatures ---- */

enum kind { KIND_I32, KIND_I64, KIND_F32, KIND_F64, KIND_V128, KIND_FUNC, KIND_EXTERN, KIND_OTHER, NO_RESULT };

typedef struct {
    PyObject_HEAD
    struct state *state;
    Py_ssize_t nparams, nresults, slots;
    unsigned char *params, *results; /* enum kind each */
    PyObject *param_types, *result_types; /* tuples of WasmValType */
    char plain;                      /* numbers and vectors only: raw slots carry them */
} Signature;

PyObject *where_text(PyObject *name, const char *what, Py_ssize_t index, PyObject *type);

/* Functions and host functions */

/* Slots that plain calls have room for. */
#define FEW_PLAIN 8


typedef struct {
    PyObject_HEAD
    struct state *state;
    vectorcallfunc vectorcall;
    Guard *guard;
    Signature *signature;
    PyObject *store; /* the public store: it keeps the guard's store alive */
    PyObject *name;
    wasmtime_func_t func;
    char keep_gil;
    /* Of the signature, where plain calls find it at once. The result is KIND_OTHER where there are several. */
    unsigned char nparams, slots, result, params[FEW_PLAIN];
} Function;

PyObject *function_map(PyObject *self, PyObject *args);

extern PyType_Spec guard_spec, running_spec, lease_spec, signature_spec, function_spec, host_spec, memory_spec,
    view_spec, caller_spec, failure_spec;
PyObject *host_define(PyObject *module, PyObject *args);
PyObject *handlers_watch(PyObject *module, PyObject *function);
PyObject *handlers_unblock(PyObject *module, PyObject *unused);
PyObject *handlers_end(PyObject *module, PyObject *unused);
PyObject *host_new(PyObject *module, PyObject *args);
int host_add_callbacks(PyObject *module);
PyObject *instance_new(PyObject *module, PyObject *args);
PyObject *function_call_values(PyObject *module, PyObject *args);
PyObject *instance_new_prepared(PyObject *module, PyObject *const *args, Py_ssize_t nargs);

/* ---- Exceptions of any Python version ---- */

PyObject *take_exception(void); /* the one that is set, normalised, with its traceback */
void set_exception(PyObject *exception); /* takes over the reference */

#endif
