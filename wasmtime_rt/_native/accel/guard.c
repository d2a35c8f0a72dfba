/* The guard: one thread at a time inside a store, that thread as often as it likes. */
#define _GNU_SOURCE
#include "hot.h"

#include <pthread.h>
#include <signal.h>

/* As in shared.c: the oldest version of what newer C libraries moved. */
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_sigmask,pthread_sigmask@GLIBC_2.17");
#endif

__thread struct thread this_thread;

const wrt_epochs_calls_t *epochs_calls;

void learn_this_thread(void) {
    char here;
    size_t left = wrt_stack_left();
    this_thread.lowest_stack = left == SIZE_MAX ? 0 : (uintptr_t)&here - left; /* 0 where nobody knows */
    this_thread.limit = epochs_calls ? epochs_calls->here() : NULL; /* NULL before there is any store */
    unblock_faults();
    this_thread.ident = PyThread_get_thread_ident();
}

void unblock_faults(void) {
    sigset_t faults;
    sigemptyset(&faults);
    for (size_t i = 0; i < FAULT_COUNT; i++)
        sigaddset(&faults, FAULTS[i]);
    pthread_sigmask(SIG_UNBLOCK, &faults, NULL);
}

int calls_until_look;

void (*delete_store)(wasmtime_store_t *);
bool (*restore_signals)(void);
void (*look_at_signals)(void);
void (*enter_work)(int), (*leave_work)(int);

int guard_refuse(Guard *guard) {
    PyObject *never = PyObject_CallFunctionObjArgs(guard->state->refuse, (PyObject *)guard, NULL);
    if (never) { /* it always raises */
        Py_DECREF(never);
        PyErr_SetString(PyExc_SystemError, "a store refused an entry without saying why");
    }
    return -1;
}

/* Nobody is inside: give up the C store, which goes now unless a view needs it. No reference to a host
 * function is left in C by then, and what Python held for it goes too.
 */
static void let_go(Guard *guard) {
    PyObject *pending = PyErr_Occurred() ? take_exception() : NULL;
    guard->context = NULL;
    guard->refs = NULL;
    guard->inside = (wrt_store_t){NULL, NULL};
    Py_CLEAR(guard->wasi);
    Py_CLEAR(guard->lease);
    Py_CLEAR(guard->on_leave);
    PyDict_Clear(guard->hosts);
    PyDict_Clear(guard->objects);
    if (pending)
        set_exception(pending);
}

int guard_enter_first(Guard *guard) {
    Py_CLEAR(guard->raised);
    if (!wrt_host_refs_any(guard->refs))
        return 0;
    PyObject *done = PyObject_CallMethod((PyObject *)guard, "drop_objects", NULL);
    if (!done) {
        guard_leave(guard); /* which gives up what was closed meanwhile */
        return -1;
    }
    Py_DECREF(done);
    return 0;
}

int guard_leave_last(Guard *guard) {
    int result = 0;
    PyObject *pending = NULL;
    if (guard->on_leave && !guard->lost) {
        PyObject *hook = Py_NewRef(guard->on_leave);
        pending = PyErr_Occurred() ? take_exception() : NULL;
        PyObject *done = PyObject_CallNoArgs(hook);
        Py_DECREF(hook);
        if (done)
            Py_DECREF(done);
        else
            result = -1;
    }
    if (--guard->depth == 0) {
        guard->owner = 0;
        if (guard->closed)
            let_go(guard);
    }
    if (pending) {
        if (result < 0) { /* what the hook raised, while handling what was raised before */
            PyObject *later = take_exception();
            PyException_SetContext(later, pending);
            set_exception(later);
        } else {
            set_exception(pending);
        }
    }
    return result;
}

int guard_small_stack(Guard *guard, size_t needed) {
    PyObject *never =
        PyObject_CallFunction(guard->state->small_stack, "nn", (Py_ssize_t)needed, (Py_ssize_t)stack_left());
    Py_XDECREF(never);
    guard_leave(guard);
    return -1;
}

void guard_look_around(void) {
    calls_until_look = CALLS_BETWEEN_LOOKS;
    look_at_signals();
}

int guard_no_ticker(Guard *guard) {
    PyObject *never = PyObject_CallNoArgs(guard->state->no_ticker);
    Py_XDECREF(never);
    guard_leave(guard);
    return -1;
}

