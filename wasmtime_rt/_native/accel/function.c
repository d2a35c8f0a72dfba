/* Calls into WebAssembly: the callable behind WasmFunc and TypedFunc. */
#include "hot.h"

/* Slots and values that fit here live on the C stack; larger signatures allocate. */
#define FEW 16

static int check_count(Function *self, Py_ssize_t given) {
    Py_ssize_t expected = self->signature->nparams;
    if (given != expected) {
        PyErr_Format(
            PyExc_TypeError, "%U: expected %zd argument%s, got %zd", self->name, expected, expected == 1 ? "" : "s",
            given);
        return -1;
    }
    return 0;
}

static int has_keywords(PyObject *kwnames) { return kwnames && PyTuple_GET_SIZE(kwnames); }

/* A call with keywords, of which there is one that it takes: Python knows it, and calls again without. */
static __attribute__((noinline)) PyObject *call_with_keywords(
    Function *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    PyObject *given = PyTuple_New(nargs), *keywords = PyDict_New(), *result = NULL;
    if (!given || !keywords)
        goto done;
    for (Py_ssize_t i = 0; i < nargs; i++)
        PyTuple_SET_ITEM(given, i, Py_NewRef(args[i]));
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(kwnames); i++)
        if (PyDict_SetItem(keywords, PyTuple_GET_ITEM(kwnames, i), args[nargs + i]) < 0)
            goto done;
    result = PyObject_CallFunctionObjArgs(self->state->keywords, (PyObject *)self, given, keywords, NULL);
done:
    Py_XDECREF(given);
    Py_XDECREF(keywords);
    return result;
}

static __attribute__((noinline)) PyObject *raw_results(Signature *sig, const wasmtime_val_raw_t *slots) {
    if (sig->nresults == 1)
        return unpack_number(sig->results[0], slots);
    if (sig->nresults == 0)
        Py_RETURN_NONE;
    PyObject *results = PyTuple_New(sig->nresults);
    for (Py_ssize_t i = 0; results && i < sig->nresults; i++) {
        PyObject *item = unpack_number(sig->results[i], slots + i);
        if (!item) {
            Py_CLEAR(results);
            break;
        }
        PyTuple_SET_ITEM(results, i, item);
    }
    return results;
}

/* A call with its arguments in their slots. */
static __attribute__((noinline)) PyObject *run_raw(Function *self, wasmtime_val_raw_t *slots) {
    PyObject *result = NULL;
    wasm_trap_t *trap = NULL;
    if (guard_enter_running_inline(self->guard) < 0)
        return NULL;
    struct crossing outer = guard_cross(self->guard, self->store, self->keep_gil);
    wasmtime_error_t *error = wasmtime_func_call_unchecked(
        self->guard->context, &self->func, slots, (size_t)self->signature->slots, &trap);
    guard_return(self->guard, outer, &error, &trap);
    if (error || trap)
        guard_raise_failure(self->guard, self->store, error, trap);
    else
        result = raw_results(self->signature, slots);
    if (guard_leave_running_inline(self->guard) < 0)
        Py_CLEAR(result);
    return result;
}

/* Any signature of numbers and vectors, from anywhere. */
static __attribute__((noinline)) PyObject *call_raw(
    Function *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Signature *sig = self->signature;
    wasmtime_val_raw_t few[FEW], *slots = few;
    PyObject *result = NULL;
    if (has_keywords(kwnames))
        return call_with_keywords(self, args, PyVectorcall_NARGS(nargsf), kwnames);
    if (check_count(self, PyVectorcall_NARGS(nargsf)) < 0)
        return NULL;
    if (sig->slots > FEW && !(slots = PyMem_New(wasmtime_val_raw_t, (size_t)sig->slots)))
        return PyErr_NoMemory();
    Py_ssize_t i = 0;
    while (i < sig->nparams && pack_number(sig, sig->params[i], args[i], slots + i, self->name, "argument", i) == 0)
        i++;
    if (i == sig->nparams) {
        Py_INCREF(self);
        result = run_raw(self, slots);
        Py_DECREF(self);
    }
    if (slots != few)
        PyMem_Free(slots);
    return result;
}

