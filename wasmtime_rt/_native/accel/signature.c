/* Signatures, resolved once: what each parameter and result needs on its way across. */
#include "hot.h"

static const char *const KIND_NAMES[] = {"i32", "i64", "f32", "f64", "v128"};

PyObject *where_text(PyObject *name, const char *what, Py_ssize_t index, PyObject *type) {
    return PyUnicode_FromFormat("%U: %s %zd (%S)", name, what, index, type);
}

static void store_bits(wasmtime_val_raw_t *slot, enum kind kind, uint64_t bits) {
    if (kind == KIND_I32 || kind == KIND_F32)
        slot->i32 = (int32_t)(uint32_t)bits;
    else
        slot->i64 = (int64_t)bits;
}

/* An exact int of more than a digit, in the range of its kind. */
static int pack_large_int(enum kind kind, PyObject *value, wasmtime_val_raw_t *slot) {
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow || (kind == KIND_I32 && (number < INT32_MIN || number > (long long)UINT32_MAX)))
        return 0;
    if (kind == KIND_I32)
        slot->i32 = (int32_t)number;
    else
        slot->i64 = number;
    return 1;
}

int pack_by_the_rules(
    Signature *sig, enum kind kind, PyObject *value, wasmtime_val_raw_t *slot, PyObject *name, const char *what,
    Py_ssize_t index) {
    if (PyLong_CheckExact(value) && (kind == KIND_I32 || kind == KIND_I64) && pack_large_int(kind, value, slot))
        return 0;
    PyObject *types = *what == 'a' ? sig->param_types : sig->result_types;
    PyObject *where = where_text(name, what, index, PyTuple_GET_ITEM(types, index));
    if (!where)
        return -1;
    PyObject *held = PyObject_CallFunction(sig->state->number, "OsO", value, KIND_NAMES[kind], where);
    Py_DECREF(where);
    if (!held)
        return -1;
    PyObject *bits = NULL;
    if (kind != KIND_V128 && !PyFloat_Check(value) && !PyLong_Check(value)) {
        bits = PyObject_GetAttrString(value, "_bits"); /* a WasmValue: bit for bit, NaNs included */
        if (!bits)
            PyErr_Clear();
    }
    int result = 0;
    if (bits && PyLong_Check(bits)) {
        store_bits(slot, kind, PyLong_AsUnsignedLongLongMask(bits));
    } else {
        switch (kind) {
        case KIND_I32: slot->i32 = (int32_t)PyLong_AsLong(held); break;
        case KIND_I64: slot->i64 = PyLong_AsLongLong(held); break;
        case KIND_F32: slot->f32 = (float)PyFloat_AsDouble(held); break;
        case KIND_F64: slot->f64 = PyFloat_AsDouble(held); break;
        default:
            if (PyBytes_Check(held) && PyBytes_GET_SIZE(held) == 16)
                memcpy(slot->v128, PyBytes_AS_STRING(held), 16);
            else
                PyErr_SetString(PyExc_SystemError, "a vector that is not 16 bytes");
        }
        if (PyErr_Occurred())
            result = -1;
    }
    Py_XDECREF(bits);
    Py_DECREF(held);
    return result;
}

/* ---- The Python type ---- */

PyDoc_STRVAR(signature_doc, "Signature(params, results, param_kinds, result_kinds)\n--\n\nA function type, resolved.");

static int read_kinds(PyObject *types, Py_buffer *kinds, unsigned char **out, char *plain) {
    if (!PyTuple_Check(types) || PyTuple_GET_SIZE(types) != kinds->len) {
        PyErr_SetString(PyExc_ValueError, "expected one kind for each type");
        return -1;
    }
    *out = PyMem_Malloc(kinds->len ? (size_t)kinds->len : 1);
    if (!*out) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t i = 0; i < kinds->len; i++) {
        (*out)[i] = ((unsigned char *)kinds->buf)[i];
        if ((*out)[i] > KIND_OTHER) {
            PyErr_SetString(PyExc_ValueError, "unknown kind");
            return -1;
        }
        if ((*out)[i] > KIND_V128)
            *plain = 0;
    }
    return 0;
}

static PyObject *signature_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    PyObject *params, *results;
    Py_buffer param_kinds = {0}, result_kinds = {0};
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OOy*y*", &params, &results, &param_kinds, &result_kinds))
        return NULL;
    Signature *self = (Signature *)type->tp_alloc(type, 0);
    if (self) {
        self->state = state_of_type(type);
        self->plain = 1;
        if (read_kinds(params, &param_kinds, &self->params, &self->plain) < 0 ||
            read_kinds(results, &result_kinds, &self->results, &self->plain) < 0) {
            Py_CLEAR(self);
        } else {
            self->param_types = Py_NewRef(params);
            self->result_types = Py_NewRef(results);
            self->nparams = param_kinds.len;
            self->nresults = result_kinds.len;
            self->slots = self->nparams > self->nresults ? self->nparams : self->nresults;
        }
    }
    PyBuffer_Release(&param_kinds);
    PyBuffer_Release(&result_kinds);
    return (PyObject *)self;
}

static int signature_traverse(Signature *self, visitproc visit, void *arg) {
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->param_types);
    Py_VISIT(self->result_types);
    return 0;
}

static void signature_dealloc(Signature *self) {
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    PyMem_Free(self->params);
    PyMem_Free(self->results);
    Py_XDECREF(self->param_types);
    Py_XDECREF(self->result_types);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMemberDef signature_members[] = {
    {"plain", T_BOOL, offsetof(Signature, plain), READONLY, NULL},
    {"params", T_OBJECT, offsetof(Signature, param_types), READONLY, NULL},
    {"results", T_OBJECT, offsetof(Signature, result_types), READONLY, NULL},
    {NULL},
};

static PyType_Slot signature_slots[] = {
    {Py_tp_doc, (void *)signature_doc},
    {Py_tp_new, signature_new},
    {Py_tp_traverse, signature_traverse},
    {Py_tp_dealloc, signature_dealloc},
    {Py_tp_members, signature_members},
    {0, NULL},
};

PyType_Spec signature_spec = {
    "wasmtime_rt._accel.Signature", sizeof(Signature), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC, signature_slots,
};
