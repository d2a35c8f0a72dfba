/* Calls out of WebAssembly: the trampolines behind host functions. */
#include "hot.h"

#include <unistd.h>

typedef struct {
    PyObject_HEAD
    struct state *state;
    Signature *signature;
    PyObject *function;
    PyObject *name;
    char with_caller; /* whether the function takes who calls it first */
    char is_python;   /* whether it is Python code, which looks for signals by itself */
} Host;

/* Who calls a host function, for as long as that runs. The object model derives a class from it. */
typedef struct {
    PyObject_HEAD
    wasmtime_caller_t *caller; /* NULL once the host function has returned, */
    PyObject *store;           /* and so is the public store */
} Caller;

#define FEW 16

#if PY_VERSION_HEX >= 0x030D0000
#define FINALIZING() Py_IsFinalizing()
#else
#define FINALIZING() _Py_IsFinalizing()
#endif

/* Take the GIL back for Python code: through the thread state that dropped it, where that is known. */
PyThreadState *enter_python(Guard *guard, PyGILState_STATE *ensured) {
    PyThreadState *released = guard->released;
    if (released == GIL_KEPT)
        return GIL_KEPT;
    /* Taking the GIL at interpreter exit would end this thread inside the engine, which aborts. The thread
     * that ends the interpreter may take it: a finalizer has called in.
     */
    while (FINALIZING() && PyThread_get_thread_ident() != guard->state->main_thread)
        pause();
    if (released)
        PyEval_RestoreThread(released);
    else
        *ensured = PyGILState_Ensure();
    return released;
}

void leave_python(PyThreadState *released, PyGILState_STATE ensured) {
    if (released == GIL_KEPT)
        return;
    if (released)
        PyEval_SaveThread();
    else
        PyGILState_Release(ensured);
}

/* The guard keeps what Python raised until the call that led here ends; the engine gets a trap, or an
 * exception that WebAssembly may catch.
 */
static wasm_trap_t *trap(Guard *guard) {
    static const char message[] = "a host function raised an exception";
    struct state *state = guard->state;
    PyObject *raised = take_exception();
    wasm_trap_t *thrown = NULL;
    if (guard->caller && PyObject_TypeCheck(raised, (PyTypeObject *)state->wasm_exception)) {
        PyObject *address = PyObject_CallFunctionObjArgs(state->throw, guard->caller, raised, NULL);
        if (address) {
            thrown = PyLong_AsVoidPtr(address);
            Py_DECREF(address);
        } else {
            Py_SETREF(raised, take_exception());
        }
    }
    Py_XSETREF(guard->raised, raised);
    return thrown ? thrown : wasmtime_trap_new(message, sizeof message - 1);
}

/* Whether the store cannot run on, with an exception: the host function has forked, and this is the child. */
static int lost(Guard *guard) { return unlikely(guard->lost) && guard_refuse(guard) < 0; }

/* What ends the call where its limit has passed, or NULL: WebAssembly itself looks at the time only when functions
 * begin and loops start over. */
static inline wasm_trap_t *end_by_limit(void) { return limit_passed() ? epochs_calls->end() : NULL; }

/* Whether the host function must fail after all, with an exception: it has forked, and this is the child; or a signal
 * handler raised, since Ctrl-C must not wait for the next Python code. */
static inline int stopped(const Host *self, Guard *guard) {
    return lost(guard) ||
           (!self->is_python && this_thread.ident == self->state->main_thread && PyErr_CheckSignals() < 0);
}

static int write_result(Host *self, Py_ssize_t i, PyObject *value, wasmtime_val_raw_t *slots) {
    return pack_number(self->signature, self->signature->results[i], value, slots + i, self->name, "result", i);
}