/* ---- Instantiation, which may run a start function */

/* instantiate(store, guard, module address, imports as bytes) -> the wasmtime_instance_t as bytes */
PyObject *instance_new(PyObject *module, PyObject *args) {
    struct state *state = PyModule_GetState(module);
    PyObject *store, *guard_object;
    unsigned long long code;
    Py_buffer imports;
    wasmtime_instance_t instance;
    wasm_trap_t *trap = NULL;
    PyObject *result = NULL;
    if (!PyArg_ParseTuple(args, "OO!Ky*", &store, state->guard_type, &guard_object, &code, &imports))
        return NULL;
    Guard *guard = (Guard *)guard_object;
    restore_signals();
    unblock_faults();
    if (guard_enter_running_inline(guard) == 0) {
        struct crossing outer = guard_cross(guard, store, 0);
        enter_work(WRT_INSTANTIATES);
        wasmtime_error_t *error = wasmtime_instance_new(
            guard->context, (const wasmtime_module_t *)(uintptr_t)code, imports.buf,
            (size_t)imports.len / sizeof(wasmtime_extern_t), &instance, &trap);
        leave_work(WRT_INSTANTIATES);
        guard_return(guard, outer, &error, &trap);
        if (error || trap)
            guard_raise_failure(guard, store, error, trap);
        else
            result = PyBytes_FromStringAndSize((const char *)&instance, sizeof instance);
        if (guard_leave_running_inline(guard) < 0)
            Py_CLEAR(result);
    }
    PyBuffer_Release(&imports);
    return result;
}

/* instantiate_prepared(store, guard, prepared instance's address, hosts) -> the wasmtime_instance_t as bytes
 *
 * The store keeps `hosts`, the owner of the host functions among the imports, or None: what it is making may
 * call them for as long as the store is there.
 */
PyObject *instance_new_prepared(PyObject *module, PyObject *const *args, Py_ssize_t nargs) {
    struct state *state = PyModule_GetState(module);
    if (nargs != 4 || !PyObject_TypeCheck(args[1], state->guard_type))
        return PyErr_Format(PyExc_TypeError, "expected a store, its guard, an address and an owner");
    Guard *guard = (Guard *)args[1];
    const wasmtime_instance_pre_t *prepared = PyLong_AsVoidPtr(args[2]);
    wasmtime_instance_t instance;
    wasm_trap_t *trap = NULL;
    PyObject *result = NULL;
    look_at_signals();
    if (PyErr_Occurred() || guard_enter_running_inline(guard) < 0)
        return NULL;
    if (args[3] == Py_None || PyDict_SetItem(guard->hosts, args[3], args[3]) == 0) {
        struct crossing outer = guard_cross(guard, args[0], 0);
        enter_work(WRT_INSTANTIATES);
        wasmtime_error_t *error = wasmtime_instance_pre_instantiate(prepared, guard->context, &instance, &trap);
        leave_work(WRT_INSTANTIATES);
        guard_return(guard, outer, &error, &trap);
        if (error || trap)
            guard_raise_failure(guard, args[0], error, trap);
        else
            result = PyBytes_FromStringAndSize((const char *)&instance, sizeof instance);
    }
    if (guard_leave_running_inline(guard) < 0)
        Py_CLEAR(result);
    return result;
}

/* ---- Signatures with references: checked values */

static PyObject *call_unbound(Function *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);

