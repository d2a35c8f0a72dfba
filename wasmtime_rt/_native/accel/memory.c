/* Linear memory: bytes in and out, and buffers that cannot dangle. */
#include "hot.h"

typedef struct {
    PyObject_HEAD
    struct state *state;
    Guard *guard;
    PyObject *store;
    wasmtime_memory_t memory;
    char bound;
    char pinned; /* it can never move, so views of it are possible */
} Memory;

/* A buffer keeps only the C store alive, not the Python store: what a host function closes over may
 * hold a view in places where the garbage collector cannot see (NumPy), and would keep itself alive.
 */
typedef struct {
    PyObject_HEAD
    Lease *lease;
} View;

static int enter(Memory *self) {
    if (!self->bound || !self->guard) {
        PyObject *never = PyObject_CallMethod((PyObject *)self, "_refuse", NULL);
        Py_XDECREF(never);
        return -1;
    }
    return guard_enter_inline(self->guard);
}

static int out_of_range(Memory *self, PyObject *offset, PyObject *length) {
    PyObject *never = PyObject_CallFunction(
        self->state->out_of_range, "nOO",
        (Py_ssize_t)wasmtime_memory_data_size(self->guard->context, &self->memory), offset, length);
    Py_XDECREF(never);
    return -1;
}

/* A number that is no valid offset or length becomes UINT64_MAX, which is outside of every memory. */
static int as_number(PyObject *object, uint64_t *number) {
    int overflow;
    long long value;
    if (PyLong_CheckExact(object)) {
        value = PyLong_AsLongLongAndOverflow(object, &overflow);
    } else {
        PyObject *index = PyNumber_Index(object);
        if (!index)
            return -1;
        value = PyLong_AsLongLongAndOverflow(index, &overflow);
        Py_DECREF(index);
    }
    *number = overflow || value < 0 ? UINT64_MAX : (uint64_t)value;
    return 0;
}

/* Inside the guard: where `length` bytes at `offset` are, or NULL. */
static uint8_t *range(Memory *self, uint64_t offset, uint64_t length) {
    size_t size = wasmtime_memory_data_size(self->guard->context, &self->memory);
    if (offset > size || length > size - offset)
        return NULL;
    return wasmtime_memory_data(self->guard->context, &self->memory) + offset;
}

/* Two arguments, by position or by name. */
static int two(
    PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames, const char *const names[2], PyObject *given[2]) {
    Py_ssize_t named = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    if (nargs + named != 2) {
        PyErr_Format(PyExc_TypeError, "expected two arguments, %s and %s, got %zd", names[0], names[1], nargs + named);
        return -1;
    }
    given[0] = given[1] = NULL;
    for (Py_ssize_t i = 0; i < nargs; i++)
        given[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(kwnames, i);
        int which = PyUnicode_CompareWithASCIIString(name, names[0]) == 0 ? 0
                    : PyUnicode_CompareWithASCIIString(name, names[1]) == 0 ? 1
                                                                              : -1;
        if (which < 0 || given[which]) {
            PyErr_Format(PyExc_TypeError, "unexpected argument %R", name);
            return -1;
        }
        given[which] = args[nargs + i];
    }
    return 0;
}

static PyObject *read_bytes(Memory *self, uint64_t offset, uint64_t length, PyObject *shown[2]) {
    PyObject *bytes = NULL;
    if (enter(self) < 0)
        return NULL;
    const uint8_t *from = range(self, offset, length);
    if (from)
        bytes = PyBytes_FromStringAndSize((const char *)from, (Py_ssize_t)length);
    else
        out_of_range(self, shown[0], shown[1]);
    if (guard_leave_inline(self->guard) < 0)
        Py_CLEAR(bytes);
    return bytes;
}

static PyObject *memory_read(Memory *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[2] = {"offset", "length"};
    PyObject *given[2];
    uint64_t offset, length;
    if (two(args, nargs, kwnames, names, given) < 0 || as_number(given[0], &offset) < 0 ||
        as_number(given[1], &length) < 0)
        return NULL;
    return read_bytes(self, offset, length, given);
}