/* The results as a sequence of the right length, or NULL with an exception. */
static PyObject *split(Host *self, PyObject *returned) {
    Py_ssize_t expected = self->signature->nresults;
    if (expected == 1)
        return PyTuple_Pack(1, returned);
    if (expected == 0 && returned == Py_None)
        return PyTuple_New(0);
    if (expected > 1 && (PyTuple_Check(returned) || PyList_Check(returned))) {
        PyObject *items = PySequence_Tuple(returned);
        if (!items || PyTuple_GET_SIZE(items) == expected)
            return items;
        Py_DECREF(items);
    }
    PyObject *never = PyObject_CallFunction(self->state->bad_results, "OOn", self->name, returned, expected);
    Py_XDECREF(never);
    return NULL;
}

static PyObject *new_caller(Host *self, wasmtime_caller_t *caller) {
    PyTypeObject *type = (PyTypeObject *)self->state->caller_class;
    if (!type) { /* cannot be: `with_caller` imports what registers it */
        PyErr_SetString(PyExc_SystemError, "no class of callers is registered");
        return NULL;
    }
    Caller *made = (Caller *)type->tp_alloc(type, 0);
    if (made) {
        made->caller = caller;
        made->store = Py_XNewRef(guard_of(caller)->caller);
    }
    return (PyObject *)made;
}

/* The host function has returned: what kept its caller finds nothing there. */
static void expire(PyObject *given) {
    Caller *caller = (Caller *)given;
    caller->caller = NULL;
    Py_CLEAR(caller->store);
}