static int to_val(Function *self, enum kind kind, PyObject *value, wasmtime_val_t *val, Py_ssize_t i) {
    Signature *sig = self->signature;
    if (kind <= KIND_V128) {
        wasmtime_val_raw_t slot;
        if (pack_number(sig, kind, value, &slot, self->name, "argument", i) < 0)
            return -1;
        memcpy(&val->of, &slot, sizeof slot);
        val->kind = (wasmtime_valkind_t)kind; /* the first five numbers are the engine's own */
        return 0;
    }
    if (kind == KIND_FUNC && PyObject_TypeCheck(value, self->state->function_type)) {
        Function *func = (Function *)value;
        if (func->store == self->store && func->guard && func->vectorcall != (vectorcallfunc)call_unbound) {
            val->of.funcref = func->func;
            val->kind = WASMTIME_FUNCREF;
            return 0;
        }
    }
    if (value == Py_None && (kind == KIND_FUNC || kind == KIND_EXTERN)) { /* these kinds are nullable */
        memset(&val->of, 0, sizeof val->of);
        val->kind = kind == KIND_FUNC ? WASMTIME_FUNCREF : WASMTIME_EXTERNREF;
        return 0;
    }
    PyObject *type = PyTuple_GET_ITEM(sig->param_types, i);
    if (kind == KIND_EXTERN && !PyObject_TypeCheck(value, (PyTypeObject *)self->state->value_class))
        return guard_new_object(self->guard, value, val);
    PyObject *done = PyObject_CallFunction(
        self->state->to_val, "OOOKOsn", self->store, value, type, (unsigned long long)(uintptr_t)val, self->name,
        "argument", i);
    Py_XDECREF(done);
    return done ? 0 : -1;
}

static PyObject *from_val(Function *self, enum kind kind, wasmtime_val_t *val) {
    if (kind <= KIND_V128) {
        wasmtime_val_raw_t slot;
        memcpy(&slot, &val->of, sizeof slot);
        return unpack_number(kind, &slot);
    }
    if (val->of.externref.store_id == 0) /* null has this in every kind of reference */
        Py_RETURN_NONE;
    if (kind == KIND_EXTERN) {
        uint64_t number = wrt_host_ref_key(self->guard->context, &val->of.externref);
        if (number) {
            PyObject *key = PyLong_FromUnsignedLongLong(number);
            PyObject *found = key ? PyDict_GetItemWithError(self->guard->objects, key) : NULL;
            Py_XDECREF(key);
            if (found)
                return Py_NewRef(found);
            if (PyErr_Occurred())
                return NULL;
        }
    }
    return PyObject_CallFunction(
        self->state->from_val, "OK", self->store, (unsigned long long)(uintptr_t)val);
}

/* The exception that is set may be the engine's, about an argument: of another type than the module defines. */
static void explain(Function *self, PyObject *const *args) {
    Signature *sig = self->signature;
    PyObject *raised = take_exception(), *given = PyTuple_New(sig->nparams);
    for (Py_ssize_t i = 0; given && i < sig->nparams; i++)
        PyTuple_SET_ITEM(given, i, Py_NewRef(args[i]));
    PyObject *told = given ? PyObject_CallFunction(
                                 self->state->explained, "OOOO", raised, self->name, given, sig->param_types)
                           : NULL;
    Py_XDECREF(given);
    Py_DECREF(raised);
    if (told)
        set_exception(told);
}

/* Call with values that are written. Inside the guard. 0, or -1 with an exception. */
static int run_checked(Function *self, PyObject *const *args, const wasmtime_val_t *vals, wasmtime_val_t *results) {
    Signature *sig = self->signature;
    Guard *guard = self->guard;
    wasm_trap_t *trap = NULL;
    if (guard_enter_running_inline(guard) < 0)
        return -1;
    struct crossing outer = guard_cross(guard, self->store, 0);
    wasmtime_error_t *error = wasmtime_func_call(
        guard->context, &self->func, vals, (size_t)sig->nparams, results, (size_t)sig->nresults, &trap);
    guard_return(guard, outer, &error, &trap);
    guard_leave_running_inline(guard); /* not the outermost entry: it cannot fail */
    if (error || trap) {
        int ours = error != NULL;
        guard_raise_failure(guard, self->store, error, trap);
        if (ours)
            explain(self, args);
        return -1;
    }
    return 0;
}

