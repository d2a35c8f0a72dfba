/* One function over many rows: columns in, columns out, the GIL dropped for the whole run. */
#include "hot.h"

#include <time.h>

static const size_t SIZES[] = {4, 8, 4, 8, 16};

/* How often, in nanoseconds, a run looks whether a signal waits for Python. */
#define PATIENCE 10000000
#define LOOK_EVERY 64

struct column {
    char *at;
    Py_ssize_t stride;
    size_t size;
};

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int open_columns(
    PyObject *objects, const unsigned char *kinds, Py_buffer *buffers, Py_ssize_t *opened, struct column *columns,
    Py_ssize_t rows, int flags) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(objects); i++) {
        Py_buffer *buffer = buffers + *opened;
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(objects, i), buffer, flags) < 0)
            return -1;
        ++*opened;
        size_t size = SIZES[kinds[i]];
        /* A column of vectors is bytes, 16 for each row. An exporter may leave out strides and shape. */
        Py_ssize_t items = kinds[i] == KIND_V128 ? (Py_ssize_t)size : 1;
        Py_ssize_t stride = buffer->strides ? buffer->strides[0] : buffer->itemsize;
        Py_ssize_t length = buffer->itemsize ? buffer->len / buffer->itemsize : 0;
        if (buffer->ndim != 1 || buffer->itemsize * items != (Py_ssize_t)size || length % items ||
            (length / items != rows && length / items != 1)) {
            PyErr_SetString(PyExc_ValueError, "a column of another shape than was checked");
            return -1;
        }
        columns[i].at = buffer->buf;
        columns[i].size = size;
        columns[i].stride = length == items ? 0 : stride * items;
    }
    return 0;
}

/* A copy of a size that is known at each place: no call, and no loop. */
static inline void move(void *to, const void *from, size_t size) {
    if (size == 8)
        memcpy(to, from, 8);
    else if (size == 4)
        memcpy(to, from, 4);
    else
        memcpy(to, from, 16);
}

/* Rows from `first` on; returns where it stopped, with what stopped it, if anything did. */
static Py_ssize_t run_rows(
    Function *self, struct column *columns, wasmtime_val_raw_t *slots, Py_ssize_t first, Py_ssize_t rows,
    wasmtime_error_t **error, wasm_trap_t **trap) {
    Signature *sig = self->signature;
    wasmtime_context_t *context = self->guard->context;
    struct column *outs = columns + sig->nparams;
    Py_ssize_t nparams = sig->nparams, nresults = sig->nresults, row = first;
    size_t count = (size_t)sig->slots;
    int64_t patience = now() + PATIENCE;
    for (; row < rows; row++) {
        if ((row - first) % LOOK_EVERY == LOOK_EVERY - 1 && now() > patience)
            break;
        for (Py_ssize_t i = 0; i < nparams; i++)
            move(slots + i, columns[i].at + row * columns[i].stride, columns[i].size);
        *error = wasmtime_func_call_unchecked(context, &self->func, slots, count, trap);
        if (*error || *trap)
            break;
        for (Py_ssize_t i = 0; i < nresults; i++)
            move(outs[i].at + row * outs[i].stride, slots + i, outs[i].size);
    }
    return row;
}

/* _map(inputs, outputs, rows) -> the row that it stopped at, raising what stopped it with that row */
PyObject *function_map(PyObject *object, PyObject *args) {
    Function *self = (Function *)object;
    PyObject *inputs, *outputs;
    Py_ssize_t rows, opened = 0, row = 0;
    if (!PyArg_ParseTuple(args, "O!O!n", &PyTuple_Type, &inputs, &PyTuple_Type, &outputs, &rows))
        return NULL;
    Signature *sig = self->signature;
    if (!sig || !sig->plain || PyTuple_GET_SIZE(inputs) != sig->nparams ||
        PyTuple_GET_SIZE(outputs) != sig->nresults) {
        PyErr_SetString(PyExc_ValueError, "expected one column for each parameter and result");
        return NULL;
    }
    size_t count = (size_t)(sig->nparams + sig->nresults);
    Py_buffer *buffers = PyMem_Calloc(count + 1, sizeof *buffers);
    struct column *columns = PyMem_Calloc(count + 1, sizeof *columns);
    wasmtime_val_raw_t *slots = PyMem_Calloc((size_t)sig->slots + 1, sizeof *slots);
    PyObject *result = NULL;
    if (!buffers || !columns || !slots) {
        PyErr_NoMemory();
        goto done;
    }
    if (open_columns(inputs, sig->params, buffers, &opened, columns, rows, PyBUF_STRIDES) < 0 ||
        open_columns(
            outputs, sig->results, buffers, &opened, columns + sig->nparams, rows, PyBUF_STRIDES | PyBUF_WRITABLE) < 0)
        goto done;
    if (guard_enter_running(self->guard) < 0)
        goto done;
    Guard *guard = self->guard;
    wasmtime_error_t *error = NULL;
    wasm_trap_t *trap = NULL;
    while (row < rows) {
        struct crossing outer = guard_cross(guard, self->store, 0);
        row = run_rows(self, columns, slots, row, rows, &error, &trap);
        guard_return(guard, outer);
        if (error || trap) {
            guard_raise_failure(guard, error, trap);
            break;
        }
        if (PyErr_CheckSignals() < 0)
            break;
    }
    int failed = PyErr_Occurred() != NULL;
    if (guard_leave_running(guard) == 0 && !failed)
        result = PyLong_FromSsize_t(row);
    if (PyErr_Occurred()) { /* the row travels on the exception; Python makes a note of it */
        PyObject *raised = take_exception();
        PyObject *number = PyLong_FromSsize_t(row);
        if (number && PyObject_SetAttrString(raised, "row", number) < 0)
            PyErr_Clear(); /* it takes no attributes */
        Py_XDECREF(number);
        set_exception(raised);
    }
done:
    while (opened > 0)
        PyBuffer_Release(buffers + --opened);
    PyMem_Free(buffers);
    PyMem_Free(columns);
    PyMem_Free(slots);
    return result;
}