static int write_buffer(Memory *self, uint64_t offset, PyObject *shown, const Py_buffer *data) {
    if (enter(self) < 0)
        return -1;
    int result = 0;
    uint8_t *to = range(self, offset, (uint64_t)data->len);
    if (!to) {
        PyObject *length = PyLong_FromSsize_t(data->len);
        result = length ? out_of_range(self, shown, length) : -1;
        Py_XDECREF(length);
    } else if (PyBuffer_IsContiguous(data, 'C')) {
        memmove(to, data->buf, (size_t)data->len);
    } else {
        result = PyBuffer_ToContiguous(to, data, data->len, 'C');
    }
    return guard_leave_inline(self->guard) < 0 ? -1 : result;
}

static int get_data(PyObject *object, Py_buffer *data) {
    if (PyUnicode_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "data: expected bytes or another buffer, got str; write_utf8 takes text");
        return -1;
    }
    return PyObject_GetBuffer(object, data, PyBUF_FULL_RO);
}

static PyObject *memory_write(Memory *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames) {
    static const char *const names[2] = {"offset", "data"};
    PyObject *given[2];
    uint64_t offset;
    Py_buffer data;
    if (two(args, nargs, kwnames, names, given) < 0 || as_number(given[0], &offset) < 0 ||
        get_data(given[1], &data) < 0)
        return NULL;
    Py_ssize_t length = data.len;
    int result = write_buffer(self, offset, given[0], &data);
    PyBuffer_Release(&data);
    return result < 0 ? NULL : PyLong_FromSsize_t(length);
}

/* ---- memory[i], memory[a:b] */

/* The size in bytes, or -1. */
static Py_ssize_t size_now(Memory *self) {
    if (enter(self) < 0)
        return -1;
    Py_ssize_t size = (Py_ssize_t)wasmtime_memory_data_size(self->guard->context, &self->memory);
    return guard_leave_inline(self->guard) < 0 ? -1 : size;
}

/* A key as a range: -1 with an exception; `step` is 0 for a single byte. */
static int key_range(Memory *self, PyObject *key, Py_ssize_t *start, Py_ssize_t *length, Py_ssize_t *step) {
    Py_ssize_t stop;
    if (PySlice_Check(key)) {
        if (PySlice_Unpack(key, start, &stop, step) < 0)
            return -1;
        Py_ssize_t size = size_now(self);
        if (size < 0)
            return -1;
        *length = PySlice_AdjustIndices(size, start, &stop, *step);
        return 0;
    }
    Py_ssize_t index = PyNumber_AsSsize_t(key, NULL), size; /* beyond the range it is its nearest end */
    if ((index == -1 && PyErr_Occurred()) || (size = size_now(self)) < 0)
        return -1;
    *start = index < 0 ? index + size : index;
    *length = 1;
    *step = 0;
    if (*start < 0 || *start >= size) {
        PyErr_Format(PyExc_IndexError, "byte %R is outside of this memory of %zd bytes", key, size);
        return -1;
    }
    return 0;
}

static PyObject *memory_subscript(Memory *self, PyObject *key) {
    Py_ssize_t start, length, step;
    if (key_range(self, key, &start, &length, &step) < 0)
        return NULL;
    PyObject *result = NULL;
    if (enter(self) < 0)
        return NULL;
    /* Memories never shrink, so what was inside still is. */
    const uint8_t *data = wasmtime_memory_data(self->guard->context, &self->memory);
    if (step == 0) {
        result = PyLong_FromLong(data[start]);
    } else if (step == 1) {
        result = PyBytes_FromStringAndSize((const char *)data + start, length);
    } else if ((result = PyBytes_FromStringAndSize(NULL, length))) {
        char *to = PyBytes_AS_STRING(result);
        for (Py_ssize_t i = 0; i < length; i++)
            to[i] = (char)data[start + i * step];
    }
    if (guard_leave_inline(self->guard) < 0)
        Py_CLEAR(result);
    return result;
}