static PyObject *call_checked_inside(Function *self, PyObject *const *args, wasmtime_val_t *vals) {
    Signature *sig = self->signature;
    wasmtime_val_t *results = vals + sig->nparams;
    for (Py_ssize_t i = 0; i < sig->nparams; i++)
        if (to_val(self, sig->params[i], args[i], vals + i, i) < 0)
            return NULL;
    if (run_checked(self, args, vals, results) < 0)
        return NULL;
    if (sig->nresults == 1)
        return from_val(self, sig->results[0], results);
    if (sig->nresults == 0)
        Py_RETURN_NONE;
    PyObject *tuple = PyTuple_New(sig->nresults);
    for (Py_ssize_t i = 0; tuple && i < sig->nresults; i++) {
        PyObject *item = from_val(self, sig->results[i], results + i);
        if (!item)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, item);
    }
    return tuple;
}

/* call_values(function, arguments, address of the values, address of the results): inside the guard, for values that
 * Python has written, and releases. */
PyObject *function_call_values(PyObject *module, PyObject *args) {
    PyTypeObject *type = ((struct state *)PyModule_GetState(module))->function_type;
    Function *self;
    PyObject *given;
    unsigned long long vals, results;
    if (!PyArg_ParseTuple(args, "O!O!KK", type, &self, &PyTuple_Type, &given, &vals, &results))
        return NULL;
    if (PyTuple_GET_SIZE(given) != self->signature->nparams)
        return PyErr_Format(PyExc_TypeError, "expected %zd arguments", self->signature->nparams);
    if (run_checked(
            self, PySequence_Fast_ITEMS(given), (const wasmtime_val_t *)(uintptr_t)vals,
            (wasmtime_val_t *)(uintptr_t)results) < 0)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *call_checked(Function *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    Signature *sig = self->signature;
    size_t count = (size_t)(sig->nparams + sig->nresults);
    wasmtime_val_t few[FEW], *vals = few;
    PyObject *result = NULL;
    if (has_keywords(kwnames))
        return call_with_keywords(self, args, PyVectorcall_NARGS(nargsf), kwnames);
    if (check_count(self, PyVectorcall_NARGS(nargsf)) < 0)
        return NULL;
    if (count > FEW && !(vals = PyMem_New(wasmtime_val_t, count)))
        return PyErr_NoMemory();
    memset(vals, 0, count * sizeof *vals); /* kind 0 owns nothing */
    Py_INCREF(self);
    if (guard_enter_inline(self->guard) == 0) {
        result = call_checked_inside(self, args, vals);
        for (size_t i = 0; i < count; i++)
            wasmtime_val_unroot(vals + i);
        if (guard_leave_inline(self->guard) < 0)
            Py_CLEAR(result);
    }
    Py_DECREF(self);
    if (vals != few)
        PyMem_Free(vals);
    return result;
}

/* ---- Plain calls */

/* The same for what nearly every call is: few and plain arguments, into a store where nobody is. Whatever is
 * not so is for the general ways above, with nothing done yet that they would do again. There is a function
 * for each kind of argument, and with and without epochs, since this is where the nanoseconds are.
 */
static inline __attribute__((always_inline)) PyObject *call_first(
    Function *self, PyObject *const *args, size_t nargsf, PyObject *kwnames, enum kind kind,
    int epochs) {
    Guard *guard = self->guard;
    wasmtime_val_raw_t slots[FEW_PLAIN];
    wasm_trap_t *trap = NULL;
    PyThreadState *thread = GIL_KEPT;
    PyObject *result;
    size_t count = self->nparams;
    if (unlikely((size_t)PyVectorcall_NARGS(nargsf) != count || kwnames))
        return call_raw(self, args, nargsf, kwnames);
    for (size_t i = 0; i < count; i++)
        if (unlikely(!pack_plain(kind == KIND_OTHER ? self->params[i] : kind, args[i], slots + i)))
            return call_raw(self, args, nargsf, kwnames);
    Py_INCREF(self);
    if (unlikely(!guard_enter_first_inline(guard))) {
        result = run_raw(self, slots);
        Py_DECREF(self);
        return result;
    }
    if (epochs && unlikely(!epochs_calls->enter(guard->inside.epochs))) {
        guard->activations = 0;
        guard_no_ticker(guard);
        Py_DECREF(self);
        return NULL;
    }
    guard->caller = self->store;
    if (!self->keep_gil)
        thread = PyEval_SaveThread();
    guard->released = thread;
    wasmtime_error_t *error = wasmtime_func_call_unchecked(guard->context, &self->func, slots, self->slots, &trap);
    settle(guard, &error, &trap);
    if (thread != GIL_KEPT)
        PyEval_RestoreThread(thread);
    settle_interruption(guard, &error, &trap);
    guard->released = NULL;
    guard->caller = NULL;
    if (epochs)
        epochs_calls->leave(guard->inside.epochs);
    if (unlikely(error || trap)) {
        guard_raise_failure(guard, self->store, error, trap);
        result = NULL;
    } else if (kind != KIND_OTHER && self->result == kind) {
        result = unpack_number(kind, slots);
    } else if (self->result == NO_RESULT) {
        result = Py_NewRef(Py_None);
    } else {
        result = raw_results(self->signature, slots);
    }
    if (unlikely(guard_leave_first_inline(guard) < 0))
        Py_CLEAR(result);
    Py_DECREF(self);
    return result;
}

#define CALL_FIRST(name, kind) \
    static PyObject *name(Function *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) { \
        return call_first(self, args, nargsf, kwnames, kind, 0); \
    } \
    static PyObject *name##_epochs(Function *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) { \
        return call_first(self, args, nargsf, kwnames, kind, 1); \
    }

