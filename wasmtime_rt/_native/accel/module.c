/* The extension module `_accel`: its state, its types, and what Python registers with it. */
#include "hot.h"

#include <pthread.h>
#include <signal.h>

static struct PyModuleDef accel_module;

struct state *state_of_type(PyTypeObject *type) {
    /* Only types that were made with their module have one; a derived type leads up to such a one. */
    for (; type; type = type->tp_base) {
        PyObject *module = (type->tp_flags & Py_TPFLAGS_HEAPTYPE) ? ((PyHeapTypeObject *)type)->ht_module : NULL;
        if (module && PyModule_GetDef(module) == &accel_module)
            return PyModule_GetState(module);
    }
    Py_FatalError("wasmtime_rt._accel: a type of no module"); /* cannot be: only its own types ask */
}

PyObject *take_exception(void) {
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        PyException_SetTraceback(value, traceback);
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

void set_exception(PyObject *exception) {
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(exception);
#else
    PyErr_Restore(Py_NewRef((PyObject *)Py_TYPE(exception)), exception, PyException_GetTraceback(exception));
#endif
}

/* ---- Owned: a C object that goes with a Python object, and no earlier ----
 *
 * The garbage collector neither traverses nor finalizes it. In a circle of garbage, what finalizers of other
 * objects may still use is therefore alive, and stays so where one of them brings the circle back.
 */

typedef struct {
    PyObject_HEAD
    void *pointer;
    void (*delete)(void *); /* NULL where nothing is to be done, */
    PyObject *memory; /* since this is what the pointer points into */
    Py_ssize_t size;  /* bytes that a buffer over it has */
} Owned;

PyDoc_STRVAR(
    own_doc,
    "own(address, delete address, memory, size)\n--\n\nWhat deletes a C object when it goes, and is a buffer over it.");

/* No constructor: whoever has a view of a memory can get at the type. */
static PyObject *accel_own(PyObject *module, PyObject *args) {
    PyTypeObject *type = ((struct state *)PyModule_GetState(module))->owned_type;
    unsigned long long address, delete;
    PyObject *memory;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "KKOn", &address, &delete, &memory, &size))
        return NULL;
    Owned *self = (Owned *)type->tp_alloc(type, 0);
    if (self) {
        self->pointer = (void *)(uintptr_t)address;
        self->delete = (void (*)(void *))(uintptr_t)delete;
        self->memory = Py_NewRef(memory);
        self->size = size;
    }
    return (PyObject *)self;
}

static PyObject *owned_disown(Owned *self, PyObject *unused) {
    (void)unused;
    self->delete = NULL;
    Py_RETURN_NONE;
}

/* A buffer keeps it, and nothing ends that before the buffer itself is released. */
static int owned_get_buffer(Owned *self, Py_buffer *buffer, int flags) {
    return PyBuffer_FillInfo(buffer, (PyObject *)self, self->pointer, self->size, 0, flags);
}

static void owned_dealloc(Owned *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->delete)
        self->delete(self->pointer);
    Py_DECREF(self->memory);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef owned_methods[] = {
    {"disown", (PyCFunction)owned_disown, METH_NOARGS, "disown()\n--\n\nDelete nothing: somebody else does."},
    {NULL},
};

static PyType_Slot owned_slots[] = {
    {Py_tp_doc, "A C object that is deleted with this one, and its bytes."},
    {Py_tp_dealloc, owned_dealloc},
    {Py_tp_methods, owned_methods},
    {Py_bf_getbuffer, owned_get_buffer},
    {0, NULL},
};

static PyType_Spec owned_spec = {
    "wasmtime_rt._accel.Owned", sizeof(Owned), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, owned_slots};

/* ---- Registration */

static const struct {
    const char *name;
    size_t offset;
} REGISTERED[] = {
    {"context", offsetof(struct state, context)},
    {"number", offsetof(struct state, number)},
    {"refuse", offsetof(struct state, refuse)},
    {"small_stack", offsetof(struct state, small_stack)},
    {"heap_full", offsetof(struct state, heap_full)},
    {"no_ticker", offsetof(struct state, no_ticker)},
    {"failure", offsetof(struct state, failure)},
    {"explained", offsetof(struct state, explained)},
    {"wasm_exception", offsetof(struct state, wasm_exception)},
    {"throw", offsetof(struct state, throw)},
    {"caller_class", offsetof(struct state, caller_class)},
    {"value_class", offsetof(struct state, value_class)},
    {"to_val", offsetof(struct state, to_val)},
    {"from_val", offsetof(struct state, from_val)},
    {"bad_results", offsetof(struct state, bad_results)},
    {"out_of_range", offsetof(struct state, out_of_range)},
    {"not_pinned", offsetof(struct state, not_pinned)},
    {"keywords", offsetof(struct state, keywords)},
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))
#define SLOT(state, entry) ((PyObject **)((char *)(state) + (entry).offset))

