/* One function over many rows: columns in, columns out, the GIL dropped for the whole run. */
#include "hot.h"

#include <time.h>

static const size_t SIZES[] = {4, 8, 4, 8, 16};

/* How often, in nanoseconds, a run looks whether a signal waits for Python, and after how many rows the clock. */
#define PATIENCE 10000000
#define LOOK_EVERY 64

struct column {
    char *at; /* its next item */
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

struct run {
    wasmtime_context_t *context;
    const wasmtime_func_t *func;
    wasmtime_val_raw_t *slots;
    size_t count; /* of slots */
    struct column *ins, *outs;
    Py_ssize_t nins, nouts;
    wasmtime_error_t *error;
    wasm_trap_t *trap;
};

/* Up to so many rows, the columns moving on; returns how many went well. */
static inline __attribute__((always_inline)) Py_ssize_t run_some(struct run *run, Py_ssize_t rows) {
    for (Py_ssize_t row = 0; row < rows; row++) {
        for (Py_ssize_t i = 0; i < run->nins; i++) {
            struct column *in = run->ins + i;
            move(run->slots + i, in->at, in->size);
            in->at += in->stride;
        }
        run->error = wasmtime_func_call_unchecked(run->context, run->func, run->slots, run->count, &run->trap);
        if (unlikely(run->error || run->trap))
            return row;
        for (Py_ssize_t i = 0; i < run->nouts; i++) {
            struct column *out = run->outs + i;
            move(out->at, run->slots + i, out->size);
            out->at += out->stride;
        }
    }
    return rows;
}

/* The same where one item of eight bytes goes in and one comes out, which is what most runs do. */
static inline __attribute__((always_inline)) Py_ssize_t run_some_of_one(struct run *run, Py_ssize_t rows) {
    wasmtime_context_t *context = run->context;
    const wasmtime_func_t *func = run->func;
    Py_ssize_t from_stride = run->ins->stride, to_stride = run->outs->stride, row = 0;
    char *from = run->ins->at, *to = run->outs->at;
    wasmtime_val_raw_t slot;
    wasm_trap_t *trap = NULL;
    for (; row < rows; row++, from += from_stride, to += to_stride) {
        move(&slot, from, 8);
        wasmtime_error_t *error = wasmtime_func_call_unchecked(context, func, &slot, 1, &trap);
        if (unlikely(error || trap)) {
            run->error = error;
            run->trap = trap;
            break;
        }
        move(to, &slot, 8);
    }
    run->ins->at = from;
    run->outs->at = to;
    return row;
}

/* Rows until one fails or Python should be asked whether a signal waits; returns how many went well. */
static Py_ssize_t run_rows(struct run *run, Py_ssize_t rows) {
    int of_one = run->nins == 1 && run->nouts == 1 && run->ins->size == 8 && run->outs->size == 8;
    int64_t patience = now() + PATIENCE;
    Py_ssize_t done = 0;
    do {
        Py_ssize_t some = rows - done < LOOK_EVERY ? rows - done : LOOK_EVERY;
        done += of_one ? run_some_of_one(run, some) : run_some(run, some);
    } while (!run->error && !run->trap && done < rows && now() < patience);
    return done;
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
    struct run run = {
        guard->context, &self->func, slots, (size_t)sig->slots, columns, columns + sig->nparams, sig->nparams,
        sig->nresults, NULL, NULL};
    while (row < rows) {
        struct crossing outer = guard_cross(guard, self->store, 0);
        row += run_rows(&run, rows - row);
        guard_return(guard, outer, &run.error, &run.trap);
        if (run.error || run.trap) {
            guard_raise_failure(guard, self->store, run.error, run.trap);
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