CALL_FIRST(call_first_i32, KIND_I32)
CALL_FIRST(call_first_i64, KIND_I64)
CALL_FIRST(call_first_f32, KIND_F32)
CALL_FIRST(call_first_f64, KIND_F64)
CALL_FIRST(call_first_v128, KIND_V128)
CALL_FIRST(call_first_mixed, KIND_OTHER)

/* How a function is called: the quickest way that its signature allows. */
static vectorcallfunc way_of(Function *self) {
    static PyObject *(*const of_one_kind[][2])(Function *, PyObject *const *, size_t, PyObject *) = {
        {call_first_i32, call_first_i32_epochs},   {call_first_i64, call_first_i64_epochs},
        {call_first_f32, call_first_f32_epochs},   {call_first_f64, call_first_f64_epochs},
        {call_first_v128, call_first_v128_epochs},
    };
    Signature *sig = self->signature;
    int epochs = self->guard->inside.epochs != NULL;
    if (!sig->plain)
        return (vectorcallfunc)call_checked;
    if (sig->slots > FEW_PLAIN)
        return (vectorcallfunc)call_raw;
    self->nparams = (unsigned char)sig->nparams;
    self->slots = (unsigned char)sig->slots;
    self->result = sig->nresults == 0 ? NO_RESULT : sig->nresults == 1 ? sig->results[0] : KIND_OTHER;
    memcpy(self->params, sig->params, self->nparams);
    for (Py_ssize_t i = 1; i < sig->nparams; i++)
        if (sig->params[i] != sig->params[0])
            return (vectorcallfunc)(epochs ? call_first_mixed_epochs : call_first_mixed);
    enum kind kind = sig->nparams ? sig->params[0] : self->result;
    if (kind <= KIND_V128)
        return (vectorcallfunc)of_one_kind[kind][epochs];
    return (vectorcallfunc)(epochs ? call_first_mixed_epochs : call_first_mixed);
}

