/* What a call ended with, until Python has all of it.
 *
 * Signal handlers and tracers run between any two steps of Python code and may raise there. A C object in a variable of
 * that code would be lost then. So a Python object owns the engine's error or trap from the moment when C has it, and
 * one C function makes Python objects of all that it tells. The garbage collector knows nothing of it: making one
 * runs no finalizers.
 */
#include "accel.h"

typedef struct {
    PyObject_HEAD
    wasmtime_error_t *error;
    wasm_trap_t *trap;
} Failure;

static void delete_both(wasmtime_error_t *error, wasm_trap_t *trap) {
    if (error)
        wasmtime_error_delete(error);
    if (trap)
        wasm_trap_delete(trap);
}

PyObject *failure_new(struct state *state, wasmtime_error_t *error, wasm_trap_t *trap) {
    Failure *self = (Failure *)state->failure_type->tp_alloc(state->failure_type, 0);
    if (self) {
        self->error = error;
        self->trap = trap;
    } else {
        delete_both(error, trap);
    }
    return (PyObject *)self;
}

/* failure(error address, trap address) -> the object that owns both from now on; either may be 0 */
PyObject *failure_hold(PyObject *module, PyObject *args) {
    unsigned long long error, trap;
    if (!PyArg_ParseTuple(args, "KK", &error, &trap))
        return NULL;
    return failure_new(PyModule_GetState(module), (wasmtime_error_t *)(uintptr_t)error, (wasm_trap_t *)(uintptr_t)trap);
}

/* The content of a vector, which is freed. */
static PyObject *take_vector(wasm_byte_vec_t *vector) {
    PyObject *bytes = PyBytes_FromStringAndSize(vector->data, (Py_ssize_t)vector->size);
    wasm_byte_vec_delete(vector);
    return bytes;
}

static PyObject *message_of(const wasmtime_error_t *error) {
    wasm_byte_vec_t message;
    wasmtime_error_message(error, &message);
    return take_vector(&message);
}

/* error_message(address) -> bytes */
PyObject *failure_error_message(PyObject *module, PyObject *address) {
    (void)module;
    const wasmtime_error_t *error = PyLong_AsVoidPtr(address);
    return PyErr_Occurred() ? NULL : message_of(error);
}

static PyObject *name_of(const wasm_name_t *name) {
    if (!name)
        Py_RETURN_NONE;
    return PyBytes_FromStringAndSize(name->data, (Py_ssize_t)name->size);
}

static PyObject *frames_of(const wasm_frame_vec_t *vector) {
    PyObject *frames = PyTuple_New((Py_ssize_t)vector->size);
    for (size_t i = 0; frames && i < vector->size; i++) {
        const wasm_frame_t *frame = vector->data[i];
        PyObject *made = Py_BuildValue(
            "INNKK", wasm_frame_func_index(frame), name_of(wasmtime_frame_func_name(frame)),
            name_of(wasmtime_frame_module_name(frame)), (unsigned long long)wasm_frame_func_offset(frame),
            (unsigned long long)wasm_frame_module_offset(frame));
        if (made)
            PyTuple_SET_ITEM(frames, (Py_ssize_t)i, made);
        else
            Py_CLEAR(frames);
    }
    return frames;
}

PyDoc_STRVAR(
    take_doc,
    "take()\n--\n\nReturn the message, the trap's code or None, and the frames; delete the rest.\n\n"
    "A frame is the function's index, its name or None, the module's name or None, and the offsets in both.");

static PyObject *failure_take(Failure *self, PyObject *unused) {
    (void)unused;
    wasmtime_error_t *error = self->error;
    wasm_trap_t *trap = self->trap;
    wasm_byte_vec_t message;
    wasm_frame_vec_t frames;
    wasmtime_trap_code_t code;
    PyObject *code_object = Py_None, *result = NULL;
    if (!error && !trap) {
        PyErr_SetString(PyExc_RuntimeError, "the failure was taken before");
        return NULL;
    }
    if (trap) {
        wasm_trap_message(trap, &message);
        wasm_trap_trace(trap, &frames);
        if (wasmtime_trap_code(trap, &code))
            code_object = PyLong_FromLong(code);
    } else {
        wasmtime_error_message(error, &message);
        wasmtime_error_wasm_trace(error, &frames);
    }
    PyObject *text = take_vector(&message);
    PyObject *all = frames_of(&frames);
    if (text && all && code_object)
        result = PyTuple_Pack(3, text, code_object, all);
    wasm_frame_vec_delete(&frames); /* before what they belong to */
    Py_XDECREF(text);
    Py_XDECREF(all);
    if (code_object != Py_None)
        Py_XDECREF(code_object);
    self->error = NULL;
    self->trap = NULL;
    delete_both(error, trap);
    return result;
}

static void failure_dealloc(Failure *self) {
    PyTypeObject *type = Py_TYPE(self);
    delete_both(self->error, self->trap);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef failure_methods[] = {
    {"take", (PyCFunction)failure_take, METH_NOARGS, take_doc},
    {NULL},
};

static PyType_Slot failure_slots[] = {
    {Py_tp_doc, "What a call ended with: the engine's error or trap."},
    {Py_tp_dealloc, failure_dealloc},
    {Py_tp_methods, failure_methods},
    {0, NULL},
};

PyType_Spec failure_spec = {
    "wasmtime_rt._accel.Failure", sizeof(Failure), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    failure_slots};