int guard_enter(Guard *guard) { return guard_enter_inline(guard); }

int guard_leave(Guard *guard) { return guard_leave_inline(guard); }

int guard_enter_running(Guard *guard) { return guard_enter_running_inline(guard); }

int guard_leave_running(Guard *guard) { return guard_leave_running_inline(guard); }

/* The context for Python code inside the guard. */
static PyObject *context_object(Guard *self) {
    if (!self->context_object) {
        PyObject *made =
            PyObject_CallFunction(self->state->context, "K", (unsigned long long)(uintptr_t)self->context);
        if (!made)
            return NULL;
        Py_XSETREF(self->context_object, made);
    }
    return Py_NewRef(self->context_object);
}

int guard_new_object(Guard *guard, PyObject *object, wasmtime_val_t *val) {
    PyObject *key = PyLong_FromUnsignedLongLong(++guard->last_key);
    int result = -1;
    if (key && PyDict_SetItem(guard->objects, key, object) == 0) {
        if (wrt_host_ref_new(guard->context, guard->refs, guard->last_key, &val->of.externref)) {
            val->kind = WASMTIME_EXTERNREF;
            result = 0;
        } else {
            if (PyDict_DelItem(guard->objects, key) < 0)
                PyErr_Clear(); /* what this calls has taken it out already */
            PyObject *never = PyObject_CallNoArgs(guard->state->heap_full);
            Py_XDECREF(never);
        }
    }
    Py_XDECREF(key);
    return result;
}

static PyObject *guard_next_key(Guard *self, PyObject *unused) {
    (void)unused;
    return PyLong_FromUnsignedLongLong(++self->last_key);
}

void guard_raise_failure(Guard *guard, PyObject *store, wasmtime_error_t *error, wasm_trap_t *trap) {
    PyObject *raised = guard->raised ? guard->raised : Py_NewRef(Py_None);
    guard->raised = NULL;
    PyObject *ended = failure_new(guard->state, error, trap); /* first: what follows may raise */
    PyObject *exception =
        PyObject_CallFunction(guard->state->failure, "ONNN", store, context_object(guard), ended, raised);
    if (exception)
        set_exception(exception);
    else
        guard->abandoned++; /* nobody knows how it ended */
}

static Guard *guard_from_data(void *data) { return (Guard *)((char *)data - offsetof(Guard, inside)); }

/* ---- Epochs ---- */

/* Lets Python handle its signals, on its main thread, at a tick. What a handler raises comes out of the call. */
static int serve(uintptr_t store) {
    Guard *guard = guard_from_data((void *)store);
    PyGILState_STATE ensured = PyGILState_UNLOCKED;
    PyThreadState *released = enter_python(guard, &ensured);
    guard->released = NULL; /* whatever a handler enters next has its own way back */
    int go_on = PyErr_CheckSignals() == 0;
    if (!go_on)
        Py_XSETREF(guard->raised, take_exception());
    guard->released = released;
    leave_python(released, ensured);
    return go_on;
}

/* Its address, for the ticks, whose code is elsewhere. */
int guard_add_serve(PyObject *module) {
    PyObject *address = PyLong_FromVoidPtr((void *)serve);
    int result = address ? PyModule_AddObjectRef(module, "SERVE", address) : -1;
    Py_XDECREF(address);
    return result;
}

PyDoc_STRVAR(
    set_time_limit_doc,
    "set_time_limit(began, ends)\n--\n\nEnd what runs at this time of the monotonic clock, in nanoseconds.");

static PyObject *guard_set_time_limit(Guard *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "expected two times");
    unsigned long long began = PyLong_AsUnsignedLongLong(args[0]), ends = PyLong_AsUnsignedLongLong(args[1]);
    if (PyErr_Occurred())
        return NULL;
    if (self->inside.epochs)
        epochs_calls->set_limit(self->inside.epochs, began, ends);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    set_call_limit_doc,
    "set_call_limit(nanoseconds)\n--\n\nGive each outermost call that much time while no other limit is set.");