static int memory_assign(Memory *self, PyObject *key, PyObject *value) {
    Py_ssize_t start, length, step;
    if (!value) {
        PyErr_SetString(PyExc_TypeError, "bytes of a memory cannot be deleted");
        return -1;
    }
    if (key_range(self, key, &start, &length, &step) < 0)
        return -1;
    Py_buffer data = {0};
    unsigned char byte;
    PyObject *shown = PyLong_FromSsize_t(start);
    int result = -1;
    if (!shown)
        return -1;
    if (step == 0) {
        Py_ssize_t number = PyNumber_AsSsize_t(value, NULL); /* beyond the range it is its nearest end */
        if (number == -1 && PyErr_Occurred())
            goto done;
        if (number < 0 || number > 255) {
            PyErr_Format(PyExc_ValueError, "a byte: expected 0 to 255, got %R", value);
            goto done;
        }
        byte = (unsigned char)number;
        if (PyBuffer_FillInfo(&data, NULL, &byte, 1, 1, PyBUF_SIMPLE) < 0)
            goto done;
    } else {
        if (step != 1) {
            PyErr_Format(PyExc_ValueError, "assignment to a slice: expected step 1, got %zd", step);
            goto done;
        }
        if (get_data(value, &data) < 0)
            goto done;
        if (data.len != length) {
            PyErr_Format(
                PyExc_ValueError,
                "assignment to a slice: expected %zd bytes, got %zd: memories do not change their size this way",
                length, data.len);
            PyBuffer_Release(&data);
            goto done;
        }
    }
    result = write_buffer(self, (uint64_t)start, shown, &data);
    PyBuffer_Release(&data);
done:
    Py_DECREF(shown);
    return result;
}

/* ---- Buffers */

static int memory_get_buffer(Memory *self, Py_buffer *buffer, int flags) {
    buffer->obj = NULL;
    if (self->bound && !self->pinned) {
        PyObject *never = PyObject_CallFunctionObjArgs(self->state->not_pinned, self, NULL);
        Py_XDECREF(never);
        return -1;
    }
    if (enter(self) < 0)
        return -1;
    int result = -1;
    View *view = PyObject_GC_New(View, self->state->view_type);
    if (view) {
        view->lease = (Lease *)Py_NewRef(self->guard->lease);
        PyObject_GC_Track(view);
        result = PyBuffer_FillInfo(
            buffer, (PyObject *)view, wasmtime_memory_data(self->guard->context, &self->memory),
            (Py_ssize_t)wasmtime_memory_data_size(self->guard->context, &self->memory), 0, flags);
        if (result == 0)
            view->lease->views++;
        Py_DECREF(view);
    }
    if (guard_leave_inline(self->guard) < 0 && result == 0) {
        PyBuffer_Release(buffer);
        return -1;
    }
    return result;
}

/* The buffer belongs to its view, and nothing is to be done. That there is this slot makes NumPy hold on to that
   view, and not to the memory and thereby to the store, where the garbage collector could not see it. */
static void memory_release_buffer(Memory *self, Py_buffer *buffer) {
    (void)self, (void)buffer;
}

static void view_release(View *self, Py_buffer *buffer) {
    (void)buffer;
    self->lease->views--;
}

static int view_get_buffer(View *self, Py_buffer *buffer, int flags) {
    (void)self, (void)flags;
    buffer->obj = NULL;
    PyErr_SetString(PyExc_BufferError, "a view exports through the memory that it came from");
    return -1;
}

static int view_traverse(View *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->lease);
    return 0;
}

static void view_dealloc(View *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    Py_XDECREF(self->lease);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

static PyType_Slot view_slots[] = {
    {Py_tp_doc, "What a buffer over a memory holds on to."},
    {Py_tp_traverse, view_traverse},
    {Py_tp_dealloc, view_dealloc},
    {Py_bf_getbuffer, view_get_buffer},
    {Py_bf_releasebuffer, view_release},
    {0, NULL},
};

PyType_Spec view_spec = {
    "wasmtime_rt._accel.View", sizeof(View), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION, view_slots,
};

/* ---- The Python type ---- */

static PyObject *memory_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    Memory *self = (Memory *)type->tp_alloc(type, 0);
    if (self)
        self->state = state_of_type(type);
    return (PyObject *)self;
}

PyDoc_STRVAR(bind_doc, "_bind(store, guard, address, pinned)\n--\n\nBecome the memory at an address.");