PyDoc_STRVAR(register_doc, "register(name, function)\n--\n\nSay what does the rare work, or what is the class, called ``name``.");

static PyObject *accel_register(PyObject *module, PyObject *args) {
    struct state *state = PyModule_GetState(module);
    const char *name;
    PyObject *function;
    if (!PyArg_ParseTuple(args, "sO", &name, &function))
        return NULL;
    for (size_t i = 0; i < COUNT(REGISTERED); i++)
        if (strcmp(name, REGISTERED[i].name) == 0) {
            Py_XSETREF(*SLOT(state, REGISTERED[i]), Py_NewRef(function));
            Py_RETURN_NONE;
        }
    return PyErr_Format(PyExc_KeyError, "nothing is called %s", name);
}

PyDoc_STRVAR(main_thread_doc, "set_main_thread(ident)\n--\n\nSay which thread ends the interpreter.");

static PyObject *accel_set_main_thread(PyObject *module, PyObject *ident) {
    struct state *state = PyModule_GetState(module);
    unsigned long thread = PyLong_AsUnsignedLong(ident);
    if (PyErr_Occurred())
        return NULL;
    state->main_thread = thread;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(epochs_calls_doc, "set_epochs_calls(address)\n--\n\nSay where the functions on epochs are.");

static PyObject *accel_set_epochs_calls(PyObject *module, PyObject *address) {
    const wrt_epochs_calls_t *calls = PyLong_AsVoidPtr(address);
    (void)module;
    if (PyErr_Occurred())
        return NULL;
    epochs_calls = calls;
    this_thread.limit = calls->here();
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    vectorcall_doc,
    "use_vectorcall(type)\n--\n\nLet ``type``, derived from Function, be called as directly as Function is.\n\n"
    "Before 3.12 the flag is not handed down to classes written in Python.");

static PyObject *accel_use_vectorcall(PyObject *module, PyObject *type) {
    struct state *state = PyModule_GetState(module);
    if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, state->function_type))
        return PyErr_Format(PyExc_TypeError, "expected a type derived from Function, got %R", type);
    if (((PyTypeObject *)type)->tp_call == PyVectorcall_Call) { /* it has no `__call__` of its own */
        ((PyTypeObject *)type)->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
        PyType_Modified((PyTypeObject *)type);
    }
    Py_RETURN_NONE;
}

/* ---- The other extension, and signal handlers */

PyDoc_STRVAR(
    native_doc,
    "use_native(*addresses)\n--\n\nSay where C functions of the package are: to restore and look at signal handlers, to "
    "delete stores, to enter and leave what forks wait for.");

static PyObject *accel_use_native(PyObject *module, PyObject *args) {
    unsigned long long restore, look, delete, enter, leave;
    (void)module;
    if (!PyArg_ParseTuple(args, "KKKKK", &restore, &look, &delete, &enter, &leave))
        return NULL;
    if (!restore_signals && pthread_atfork(NULL, NULL, guard_lose_by_fork) != 0) /* once */
        return PyErr_NoMemory();
    restore_signals = (bool (*)(void))(uintptr_t)restore;
    delete_store = (void (*)(wasmtime_store_t *))(uintptr_t)delete;
    enter_work = (void (*)(int))(uintptr_t)enter;
    leave_work = (void (*)(int))(uintptr_t)leave;
    look_at_signals = (void (*)(void))(uintptr_t)look;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(watch_doc, "watch(function)\n--\n\nLet a builtin that installs signal handlers put the engine's back in front.");
PyDoc_STRVAR(look_doc, "look_at_signals()\n--\n\nLook whether handlers have come before the engine's, once in a while.");

static PyObject *accel_look_at_signals(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    look_at_signals();
    Py_RETURN_NONE;
}

/* ---- The module */

static int accel_exec(PyObject *module) {
    struct state *state = PyModule_GetState(module);
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "wasmtime_rt works in the main interpreter only, not in a subinterpreter");
        return -1;
    }
    const struct {
        PyTypeObject **type;
        PyType_Spec *spec;
    } types[] = {
        {&state->guard_type, &guard_spec},         {&state->running_type, &running_spec},
        {&state->lease_type, &lease_spec},         {&state->signature_type, &signature_spec},
        {&state->function_type, &function_spec},   {&state->host_type, &host_spec},
        {&state->memory_type, &memory_spec},       {&state->view_type, &view_spec},
        {&state->owned_type, &owned_spec},         {&state->caller_type, &caller_spec},
        {&state->failure_type, &failure_spec},
    };
    for (size_t i = 0; i < COUNT(types); i++) {
        *types[i].type = (PyTypeObject *)PyType_FromModuleAndSpec(module, types[i].spec, NULL);
        if (!*types[i].type || PyModule_AddType(module, *types[i].type) < 0)
            return -1;
    }
    if (host_add_callbacks(module) < 0 || guard_add_serve(module) < 0)
        return -1;
    return PyModule_AddStringConstant(module, "VERSION", WRT_VERSION);
}