static PyObject *guard_set_call_limit(Guard *self, PyObject *nanoseconds) {
    unsigned long long allowance = PyLong_AsUnsignedLongLong(nanoseconds);
    if (PyErr_Occurred())
        return NULL;
    if (self->inside.epochs)
        epochs_calls->set_allowance(self->inside.epochs, allowance);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(interrupt_doc, "interrupt()\n--\n\nEnd the call that is running, and say whether there is one.");

static PyObject *guard_interrupt(Guard *self, PyObject *unused) {
    (void)unused;
    return PyBool_FromLong(self->inside.epochs && epochs_calls->interrupt(self->inside.epochs));
}

/* ---- The Python type ---- */

static Guard *guards; /* that were opened, the newest first */

static PyObject *guard_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    Guard *self = (Guard *)type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    self->state = state_of_type(type);
    self->closed = 1; /* until it is opened */
    return (PyObject *)self;
}

Guard *guard_of(wasmtime_caller_t *caller) {
    return guard_from_data(wasmtime_context_get_data(wasmtime_caller_context(caller)));
}

PyDoc_STRVAR(
    open_doc,
    "open(engine, address, max_wasm_stack, clock)\n--\n\n"
    "Make the C store of the engine at an address, with the clock at an address or 0, and begin to admit.");

static PyObject *guard_open(Guard *self, PyObject *const *args, Py_ssize_t nargs) {
    static unsigned long long stores;
    if (nargs != 4)
        return PyErr_Format(PyExc_TypeError, "expected an engine, its address, a number of bytes and a clock");
    wasm_engine_t *engine = PyLong_AsVoidPtr(args[1]);
    Py_ssize_t max_wasm_stack = PyLong_AsSsize_t(args[2]);
    wrt_clock_t *clock = PyLong_AsVoidPtr(args[3]); /* NULL for 0 */
    if (PyErr_Occurred())
        return NULL;
    if (self->lease || self->hosts) {
        PyErr_SetString(PyExc_RuntimeError, "the store was made already");
        return NULL;
    }
    Lease *lease = PyObject_GC_New(Lease, self->state->lease_type);
    if (!lease)
        return NULL;
    lease->views = 0;
    lease->store = NULL;
    lease->refs = wrt_host_refs_new();
    PyObject_GC_Track(lease);
    self->lease = lease;
    self->objects = PyDict_New();
    self->hosts = PyDict_New();
    if (!lease->refs)
        return PyErr_NoMemory();
    if (!self->objects || !self->hosts)
        return NULL;
    self->engine = Py_NewRef(args[0]);
    self->number = ++stores;
    self->next = guards;
    if (self->next)
        self->next->link = &self->next;
    self->link = &guards;
    guards = self;
    lease->store = wasmtime_store_new(engine, &self->inside, NULL);
    if (clock && !(self->inside.epochs = epochs_calls->make(lease->store, clock)))
        return PyErr_NoMemory();
    self->context = wasmtime_store_context(lease->store);
    self->refs = lease->refs;
    self->max_wasm_stack = (size_t)max_wasm_stack;
    self->closed = 0;
    Py_RETURN_NONE;
}

static PyObject *guard_enter_method(Guard *self, PyObject *unused) {
    (void)unused;
    if (guard_enter(self) < 0)
        return NULL;
    PyObject *context = context_object(self);
    if (!context)
        guard_leave(self);
    return context;
}

