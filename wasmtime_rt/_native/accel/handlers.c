/* What installs signal handlers from Python puts the engine's back in front of them, at once.
 *
 * A handler of SIGSEGV, SIGILL or SIGFPE that comes late takes the place of the engine's, and the next trap would
 * reach it (`signals.c`). Nothing tells of such handlers, and to ask the system for them takes longer than a call. But
 * there are few functions by which Python installs them. Those are watched: the function object stays what it was, for
 * whoever has it at hand, and calls one of ours, which calls what it was made with and then restores.
 */
#include "accel.h"

#define WATCHED 3

static struct watched {
    PyMethodDef definition; /* of the function that is watched, as it is now */
    PyObject *original;     /* what it was */
} watched[WATCHED];
static int count;

static PyObject *call_and_restore(int which, PyObject *const *args, Py_ssize_t given, PyObject *names) {
    PyObject *result = PyObject_Vectorcall(watched[which].original, args, (size_t)given, names);
    restore_signals();
    return result;
}

#define CALL(which)                                                                                                    \
    static PyObject *call_##which(PyObject *self, PyObject *const *args, Py_ssize_t given, PyObject *names) {          \
        (void)self;                                                                                                    \
        return call_and_restore(which, args, given, names);                                                            \
    }
CALL(0)
CALL(1)
CALL(2)

static const _PyCFunctionFastWithKeywords CALLS[WATCHED] = {call_0, call_1, call_2};

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
    count++;
    function->m_ml = &next->definition;
    function->vectorcall = ((PyCFunctionObject *)like)->vectorcall;
    Py_DECREF(like);
    Py_RETURN_TRUE;
}