static PyObject *memory_bind(Memory *self, PyObject *args) {
    PyObject *store, *guard;
    unsigned long long address;
    int pinned;
    if (!PyArg_ParseTuple(args, "OO!Kp", &store, self->state->guard_type, &guard, &address, &pinned))
        return NULL;
    if (self->store) { /* of two threads that initialise it at once, one is late; it may be in use already */
        PyErr_SetString(PyExc_TypeError, "this memory was initialised already");
        return NULL;
    }
    self->store = Py_NewRef(store);
    self->guard = (Guard *)Py_NewRef(guard);
    self->memory = *(const wasmtime_memory_t *)(uintptr_t)address;
    self->pinned = (char)pinned;
    self->bound = 1;
    Py_RETURN_NONE;
}

static PyObject *memory_unbind(Memory *self, PyObject *unused) {
    (void)unused;
    self->bound = 0;
    Py_RETURN_NONE;
}

static int memory_traverse(Memory *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->store);
    Py_VISIT(self->guard);
    return 0;
}

static int memory_clear(Memory *self) {
    self->bound = 0;
    Py_CLEAR(self->store);
    Py_CLEAR(self->guard);
    return 0;
}

static void memory_dealloc(Memory *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    memory_clear(self);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(
    read_doc,
    "read($self, offset, length)\n--\n\n"
    "Copy ``length`` bytes out of linear memory, starting at ``offset``.\n\n"
    "Args:\n"
    "    offset: Byte offset from the start of memory, not pages.\n"
    "    length: Number of bytes; ``offset + length`` may equal the current size.\n\n"
    "Returns:\n"
    "    A new ``bytes`` of exactly ``length`` bytes; later writes do not change it.\n\n"
    "Raises:\n"
    "    IndexError: The range is not inside the memory's current size.\n"
    "    StoreClosedError: The store was closed.\n\n"
    "C API: ``wasmtime_memory_data``, ``wasmtime_memory_data_size``.\n");

PyDoc_STRVAR(
    write_doc,
    "write($self, offset, data)\n--\n\n"
    "Copy ``data`` into linear memory, starting at ``offset``.\n\n"
    "Args:\n"
    "    offset: Byte offset from the start of memory, not pages.\n"
    "    data: Anything with a buffer: bytes, an array, a memoryview; strided ones are packed.\n\n"
    "Returns:\n"
    "    The number of bytes written: all of ``data``.\n\n"
    "Raises:\n"
    "    IndexError: The range is not inside the memory's current size; nothing was written.\n"
    "    TypeError: ``data`` has no buffer.\n"
    "    StoreClosedError: The store was closed.\n\n"
    "C API: ``wasmtime_memory_data``, ``wasmtime_memory_data_size``.\n");

static PyMethodDef memory_methods[] = {
    {"read", (PyCFunction)(void (*)(void))memory_read, METH_FASTCALL | METH_KEYWORDS, read_doc},
    {"write", (PyCFunction)(void (*)(void))memory_write, METH_FASTCALL | METH_KEYWORDS, write_doc},
    {"_bind", (PyCFunction)memory_bind, METH_VARARGS, bind_doc},
    {"_unbind", (PyCFunction)memory_unbind, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef memory_members[] = {
    {"_store", T_OBJECT, offsetof(Memory, store), READONLY, NULL},
    {NULL},
};

static PyType_Slot memory_slots[] = {
    {Py_tp_doc, "The bytes of a linear memory."},
    {Py_tp_new, memory_new},
    {Py_tp_traverse, memory_traverse},
    {Py_tp_clear, memory_clear},
    {Py_tp_dealloc, memory_dealloc},
    {Py_tp_methods, memory_methods},
    {Py_tp_members, memory_members},
    {Py_mp_subscript, memory_subscript},
    {Py_mp_ass_subscript, memory_assign},
    {Py_bf_getbuffer, memory_get_buffer},
    {Py_bf_releasebuffer, memory_release_buffer},
    {0, NULL},
};

PyType_Spec memory_spec = {
    "wasmtime_rt._accel.Memory", sizeof(Memory), 0,
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, memory_slots,
};