static PyObject *guard_exit_method(Guard *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args, (void)nargs;
    if (guard_leave(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* `with core.running() as context` */

typedef struct {
    PyObject_HEAD
    Guard *guard;
    PyObject *store;
    struct crossing outer;
} Running;

static PyObject *guard_running(Guard *self, PyObject *store) {
    Running *running = PyObject_GC_New(Running, self->state->running_type);
    if (!running)
        return NULL;
    running->guard = (Guard *)Py_NewRef(self);
    running->store = Py_NewRef(store);
    PyObject_GC_Track(running);
    return (PyObject *)running;
}

static PyObject *running_enter(Running *self, PyObject *unused) {
    (void)unused;
    if (guard_enter_running(self->guard) < 0)
        return NULL;
    Guard *guard = self->guard;
    PyObject *context = context_object(guard);
    if (!context) {
        guard_leave_running(guard);
        return NULL;
    }
    self->outer = (struct crossing){guard->released, guard->caller};
    guard->released = NULL; /* who calls C drops the GIL by himself */
    guard->caller = self->store;
    return context;
}

static PyObject *running_exit(Running *self, PyObject *const *args, Py_ssize_t nargs) {
    (void)args, (void)nargs;
    self->guard->released = self->outer.released;
    self->guard->caller = self->outer.caller;
    if (guard_leave_running(self->guard) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(
    set_wasi_doc,
    "set_wasi(address, owner)\n--\n\n"
    "Give the store the `wrt_wasi_t` at an address, which `owner` keeps alive. Inside the guard, while nothing runs.");

static PyObject *guard_set_wasi(Guard *self, PyObject *const *args, Py_ssize_t nargs) {
    if (nargs != 2)
        return PyErr_Format(PyExc_TypeError, "expected an address and its owner");
    wrt_wasi_t *wasi = PyLong_AsVoidPtr(args[0]);
    if (!wasi && PyErr_Occurred())
        return NULL;
    if (self->activations)
        return PyErr_Format(PyExc_RuntimeError, "a call is running");
    self->inside.wasi = wasi;
    Py_XSETREF(self->wasi, Py_NewRef(args[1]));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(give_up_doc, "give_up()\n--\n\nRefuse further entries; the C store goes when nobody needs it.");

static PyObject *guard_give_up(Guard *self, PyObject *unused) {
    (void)unused;
    self->closed = 1;
    if (!self->depth && self->hosts && self->objects)
        let_go(self);
    Py_RETURN_NONE;
}

static PyObject *guard_views(Guard *self, void *unused) {
    (void)unused;
    return PyLong_FromSsize_t(self->lease ? self->lease->views : 0);
}

static PyObject *guard_store(Guard *self, void *unused) {
    (void)unused;
    return PyLong_FromVoidPtr(self->lease ? self->lease->store : NULL);
}

static PyObject *guard_epochs(Guard *self, void *unused) {
    (void)unused;
    return PyLong_FromVoidPtr(self->inside.epochs);
}

static PyObject *guard_refs(Guard *self, void *unused) {
    (void)unused;
    return PyLong_FromVoidPtr(self->refs);
}

/* The C library calls it right after the fork, whoever forks, and whether or not that leads to another program: no
 * Python. */
void guard_lose_by_fork(void) {
    unsigned long here = PyThread_get_thread_ident();
    for (Guard *guard = guards; guard; guard = guard->next) {
        if (!guard->owner || guard->owner == here)
            continue;
        guard->lost = guard->closed = 1;
        /* It may be half changed: it is not touched again. */
        if (guard->lease) {
            guard->lease->store = NULL;
            guard->lease->refs = NULL;
        }
    }
}

static int guard_traverse(Guard *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->lease);
    Py_VISIT(self->wasi);
    Py_VISIT(self->context_object);
    Py_VISIT(self->raised);
    Py_VISIT(self->on_leave);
    Py_VISIT(self->objects);
    Py_VISIT(self->hosts);
    Py_VISIT(self->engine);
    return 0;
}

static int guard_clear(Guard *self) {
    Py_CLEAR(self->raised);
    Py_CLEAR(self->on_leave);
    return 0; /* the tables are dictionaries, which break the cycles that they are in themselves */
}

static void guard_dealloc(Guard *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->link) {
        *self->link = self->next;
        if (self->next)
            self->next->link = self->link;
    }
    guard_clear(self);
    Py_CLEAR(self->lease);
    Py_CLEAR(self->wasi);
    Py_CLEAR(self->context_object);
    Py_CLEAR(self->objects);
    Py_CLEAR(self->hosts);
    Py_CLEAR(self->engine);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef guard_methods[] = {
    {"open", (PyCFunction)(void (*)(void))guard_open, METH_FASTCALL, open_doc},
    {"__enter__", (PyCFunction)guard_enter_method, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))guard_exit_method, METH_FASTCALL, NULL},
    {"running", (PyCFunction)guard_running, METH_O, NULL},
    {"set_time_limit", (PyCFunction)(void (*)(void))guard_set_time_limit, METH_FASTCALL, set_time_limit_doc},
    {"set_call_limit", (PyCFunction)guard_set_call_limit, METH_O, set_call_limit_doc},
    {"interrupt", (PyCFunction)guard_interrupt, METH_NOARGS, interrupt_doc},
    {"next_key", (PyCFunction)guard_next_key, METH_NOARGS, NULL},
    {"set_wasi", (PyCFunction)(void (*)(void))guard_set_wasi, METH_FASTCALL, set_wasi_doc},
    {"give_up", (PyCFunction)guard_give_up, METH_NOARGS, give_up_doc},
    {NULL},
};

static PyMemberDef guard_members[] = {
    {"closed", T_BOOL, offsetof(Guard, closed), READONLY, NULL},
    {"lost", T_BOOL, offsetof(Guard, lost), READONLY, NULL},
    {"raised", T_OBJECT, offsetof(Guard, raised), 0, NULL},
    {"on_leave", T_OBJECT, offsetof(Guard, on_leave), 0, NULL},
    {"objects", T_OBJECT, offsetof(Guard, objects), READONLY, NULL},
    {"hosts", T_OBJECT, offsetof(Guard, hosts), READONLY, NULL},
    {"number", T_ULONGLONG, offsetof(Guard, number), READONLY, NULL},
    {"fuel_given", T_ULONGLONG, offsetof(Guard, fuel_given), 0, NULL},
    {"abandoned", T_ULONGLONG, offsetof(Guard, abandoned), 0, NULL},
    {"engine", T_OBJECT, offsetof(Guard, engine), READONLY, NULL},
    {"depth", T_UINT, offsetof(Guard, depth), READONLY, NULL},
    {"activations", T_UINT, offsetof(Guard, activations), READONLY, NULL},
    {"owner_thread", T_ULONG, offsetof(Guard, owner), READONLY, NULL},
    {NULL},
};

static PyGetSetDef guard_getset[] = {
    {"views", (getter)guard_views, NULL, "How many buffers over memories of the store are alive.", NULL},
    {"store_address", (getter)guard_store, NULL, "Where the C store is, or 0.", NULL},
    {"epochs_address", (getter)guard_epochs, NULL, "Where its epochs are, or 0.", NULL},
    {"refs_address", (getter)guard_refs, NULL, "Where its list of dropped host objects is, or 0.", NULL},
    {NULL},
};

static PyType_Slot guard_slots[] = {
    {Py_tp_doc, "Who is inside a store: one thread at a time, as often as it likes."},
    {Py_tp_new, guard_new},
    {Py_tp_traverse, guard_traverse},
    {Py_tp_clear, guard_clear},
    {Py_tp_dealloc, guard_dealloc},
    {Py_tp_methods, guard_methods},
    {Py_tp_members, guard_members},
    {Py_tp_getset, guard_getset},
    {0, NULL},
};

PyType_Spec guard_spec = {
    "wasmtime_rt._accel.Guard", sizeof(Guard), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    guard_slots,
};

static int running_traverse(Running *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->guard);
    Py_VISIT(self->store);
    return 0;
}

static void running_dealloc(Running *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->guard);
    Py_XDECREF(self->store);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyMethodDef running_methods[] = {
    {"__enter__", (PyCFunction)running_enter, METH_NOARGS, NULL},
    {"__exit__", (PyCFunction)(void (*)(void))running_exit, METH_FASTCALL, NULL},
    {NULL},
};

static PyType_Slot running_slots[] = {
    {Py_tp_doc, "An entry into a store that runs WebAssembly."},
    {Py_tp_traverse, running_traverse},
    {Py_tp_dealloc, running_dealloc},
    {Py_tp_methods, running_methods},
    {0, NULL},
};

PyType_Spec running_spec = {
    "wasmtime_rt._accel.Running", sizeof(Running), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, running_slots,
};

static int lease_traverse(Lease *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void lease_dealloc(Lease *self) {
    PyTypeObject *type = Py_TYPE(self);
    wasmtime_store_t *store = self->store;
    wrt_host_refs_t *refs = self->refs;
    PyObject_GC_UnTrack(self);
    Py_BEGIN_ALLOW_THREADS /* unmapping memories takes a while */
    if (store)
        delete_store(store);
    if (refs)
        wrt_host_refs_delete(refs); /* after the store, which drops the last of them */
    Py_END_ALLOW_THREADS
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot lease_slots[] = {
    {Py_tp_doc, "The C store, shared by its guard and by the views of its memories."},
    {Py_tp_traverse, lease_traverse},
    {Py_tp_dealloc, lease_dealloc},
    {0, NULL},
};

PyType_Spec lease_spec = {
    "wasmtime_rt._accel.Lease", sizeof(Lease), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, lease_slots,
};