static int call_raw(Host *self, wasmtime_caller_t *caller, wasmtime_val_raw_t *slots) {
    Signature *sig = self->signature;
    PyObject *few[FEW + 2], **args = few;
    Py_ssize_t made = 0, first = self->with_caller;
    int result = -1;
    PyObject *returned = NULL;
    if (sig->nparams > FEW && !(args = PyMem_New(PyObject *, (size_t)sig->nparams + 2))) {
        PyErr_NoMemory();
        return -1;
    }
    if (first) {
        if (!(args[1] = new_caller(self, caller)))
            goto done;
        made = 1;
    }
    for (; made < first + sig->nparams; made++)
        if (!(args[made + 1] = unpack_number(sig->params[made - first], slots + made - first)))
            goto done;
    returned = PyObject_Vectorcall(
        self->function, args + 1, (size_t)made | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (first)
        expire(args[1]);
    if (!returned)
        goto done;
    if (sig->nresults == 1) {
        result = write_result(self, 0, returned, slots);
    } else if (sig->nresults == 0 && returned == Py_None) {
        result = 0;
    } else {
        PyObject *items = split(self, returned);
        if (items) {
            result = 0;
            for (Py_ssize_t i = 0; result == 0 && i < sig->nresults; i++)
                result = write_result(self, i, PyTuple_GET_ITEM(items, i), slots);
            Py_DECREF(items);
        }
    }
done:
    Py_XDECREF(returned);
    for (Py_ssize_t i = 0; i < made; i++)
        Py_DECREF(args[i + 1]);
    if (args != few)
        PyMem_Free(args);
    return result;
}

static wasm_trap_t *raw_callback(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *slots, size_t count) {
    Host *self = env;
    Guard *guard = guard_of(caller);
    PyGILState_STATE ensured = PyGILState_UNLOCKED;
    wasm_trap_t *failed = end_by_limit();
    if (failed)
        return failed;
    PyThreadState *released = enter_python(guard, &ensured);
    (void)count;
    guard->released = NULL; /* whatever Python enters next has its own way back */
    Py_INCREF(self);
    if (call_raw(self, caller, slots) < 0 || stopped(self, guard))
        failed = trap(guard);
    Py_DECREF(self);
    guard->released = released;
    leave_python(released, ensured);
    return failed ? failed : end_by_limit();
}

/* ---- Signatures with references */

static PyObject *argument(Host *self, PyObject *store, enum kind kind, const wasmtime_val_t *val) {
    if (kind <= KIND_V128) {
        wasmtime_val_raw_t slot;
        memcpy(&slot, &val->of, sizeof slot);
        return unpack_number(kind, &slot);
    }
    return PyObject_CallFunction(self->state->from_val, "OK", store, (unsigned long long)(uintptr_t)val);
}

static int call_checked(
    Host *self, wasmtime_caller_t *caller, PyObject *store, const wasmtime_val_t *args, wasmtime_val_t *results) {
    Signature *sig = self->signature;
    Py_ssize_t first = self->with_caller;
    PyObject *given = PyTuple_New(first + sig->nparams), *who = NULL, *returned = NULL, *items = NULL;
    int result = -1;
    if (!given)
        goto done;
    if (first) {
        if (!(who = new_caller(self, caller)))
            goto done;
        PyTuple_SET_ITEM(given, 0, Py_NewRef(who));
    }
    for (Py_ssize_t i = 0; i < sig->nparams; i++) {
        PyObject *item = argument(self, store, sig->params[i], args + i);
        if (!item)
            goto done;
        PyTuple_SET_ITEM(given, first + i, item);
    }
    returned = PyObject_CallObject(self->function, given);
    if (who)
        expire(who);
    if (!returned || !(items = split(self, returned)))
        goto done;
    result = 0;
    for (Py_ssize_t i = 0; result == 0 && i < sig->nresults; i++) {
        PyObject *type = PyTuple_GET_ITEM(sig->result_types, i);
        PyObject *done = PyObject_CallFunction(
            self->state->to_val, "OOOKOsn", store, PyTuple_GET_ITEM(items, i), type,
            (unsigned long long)(uintptr_t)(results + i), self->name, "result", i);
        result = done ? 0 : -1;
        Py_XDECREF(done);
    }
done:
    if (who)
        expire(who); /* an argument could not be made, perhaps */
    Py_XDECREF(who);
    Py_XDECREF(given);
    Py_XDECREF(returned);
    Py_XDECREF(items);
    return result;
}

static wasm_trap_t *checked_callback(
    void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args, size_t nargs, wasmtime_val_t *results,
    size_t nresults) {
    Host *self = env;
    Guard *guard = guard_of(caller);
    PyGILState_STATE ensured = PyGILState_UNLOCKED;
    wasm_trap_t *failed = end_by_limit();
    if (failed)
        return failed;
    PyThreadState *released = enter_python(guard, &ensured);
    (void)nargs, (void)nresults;
    guard->released = NULL;
    Py_INCREF(self);
    PyObject *store = Py_NewRef(guard->caller);
    if (call_checked(self, caller, store, args, results) < 0 || stopped(self, guard))
        failed = trap(guard);
    Py_DECREF(store);
    Py_DECREF(self);
    guard->released = released;
    leave_python(released, ensured);
    return failed ? failed : end_by_limit(); /* the engine takes over the results in either case */
}

/* ---- Making them ---- */

static Host *make_host(
    struct state *state, PyObject *signature, PyObject *function, PyObject *name, int with_caller) {
    Host *self = (Host *)state->host_type->tp_alloc(state->host_type, 0);
    if (self) {
        self->state = state;
        self->signature = (Signature *)Py_NewRef(signature);
        self->function = Py_NewRef(function);
        self->name = Py_NewRef(name);
        self->with_caller = with_caller != 0;
        self->is_python = PyFunction_Check(function);
    }
    return self;
}

/* host(signature, function, name, with_caller) -> what the callbacks take the address of, to be kept while they may run */
PyObject *host_new(PyObject *module, PyObject *args) {
    struct state *state = PyModule_GetState(module);
    PyObject *signature, *function, *name;
    int with_caller;
    if (!PyArg_ParseTuple(args, "O!OUp", state->signature_type, &signature, &function, &name, &with_caller))
        return NULL;
    return (PyObject *)make_host(state, signature, function, name, with_caller);
}

/* The callbacks as addresses, for definitions that no store is part of. */
int host_add_callbacks(PyObject *module) {
    PyObject *callbacks = Py_BuildValue(
        "KK", (unsigned long long)(uintptr_t)raw_callback, (unsigned long long)(uintptr_t)checked_callback);
    int result = callbacks ? PyModule_AddObjectRef(module, "CALLBACKS", callbacks) : -1;
    Py_XDECREF(callbacks);
    return result;
}

/* Make a function of the store that calls `function`. Inside the guard. */
static int make_func(
    Guard *guard, PyObject *signature, PyObject *function, PyObject *name, int with_caller,
    const wasm_functype_t *type, wasmtime_func_t *func) {
    Host *self = make_host(guard->state, signature, function, name, with_caller);
    PyObject *address = self ? PyLong_FromVoidPtr(self) : NULL;
    int result = -1;
    /* The store owns it from before the engine knows of it. */
    if (address && PyDict_SetItem(guard->hosts, address, (PyObject *)self) == 0) {
        if (self->signature->plain)
            wasmtime_func_new_unchecked(guard->context, type, raw_callback, self, NULL, func);
        else
            wasmtime_func_new(guard->context, type, checked_callback, self, NULL, func);
        result = 0;
    }
    Py_XDECREF(address);
    Py_XDECREF(self);
    return result;
}

/* define(guard, signature, function, name, with_caller, functype address, bytes to write into, where) */
PyObject *host_define(PyObject *module, PyObject *args) {
    struct state *state = PyModule_GetState(module);
    PyObject *guard_object, *signature, *function, *name;
    unsigned long long type;
    Py_buffer out;
    Py_ssize_t at;
    int with_caller;
    if (!PyArg_ParseTuple(
            args, "O!O!OUpKw*n", state->guard_type, &guard_object, state->signature_type, &signature, &function,
            &name, &with_caller, &type, &out, &at))
        return NULL;
    Guard *guard = (Guard *)guard_object;
    PyObject *result = NULL;
    wasmtime_func_t func;
    if (at < 0 || out.len < (Py_ssize_t)sizeof func || at > out.len - (Py_ssize_t)sizeof func) {
        PyErr_SetString(PyExc_ValueError, "the bytes to write into are too few");
    } else if (guard_enter(guard) == 0) {
        const wasm_functype_t *functype = (const void *)(uintptr_t)type;
        if (make_func(guard, signature, function, name, with_caller, functype, &func) == 0) {
            memcpy((char *)out.buf + at, &func, sizeof func);
            result = Py_NewRef(Py_None);
        }
        if (guard_leave(guard) < 0)
            Py_CLEAR(result);
    }
    PyBuffer_Release(&out);
    return result;
}

/* ---- The Python types ---- */

static int caller_traverse(Caller *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->store);
    return 0;
}