static int accel_traverse(PyObject *module, visitproc visit, void *arg) {
    struct state *state = PyModule_GetState(module);
    Py_VISIT(state->guard_type);
    Py_VISIT(state->running_type);
    Py_VISIT(state->lease_type);
    Py_VISIT(state->signature_type);
    Py_VISIT(state->function_type);
    Py_VISIT(state->host_type);
    Py_VISIT(state->memory_type);
    Py_VISIT(state->view_type);
    Py_VISIT(state->owned_type);
    Py_VISIT(state->caller_type);
    Py_VISIT(state->failure_type);
    for (size_t i = 0; i < COUNT(REGISTERED); i++)
        Py_VISIT(*SLOT(state, REGISTERED[i]));
    return 0;
}

static int accel_clear(PyObject *module) {
    struct state *state = PyModule_GetState(module);
    Py_CLEAR(state->guard_type);
    Py_CLEAR(state->running_type);
    Py_CLEAR(state->lease_type);
    Py_CLEAR(state->signature_type);
    Py_CLEAR(state->function_type);
    Py_CLEAR(state->host_type);
    Py_CLEAR(state->memory_type);
    Py_CLEAR(state->view_type);
    Py_CLEAR(state->owned_type);
    Py_CLEAR(state->caller_type);
    Py_CLEAR(state->failure_type);
    for (size_t i = 0; i < COUNT(REGISTERED); i++)
        Py_CLEAR(*SLOT(state, REGISTERED[i]));
    return 0;
}

static PyMethodDef accel_methods[] = {
    {"register", accel_register, METH_VARARGS, register_doc},
    {"set_main_thread", accel_set_main_thread, METH_O, main_thread_doc},
    {"set_epochs_calls", accel_set_epochs_calls, METH_O, epochs_calls_doc},
    {"use_native", accel_use_native, METH_VARARGS, native_doc},
    {"look_at_signals", accel_look_at_signals, METH_NOARGS, look_doc},
    {"unblock", handlers_unblock, METH_NOARGS, "unblock()\n--\n\nUnblock the signals of traps on this thread."},
    {"end", handlers_end, METH_NOARGS, "end()\n--\n\nKeep no handlers in Python any more for the signals of traps."},
    {"watch", handlers_watch, METH_O, watch_doc},
    {"own", accel_own, METH_VARARGS, own_doc},
    {"use_vectorcall", accel_use_vectorcall, METH_O, vectorcall_doc},
    {"define", host_define, METH_VARARGS, NULL},
    {"call_values", function_call_values, METH_VARARGS, NULL},
    {"failure", failure_hold, METH_VARARGS, NULL},
    {"error_message", failure_error_message, METH_O, NULL},
    {"instantiate", instance_new, METH_VARARGS, NULL},
    {"instantiate_prepared", (PyCFunction)(void (*)(void))instance_new_prepared, METH_FASTCALL, NULL},
    {"host", host_new, METH_VARARGS, NULL},
    {NULL},
};

static PyModuleDef_Slot accel_slots[] = {
    {Py_mod_exec, accel_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
    {0, NULL},
};

static struct PyModuleDef accel_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "wasmtime_rt._accel",
    .m_doc = "Calls, host functions and memories at the speed of C.",
    .m_size = sizeof(struct state),
    .m_methods = accel_methods,
    .m_slots = accel_slots,
    .m_traverse = accel_traverse,
    .m_clear = accel_clear,
};

PyMODINIT_FUNC PyInit__accel(void) { return PyModuleDef_Init(&accel_module); }
