/* What installs signal handlers from Python puts the engine's back in front of them, at once; what blocks signals
 * leaves those unblocked that WebAssembly traps by.
 *
 * A handler of SIGSEGV, SIGILL or SIGFPE that comes late takes the place of the engine's, and the next trap would
 * reach it (`signals.c`). Nothing tells of such handlers, and to ask the system for them takes longer than a call. But
 * there are few functions by which Python installs them. Those are watched: the function object stays what it was, for
 * whoever has it at hand, and calls one of ours, which calls what it was made with and then restores.
 *
 * `pthread_sigmask` runs signal handlers before it returns, so what it must not block is taken out of its argument. A
 * thread that has not run WebAssembly may block what it likes, until it does.
 */
#include "hot.h"

#define WATCHED 4

static struct watched {
    PyMethodDef definition; /* of the function that is watched, as it is now */
    PyObject *original;     /* what it was */
    bool installs;          /* whether it is signal.signal */
    bool masks;             /* whether it is pthread_sigmask */
} watched[WATCHED];
static int count;
static bool ending; /* the interpreter ends: see `handlers_end` */

/* The signals that a mask holds but for `FAULTS`; or itself, where it is no such thing and will be refused. */
static PyObject *without_faults(PyObject *mask) {
    PyObject *kept = PySequence_List(mask);
    if (!kept)
        return NULL;
    for (Py_ssize_t i = PyList_GET_SIZE(kept) - 1; i >= 0; i--) {
        PyObject *item = PyList_GET_ITEM(kept, i);
        long number = PyLong_Check(item) ? PyLong_AsLong(item) : -1;
        if (number == -1 && PyErr_Occurred())
            PyErr_Clear(); /* the function itself says what is wrong with it */
        for (size_t fault = 0; fault < FAULT_COUNT; fault++)
            if (number == FAULTS[fault] && PyList_SetSlice(kept, i, i + 1, NULL) < 0) {
                Py_DECREF(kept);
                return NULL;
            }
    }
    return kept;
}

static PyObject *call_and_unblock(int which, PyObject *const *args, Py_ssize_t given, PyObject *names) {
    if (!this_thread.ident || given != 2 || names)
        return PyObject_Vectorcall(watched[which].original, args, (size_t)given, names);
    PyObject *mask = without_faults(args[1]);
    if (!mask)
        return NULL;
    PyObject *changed[] = {args[0], mask};
    PyObject *result = PyObject_Vectorcall(watched[which].original, changed, 2, NULL);
    Py_DECREF(mask);
    unblock_faults(); /* what is no plain number */
    return result;
}

static PyObject *call_and_restore(int which, PyObject *const *args, Py_ssize_t given, PyObject *names) {
    if (watched[which].masks)
        return call_and_unblock(which, args, given, names);
    PyObject *result = PyObject_Vectorcall(watched[which].original, args, (size_t)given, names);
    if (result && ending && watched[which].installs && given == 2) {
        /* Python would have the system's handler take its place soon, and so ours, while daemon threads may trap. */
        PyObject *forgotten = NULL;
        for (size_t i = 0; i < FAULT_COUNT; i++)
            if (PyLong_Check(args[0]) && PyLong_AsLong(args[0]) == FAULTS[i])
                forgotten = PyObject_CallFunction(watched[which].original, "il", FAULTS[i], (long)(intptr_t)SIG_DFL);
        PyErr_Clear();
        Py_XDECREF(forgotten);
    }
    restore_signals();
    return result;
}

/* unblock(): on this thread */
PyObject *handlers_unblock(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    unblock_faults();
    Py_RETURN_NONE;
}

/* end(): from now on, no handler in Python is kept for the signals that WebAssembly traps by. */
PyObject *handlers_end(PyObject *module, PyObject *unused) {
    (void)module, (void)unused;
    ending = true;
    Py_RETURN_NONE;
}

#define CALL(which)                                                                                                    \
    static PyObject *call_##which(PyObject *self, PyObject *const *args, Py_ssize_t given, PyObject *names) {          \
        (void)self;                                                                                                    \
        return call_and_restore(which, args, given, names);                                                            \
    }
CALL(0)
CALL(1)
CALL(2)
CALL(3)

static const _PyCFunctionFastWithKeywords CALLS[WATCHED] = {call_0, call_1, call_2, call_3};

/* watch(function) -> whether that could be done, or was */
PyObject *handlers_watch(PyObject *module, PyObject *object) {
    (void)module;
    if (!PyCFunction_CheckExact(object))
        Py_RETURN_FALSE;
    PyCFunctionObject *function = (PyCFunctionObject *)object;
    for (int i = 0; i < count; i++)
        if (function->m_ml == &watched[i].definition)
            Py_RETURN_TRUE;
    if (count == WATCHED)
        Py_RETURN_FALSE;
    struct watched *next = &watched[count];
    next->definition = *function->m_ml;
    next->definition.ml_meth = (PyCFunction)(void (*)(void))CALLS[count];
    next->definition.ml_flags = METH_FASTCALL | METH_KEYWORDS;
    PyObject *original = PyCFunction_NewEx(function->m_ml, function->m_self, function->m_module);
    /* How it is called hangs on its flags: taken from one that is made with them. */
    PyObject *like = PyCFunction_NewEx(&next->definition, function->m_self, function->m_module);
    if (!original || !like) {
        Py_XDECREF(original);
        Py_XDECREF(like);
        return NULL;
    }
    next->original = original;
    next->installs = strcmp(function->m_ml->ml_name, "signal") == 0;
    next->masks = strcmp(function->m_ml->ml_name, "pthread_sigmask") == 0;
    count++;
    function->m_ml = &next->definition;
    function->vectorcall = ((PyCFunctionObject *)like)->vectorcall;
    Py_DECREF(like);
    Py_RETURN_TRUE;
}