static int caller_clear(Caller *self) {
    Py_CLEAR(self->store);
    return 0;
}

static void caller_dealloc(Caller *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->store);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef caller_members[] = {
    {"_address", T_ULONGLONG, offsetof(Caller, caller), READONLY, "The ``wasmtime_caller_t *``, or 0."},
    {"_store", T_OBJECT, offsetof(Caller, store), READONLY, "The public store, or None."},
    {NULL},
};

static PyType_Slot caller_slots[] = {
    {Py_tp_doc, "Who calls a host function, while that runs."},
    {Py_tp_traverse, caller_traverse},
    {Py_tp_clear, caller_clear},
    {Py_tp_dealloc, caller_dealloc},
    {Py_tp_members, caller_members},
    {0, NULL},
};

PyType_Spec caller_spec = {
    "wasmtime_rt._accel.Caller", sizeof(Caller), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, caller_slots,
};

static int host_traverse(Host *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->signature);
    Py_VISIT(self->function);
    Py_VISIT(self->name);
    return 0;
}

/* No tp_clear: WebAssembly may call it until its store is gone, and the table that holds it is cleared
 * by then. The cycles that it is in pass through that table.
 */
static void host_dealloc(Host *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->signature);
    Py_XDECREF(self->function);
    Py_XDECREF(self->name);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyType_Slot host_slots[] = {
    {Py_tp_doc, "A Python callable as WebAssembly sees it."},
    {Py_tp_traverse, host_traverse},
    {Py_tp_dealloc, host_dealloc},
    {0, NULL},
};

PyType_Spec host_spec = {
    "wasmtime_rt._accel.Host", sizeof(Host), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, host_slots,
};