static PyObject *call_unbound(Function *self, PyObject *const *args, size_t nargsf, PyObject *kwnames) {
    (void)args, (void)nargsf, (void)kwnames;
    return PyObject_CallMethod((PyObject *)self, "_refuse", NULL);
}

/* ---- The Python type ---- */

static PyObject *function_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    Function *self = (Function *)type->tp_alloc(type, 0);
    if (self) {
        self->state = state_of_type(type);
        self->vectorcall = (vectorcallfunc)call_unbound;
    }
    return (PyObject *)self;
}

PyDoc_STRVAR(
    bind_doc, "_bind(store, guard, signature, address, name, keep_gil)\n--\n\nBecome the function at an address.");

static PyObject *function_bind(Function *self, PyObject *args) {
    PyObject *store, *guard, *signature, *name;
    unsigned long long address;
    int keep_gil;
    if (!PyArg_ParseTuple(
            args, "OO!O!KUp", &store, self->state->guard_type, &guard, self->state->signature_type, &signature,
            &address, &name, &keep_gil))
        return NULL;
    if (self->store) { /* of two threads that initialise it at once, one is late; it may run already */
        PyErr_SetString(PyExc_TypeError, "this function was initialised already");
        return NULL;
    }
    self->store = Py_NewRef(store);
    self->guard = (Guard *)Py_NewRef(guard);
    self->signature = (Signature *)Py_NewRef(signature);
    self->name = Py_NewRef(name);
    self->func = *(const wasmtime_func_t *)(uintptr_t)address;
    self->keep_gil = (char)keep_gil;
    self->vectorcall = way_of(self);
    Py_RETURN_NONE;
}

static PyObject *function_unbind(Function *self, PyObject *unused) {
    (void)unused;
    self->vectorcall = (vectorcallfunc)call_unbound;
    Py_RETURN_NONE;
}

static int function_traverse(Function *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->store);
    Py_VISIT(self->guard);
    Py_VISIT(self->signature);
    Py_VISIT(self->name);
    return 0;
}

static int function_clear(Function *self) {
    self->vectorcall = (vectorcallfunc)call_unbound;
    Py_CLEAR(self->store);
    Py_CLEAR(self->guard);
    Py_CLEAR(self->signature);
    Py_CLEAR(self->name);
    return 0;
}

static void function_dealloc(Function *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    function_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    call_doc,
    "call(*args)\n--\n\nThe same as calling it, by a method: CPython calls methods of C quicker than objects.\n\n"
    "A loop that counts nanoseconds keeps ``call = func.call`` and calls that. There is no ``timeout=``:\n"
    "`WasmStore.deadline` is for that.");

static PyObject *function_call(Function *self, PyObject *const *args, Py_ssize_t nargs) {
    return self->vectorcall((PyObject *)self, args, (size_t)nargs, NULL);
}

static PyMethodDef function_methods[] = {
    {"call", (PyCFunction)(void (*)(void))function_call, METH_FASTCALL, call_doc},
    {"_bind", (PyCFunction)function_bind, METH_VARARGS, bind_doc},
    {"_unbind", (PyCFunction)function_unbind, METH_NOARGS, NULL},
    {"_map", function_map, METH_VARARGS, NULL},
    {NULL},
};

static PyMemberDef function_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Function, vectorcall), READONLY, NULL},
    {"_store", T_OBJECT, offsetof(Function, store), READONLY, NULL},
    {"_name", T_OBJECT, offsetof(Function, name), READONLY, NULL},
    {NULL},
};

static PyType_Slot function_slots[] = {
    {Py_tp_doc, "A function in a store, bound to its signature."},
    {Py_tp_new, function_new},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_traverse, function_traverse},
    {Py_tp_clear, function_clear},
    {Py_tp_dealloc, function_dealloc},
    {Py_tp_methods, function_methods},
    {Py_tp_members, function_members},
    {0, NULL},
};

PyType_Spec function_spec = {
    "wasmtime_rt._accel.Function", sizeof(Function), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL, function_slots,
};
