/* The floor of the benchmarks: what a call costs in C that was written for one signature only.
 *
 * Each method knows its signature by heart. It converts its arguments with CPython's own functions, drops
 * the GIL, calls the engine, and converts the result. It checks what the conversions check and no more:
 * no store guard, no look at the stack, no error types. The second half are the same loops without
 * Python in them, timed in here.
 */
#define PY_SSIZE_T_CLEAN
#define _POSIX_C_SOURCE 200809L
#include <Python.h>
#include <string.h>
#include <time.h>

#include <wasmtime.h>

typedef struct {
    PyObject_HEAD
    wasm_engine_t *engine;
    wasmtime_module_t *module;
    wasmtime_store_t *store;
    wasmtime_context_t *context;
    wasm_functype_t *host_type;
    wasmtime_instance_pre_t *prepared; /* the module with its import, where the kind asks for that */
    PyObject *host;          /* the Python function behind env.h, or NULL */
    wasmtime_func_t f, g;    /* the exports of these names */
    wasmtime_memory_t memory;
} Program;

static PyObject *Trap;

/* ---- Failures: the only path that may be slow */

static PyObject *raise_failure(wasmtime_error_t *error, wasm_trap_t *trap) {
    wasm_byte_vec_t text;
    if (error) {
        wasmtime_error_message(error, &text);
        wasmtime_error_delete(error);
    } else {
        wasm_trap_message(trap, &text);
        wasm_trap_delete(trap);
    }
    if (!PyErr_Occurred()) { /* else a host function raised, and that is the news */
        PyObject *message = PyUnicode_DecodeUTF8(text.data, (Py_ssize_t)text.size, "replace");
        if (message) {
            PyErr_SetObject(Trap, message);
            Py_DECREF(message);
        }
    }
    wasm_byte_vec_delete(&text);
    return NULL;
}

/* Run a function with the GIL dropped; true where it failed, with an exception. */
static inline int run(Program *self, const wasmtime_func_t *func, wasmtime_val_raw_t *slots, size_t count) {
    wasm_trap_t *trap = NULL;
    PyThreadState *state = PyEval_SaveThread();
    wasmtime_error_t *error = wasmtime_func_call_unchecked(self->context, func, slots, count, &trap);
    PyEval_RestoreThread(state);
    if (error || trap) {
        raise_failure(error, trap);
        return 1;
    }
    return 0;
}

static inline int run_held(Program *self, const wasmtime_func_t *func, wasmtime_val_raw_t *slots, size_t count) {
    wasm_trap_t *trap = NULL;
    wasmtime_error_t *error = wasmtime_func_call_unchecked(self->context, func, slots, count, &trap);
    if (error || trap) {
        raise_failure(error, trap);
        return 1;
    }
    return 0;
}

static inline int as_i32(PyObject *value, int32_t *out) {
    long number = PyLong_AsLong(value);
    if (number == -1 && PyErr_Occurred())
        return -1;
    if (number != (int32_t)number) {
        PyErr_SetString(PyExc_OverflowError, "not an i32");
        return -1;
    }
    *out = (int32_t)number;
    return 0;
}

static inline int as_f64(PyObject *value, double *out) {
    *out = PyFloat_AsDouble(value);
    return *out == -1.0 && PyErr_Occurred() ? -1 : 0;
}

static PyObject *wrong_count(void) {
    PyErr_SetString(PyExc_TypeError, "wrong number of arguments");
    return NULL;
}

/* ---- Callbacks: (i32, i32) -> i32 */

static inline wasm_trap_t *call_host(Program *self, wasmtime_val_raw_t *slots) {
    static const char message[] = "a host function raised";
    PyObject *args[3] = {NULL, PyLong_FromLong(slots[0].i32), PyLong_FromLong(slots[1].i32)};
    PyObject *result = NULL;
    int failed = 1;
    if (args[1] && args[2])
        result = PyObject_Vectorcall(self->host, args + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    if (result) {
        failed = as_i32(result, &slots[0].i32) < 0;
        Py_DECREF(result);
    }
    Py_XDECREF(args[1]);
    Py_XDECREF(args[2]);
    return failed ? wasmtime_trap_new(message, sizeof message - 1) : NULL;
}

static wasm_trap_t *host(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *slots, size_t count) {
    (void)caller, (void)count;
    PyGILState_STATE state = PyGILState_Ensure();
    wasm_trap_t *trap = call_host(env, slots);
    PyGILState_Release(state);
    return trap;
}

static wasm_trap_t *host_held(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *slots, size_t count) {
    (void)caller, (void)count;
    return call_host(env, slots);
}

/* The same without Python: for the loops in C. */
static wasm_trap_t *host_c(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *slots, size_t count) {
    (void)env, (void)caller, (void)slots, (void)count;
    return NULL; /* the first argument is where the result goes */
}

static wasm_trap_t *host_nested(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *slots, size_t count) {
    Program *self = env;
    wasm_trap_t *trap = NULL;
    (void)count;
    wasmtime_error_t *error =
        wasmtime_func_call_unchecked(wasmtime_caller_context(caller), &self->g, slots, 2, &trap);
    if (error)
        wasmtime_error_delete(error);
    return trap;
}

/* ---- Making one */

static wasmtime_func_unchecked_callback_t callback_of(const char *kind) {
    return strcmp(kind, "held") == 0         ? host_held
           : strcmp(kind, "c") == 0          ? host_c
           : strcmp(kind, "c prepared") == 0 ? host_c
           : strcmp(kind, "nested") == 0     ? host_nested
                                             : host;
}

static int find(wasmtime_context_t *context, const wasmtime_instance_t *instance, const char *name,
                wasmtime_extern_kind_t kind, wasmtime_extern_t *out) {
    return wasmtime_instance_export_get(context, instance, name, strlen(name), out) && out->kind == kind;
}

/* Bring a module to life in a store, with env.h as its only import where it has one. */
static int instantiate(Program *self, wasmtime_context_t *context, wasmtime_func_unchecked_callback_t callback,
                       wasmtime_instance_t *instance, wasmtime_error_t **error, wasm_trap_t **trap) {
    wasmtime_extern_t import = {.kind = WASMTIME_EXTERN_FUNC};
    *trap = NULL;
    if (self->prepared) {
        *error = wasmtime_instance_pre_instantiate(self->prepared, context, instance, trap);
        return *error || *trap ? -1 : 0;
    }
    if (callback)
        wasmtime_func_new_unchecked(context, self->host_type, callback, self, NULL, &import.of.func);
    *error = wasmtime_instance_new(context, self->module, &import, callback ? 1 : 0, instance, trap);
    return *error || *trap ? -1 : 0;
}

static wasm_functype_t *host_type(void) {
    wasm_valtype_t *params[2] = {wasm_valtype_new(WASM_I32), wasm_valtype_new(WASM_I32)};
    wasm_valtype_t *results[1] = {wasm_valtype_new(WASM_I32)};
    wasm_valtype_vec_t inputs, outputs;
    wasm_valtype_vec_new(&inputs, 2, params);
    wasm_valtype_vec_new(&outputs, 1, results);
    return wasm_functype_new(&inputs, &outputs);
}

/* Let a linker find env.h once for all instances. */
static wasmtime_error_t *prepare(Program *self, wasmtime_func_unchecked_callback_t callback) {
    wasmtime_linker_t *linker = wasmtime_linker_new(self->engine);
    wasmtime_error_t *error = wasmtime_linker_define_func_unchecked(
        linker, "env", 3, "h", 1, self->host_type, callback, self, NULL);
    if (!error)
        error = wasmtime_linker_instantiate_pre(linker, self->module, &self->prepared);
    wasmtime_linker_delete(linker);
    return error;
}

static wasm_engine_t *pooled_engine(void) {
    wasm_config_t *config = wasm_config_new();
    wasmtime_pooling_allocation_config_t *sizes = wasmtime_pooling_allocation_config_new();
    wasmtime_pooling_allocation_strategy_set(config, sizes);
    wasmtime_pooling_allocation_config_delete(sizes);
    return wasm_engine_new_with_config(config);
}

static int program_init(Program *self, PyObject *args, PyObject *kwargs) {
    static char *names[] = {"wasm", "host", "kind", NULL};
    const char *wasm, *kind = "";
    Py_ssize_t size;
    PyObject *function = NULL;
    wasmtime_instance_t instance;
    wasmtime_extern_t item;
    wasm_trap_t *trap = NULL;
    if (self->engine) {
        PyErr_SetString(PyExc_TypeError, "made already");
        return -1;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "y#|Os", names, &wasm, &size, &function, &kind))
        return -1;
    self->host = Py_XNewRef(function);
    self->engine = strstr(kind, "pooled") ? pooled_engine() : wasm_engine_new();
    self->host_type = host_type();
    wasmtime_error_t *error = wasmtime_module_new(self->engine, (const uint8_t *)wasm, (size_t)size, &self->module);
    if (error) {
        raise_failure(error, NULL);
        return -1;
    }
    self->store = wasmtime_store_new(self->engine, NULL, NULL);
    self->context = wasmtime_store_context(self->store);
    wasmtime_func_unchecked_callback_t callback = function ? callback_of(kind) : NULL;
    if (strstr(kind, "prepared") && (error = prepare(self, callback))) {
        raise_failure(error, NULL);
        return -1;
    }
    if (instantiate(self, self->context, callback, &instance, &error, &trap) < 0) {
        raise_failure(error, trap);
        return -1;
    }
    if (find(self->context, &instance, "f", WASMTIME_EXTERN_FUNC, &item))
        self->f = item.of.func;
    if (find(self->context, &instance, "g", WASMTIME_EXTERN_FUNC, &item))
        self->g = item.of.func;
    if (find(self->context, &instance, "memory", WASMTIME_EXTERN_MEMORY, &item))
        self->memory = item.of.memory;
    return 0;
}

static void program_dealloc(Program *self) {
    PyTypeObject *type = Py_TYPE(self);
    if (self->store)
        wasmtime_store_delete(self->store);
    if (self->prepared)
        wasmtime_instance_pre_delete(self->prepared);
    if (self->module)
        wasmtime_module_delete(self->module);
    if (self->host_type)
        wasm_functype_delete(self->host_type);
    if (self->engine)
        wasm_engine_delete(self->engine);
    Py_XDECREF(self->host);
    type->tp_free(self);
    Py_DECREF(type);
}

/* ---- Calls, one method for each signature */

#define METHOD(name) static PyObject *name(Program *self, PyObject *const *args, Py_ssize_t nargs)
#define EXPECT(count) \
    if (nargs != (count)) \
    return wrong_count()

METHOD(nop) {
    wasmtime_val_raw_t slots[1];
    (void)args;
    EXPECT(0);
    if (run(self, &self->f, slots, 0))
        return NULL;
    Py_RETURN_NONE;
}

METHOD(add_i32) {
    wasmtime_val_raw_t slots[2];
    EXPECT(2);
    if (as_i32(args[0], &slots[0].i32) < 0 || as_i32(args[1], &slots[1].i32) < 0 || run(self, &self->f, slots, 2))
        return NULL;
    return PyLong_FromLong(slots[0].i32);
}

METHOD(add_i32_held) {
    wasmtime_val_raw_t slots[2];
    EXPECT(2);
    if (as_i32(args[0], &slots[0].i32) < 0 || as_i32(args[1], &slots[1].i32) < 0 ||
        run_held(self, &self->f, slots, 2))
        return NULL;
    return PyLong_FromLong(slots[0].i32);
}

METHOD(nested_add) {
    wasmtime_val_raw_t slots[2];
    EXPECT(2);
    if (as_i32(args[0], &slots[0].i32) < 0 || as_i32(args[1], &slots[1].i32) < 0 || run(self, &self->g, slots, 2))
        return NULL;
    return PyLong_FromLong(slots[0].i32);
}

METHOD(eight_f64) {
    wasmtime_val_raw_t slots[8];
    EXPECT(8);
    if (as_f64(args[0], &slots[0].f64) < 0 || as_f64(args[1], &slots[1].f64) < 0 ||
        as_f64(args[2], &slots[2].f64) < 0 || as_f64(args[3], &slots[3].f64) < 0 ||
        as_f64(args[4], &slots[4].f64) < 0 || as_f64(args[5], &slots[5].f64) < 0 ||
        as_f64(args[6], &slots[6].f64) < 0 || as_f64(args[7], &slots[7].f64) < 0 || run(self, &self->f, slots, 8))
        return NULL;
    return PyFloat_FromDouble(slots[0].f64);
}

METHOD(v128) {
    wasmtime_val_raw_t slots[1];
    EXPECT(1);
    if (!PyBytes_Check(args[0]) || PyBytes_GET_SIZE(args[0]) != 16) {
        PyErr_SetString(PyExc_TypeError, "expected 16 bytes");
        return NULL;
    }
    memcpy(slots[0].v128, PyBytes_AS_STRING(args[0]), 16);
    if (run(self, &self->f, slots, 1))
        return NULL;
    return PyBytes_FromStringAndSize((const char *)slots[0].v128, 16);
}

static void drop_object(void *object) {
    PyGILState_STATE state = PyGILState_Ensure();
    Py_DECREF((PyObject *)object);
    PyGILState_Release(state);
}

METHOD(externref) {
    wasmtime_val_raw_t slots[1];
    wasmtime_externref_t given, got;
    EXPECT(1);
    Py_INCREF(args[0]);
    if (!wasmtime_externref_new(self->context, args[0], drop_object, &given)) {
        PyErr_NoMemory();
        return NULL;
    }
    slots[0].externref = wasmtime_externref_to_raw(self->context, &given);
    int failed = run(self, &self->f, slots, 1);
    wasmtime_externref_unroot(&given);
    if (failed)
        return NULL;
    wasmtime_externref_from_raw(self->context, slots[0].externref, &got);
    PyObject *result = Py_NewRef((PyObject *)wasmtime_externref_data(self->context, &got));
    wasmtime_externref_unroot(&got);
    return result;
}

METHOD(multi_value) {
    wasmtime_val_raw_t slots[4];
    double small;
    EXPECT(4);
    if (as_i32(args[0], &slots[0].i32) < 0)
        return NULL;
    slots[1].i64 = PyLong_AsLongLong(args[1]);
    if (slots[1].i64 == -1 && PyErr_Occurred())
        return NULL;
    if (as_f64(args[2], &small) < 0 || as_f64(args[3], &slots[3].f64) < 0)
        return NULL;
    slots[2].f32 = (float)small;
    if (run(self, &self->f, slots, 4))
        return NULL;
    PyObject *items[4] = {
        PyFloat_FromDouble(slots[0].f64), PyFloat_FromDouble(slots[1].f32), PyLong_FromLongLong(slots[2].i64),
        PyLong_FromLong(slots[3].i32)};
    PyObject *result = items[0] && items[1] && items[2] && items[3] ? PyTuple_New(4) : NULL;
    for (int i = 0; i < 4; i++) {
        if (result)
            PyTuple_SET_ITEM(result, i, items[i]);
        else
            Py_XDECREF(items[i]);
    }
    return result;
}

/* f(n): one i32 in and out. */
METHOD(loop) {
    wasmtime_val_raw_t slots[1];
    EXPECT(1);
    if (as_i32(args[0], &slots[0].i32) < 0 || run(self, &self->f, slots, 1))
        return NULL;
    return PyLong_FromLong(slots[0].i32);
}

METHOD(loop_held) {
    wasmtime_val_raw_t slots[1];
    EXPECT(1);
    if (as_i32(args[0], &slots[0].i32) < 0 || run_held(self, &self->f, slots, 1))
        return NULL;
    return PyLong_FromLong(slots[0].i32);
}

METHOD(map) {
    Py_buffer x, out;
    EXPECT(2);
    if (PyObject_GetBuffer(args[0], &x, PyBUF_SIMPLE) < 0)
        return NULL;
    if (PyObject_GetBuffer(args[1], &out, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&x);
        return NULL;
    }
    size_t rows = (size_t)x.len / sizeof(double);
    wasmtime_error_t *error = NULL;
    wasm_trap_t *trap = NULL;
    if (out.len == x.len) {
        const double *from = x.buf;
        double *to = out.buf;
        PyThreadState *state = PyEval_SaveThread();
        for (size_t i = 0; i < rows && !error && !trap; i++) {
            wasmtime_val_raw_t slot = {.f64 = from[i]};
            error = wasmtime_func_call_unchecked(self->context, &self->f, &slot, 1, &trap);
            to[i] = slot.f64;
        }
        PyEval_RestoreThread(state);
        if (error || trap)
            raise_failure(error, trap);
    } else {
        PyErr_SetString(PyExc_ValueError, "columns of two lengths");
    }
    PyBuffer_Release(&x);
    PyBuffer_Release(&out);
    if (PyErr_Occurred())
        return NULL;
    Py_RETURN_NONE;
}

/* ---- A new store, a host function, an instance */

static wasmtime_error_t *fresh(Program *self, wasmtime_func_unchecked_callback_t callback, int use, int32_t *answer,
                               wasm_trap_t **trap) {
    wasmtime_store_t *store = wasmtime_store_new(self->engine, NULL, NULL);
    wasmtime_context_t *context = wasmtime_store_context(store);
    wasmtime_instance_t instance;
    wasmtime_error_t *error;
    wasmtime_extern_t item;
    wasmtime_val_raw_t slots[1] = {{.i32 = *answer}};
    if (instantiate(self, context, callback, &instance, &error, trap) == 0 && use &&
        find(context, &instance, "f", WASMTIME_EXTERN_FUNC, &item)) {
        error = wasmtime_func_call_unchecked(context, &item.of.func, slots, 1, trap);
        *answer = slots[0].i32;
    }
    wasmtime_store_delete(store);
    return error;
}

static PyObject *make_fresh(Program *self, int use, int32_t *answer) {
    wasm_trap_t *trap = NULL;
    PyThreadState *state = PyEval_SaveThread();
    wasmtime_error_t *error = fresh(self, host, use, answer, &trap);
    PyEval_RestoreThread(state);
    if (error || trap)
        return raise_failure(error, trap);
    Py_RETURN_NONE;
}

METHOD(make) {
    int32_t unused = 0;
    (void)args;
    EXPECT(0);
    return make_fresh(self, 0, &unused);
}

METHOD(make_and_run) {
    int32_t number;
    EXPECT(1);
    if (as_i32(args[0], &number) < 0)
        return NULL;
    PyObject *done = make_fresh(self, 1, &number);
    Py_XDECREF(done);
    return done ? PyLong_FromLong(number) : NULL;
}

/* ---- Memory: program[a:b] */

static int bounds(Program *self, PyObject *key, Py_ssize_t *start, Py_ssize_t *length) {
    Py_ssize_t stop, step;
    if (!PySlice_Check(key) || PySlice_Unpack(key, start, &stop, &step) < 0)
        return -1;
    size_t size = wasmtime_memory_data_size(self->context, &self->memory);
    *length = stop - *start;
    if (step != 1 || *start < 0 || *length < 0 || (size_t)stop > size) {
        PyErr_SetString(PyExc_IndexError, "not inside the memory");
        return -1;
    }
    return 0;
}

static PyObject *program_read(Program *self, PyObject *key) {
    Py_ssize_t start, length;
    if (bounds(self, key, &start, &length) < 0)
        return NULL;
    const uint8_t *data = wasmtime_memory_data(self->context, &self->memory);
    return PyBytes_FromStringAndSize((const char *)data + start, length);
}

static int program_write(Program *self, PyObject *key, PyObject *value) {
    Py_ssize_t start, length;
    if (bounds(self, key, &start, &length) < 0)
        return -1;
    if (!value || !PyBytes_Check(value) || PyBytes_GET_SIZE(value) != length) {
        PyErr_SetString(PyExc_TypeError, "expected bytes of that length");
        return -1;
    }
    uint8_t *data = wasmtime_memory_data(self->context, &self->memory);
    memcpy(data + start, PyBytes_AS_STRING(value), (size_t)length);
    return 0;
}

/* The whole round trip of a text in one go. */
METHOD(upper) {
    wasmtime_val_raw_t slots[2];
    Py_ssize_t length;
    EXPECT(1);
    const char *text = PyUnicode_AsUTF8AndSize(args[0], &length);
    if (!text)
        return NULL;
    if ((size_t)length > wasmtime_memory_data_size(self->context, &self->memory)) {
        PyErr_SetString(PyExc_IndexError, "too long");
        return NULL;
    }
    memcpy(wasmtime_memory_data(self->context, &self->memory), text, (size_t)length);
    slots[0].i32 = 0;
    slots[1].i32 = (int32_t)length;
    if (run(self, &self->f, slots, 2))
        return NULL;
    const uint8_t *data = wasmtime_memory_data(self->context, &self->memory);
    return PyUnicode_DecodeUTF8((const char *)data, length, NULL);
}

/* ---- The loops without Python: c_loop(workload, count) -> seconds. What is set up is not timed */

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

#define ROWS (1 << 20)
#define LARGE (1 << 20)
#define CALL(func, count) error = wasmtime_func_call_unchecked(context, &self->func, slots, (count), &trap)
/* The compiler must believe that what it points to is looked at. */
#define USED(pointer) __asm__ volatile("" : : "r"(pointer) : "memory")

typedef wasmtime_error_t *(*loop_function)(Program *self, long count, double *spent, wasm_trap_t **trap);

#define LOOP(name, ...) \
    static wasmtime_error_t *loop_##name(Program *self, long count, double *spent, wasm_trap_t **failed) { \
        wasmtime_context_t *context = self->context; \
        wasmtime_error_t *error = NULL; \
        wasm_trap_t *trap = NULL; \
        wasmtime_val_raw_t slots[8]; \
        (void)context, (void)slots; \
        double start = now(); \
        for (long i = 0; i < count && !error && !trap; i++) { \
            __VA_ARGS__ \
        } \
        *spent = now() - start; \
        *failed = trap; \
        return error; \
    }

LOOP(nop, CALL(f, 0);)
LOOP(add_i32, slots[0].i32 = 1; slots[1].i32 = 2; CALL(f, 2);)
LOOP(eight_f64, for (int j = 0; j < 8; j++) slots[j].f64 = j + 1; CALL(f, 8);)
LOOP(v128, memset(slots[0].v128, 1, 16); CALL(f, 1);)
LOOP(multi_value, slots[0].i32 = 1; slots[1].i64 = 2; slots[2].f32 = 3; slots[3].f64 = 4; CALL(f, 4);)
LOOP(host_callback, slots[0].i32 = 1000; CALL(f, 1);)
LOOP(trap, CALL(f, 0); if (trap) wasm_trap_delete(trap); trap = NULL;)
LOOP(externref, {
    wasmtime_externref_t given, got;
    if (!wasmtime_externref_new(context, self, NULL, &given))
        return wasmtime_error_new("no room");
    slots[0].externref = wasmtime_externref_to_raw(context, &given);
    CALL(f, 1);
    wasmtime_externref_unroot(&given);
    wasmtime_externref_from_raw(context, slots[0].externref, &got);
    USED(wasmtime_externref_data(context, &got));
    wasmtime_externref_unroot(&got);
})
LOOP(instantiate_fresh, {
    int32_t unused = 0;
    error = fresh(self, host_c, 0, &unused, &trap);
})
LOOP(memory_read_16, {
    uint8_t bytes[16];
    if (wasmtime_memory_data_size(context, &self->memory) >= 80)
        memcpy(bytes, wasmtime_memory_data(context, &self->memory) + 64, 16);
    USED(bytes);
})
LOOP(memory_write_16, {
    uint8_t bytes[16] = {1};
    USED(bytes);
    if (wasmtime_memory_data_size(context, &self->memory) >= 80)
        memcpy(wasmtime_memory_data(context, &self->memory) + 64, bytes, 16);
})

static wasmtime_error_t *copy_large(Program *self, long count, double *spent, int write) {
    uint8_t *bytes = malloc(LARGE);
    if (!bytes)
        return wasmtime_error_new("no room");
    memset(bytes, 1, LARGE);
    double start = now();
    for (long i = 0; i < count; i++) {
        uint8_t *data = wasmtime_memory_data(self->context, &self->memory) + 64;
        memcpy(write ? data : bytes, write ? bytes : data, LARGE);
        USED(bytes);
    }
    *spent = now() - start;
    free(bytes);
    return NULL;
}

static wasmtime_error_t *loop_memory_read_1m(Program *self, long count, double *spent, wasm_trap_t **failed) {
    (void)failed;
    return copy_large(self, count, spent, 0);
}

static wasmtime_error_t *loop_memory_write_1m(Program *self, long count, double *spent, wasm_trap_t **failed) {
    (void)failed;
    return copy_large(self, count, spent, 1);
}

#define TEXT "H\303\251llo, w\303\266rld! "
LOOP(string_round_trip, {
    static const char text[] = TEXT TEXT TEXT TEXT TEXT TEXT TEXT TEXT;
    char back[sizeof text];
    memcpy(wasmtime_memory_data(context, &self->memory), text, sizeof text - 1);
    slots[0].i32 = 0;
    slots[1].i32 = sizeof text - 1;
    CALL(f, 2);
    memcpy(back, wasmtime_memory_data(context, &self->memory), sizeof text - 1);
    USED(back);
})

/* One turn is one row of columns of a million rows, as the Python peers have them. */
static wasmtime_error_t *loop_map(Program *self, long count, double *spent, wasm_trap_t **failed) {
    double *x = malloc(ROWS * sizeof *x), *out = malloc(ROWS * sizeof *out);
    wasmtime_error_t *error = x && out ? NULL : wasmtime_error_new("no room");
    for (long i = 0; !error && i < ROWS; i++)
        x[i] = out[i] = (double)i;
    double start = now();
    for (long i = 0; i < count && !error && !*failed; i++) {
        wasmtime_val_raw_t slot = {.f64 = x[i & (ROWS - 1)]};
        error = wasmtime_func_call_unchecked(self->context, &self->f, &slot, 1, failed);
        out[i & (ROWS - 1)] = slot.f64;
    }
    *spent = now() - start;
    free(x);
    free(out);
    return error;
}

static const struct {
    const char *name;
    loop_function run;
} loops[] = {
    {"nop", loop_nop},
    {"add_i32", loop_add_i32},
    {"eight_f64", loop_eight_f64},
    {"v128", loop_v128},
    {"externref", loop_externref},
    {"multi_value", loop_multi_value},
    {"host_callback", loop_host_callback},
    {"nested_callback", loop_host_callback},
    {"trap", loop_trap},
    {"map", loop_map},
    {"instantiate_fresh", loop_instantiate_fresh},
    {"instantiate_no_memory", loop_instantiate_fresh},
    {"instantiate_prepared", loop_instantiate_fresh},
    {"instantiate_pooled", loop_instantiate_fresh},
    {"memory_read_16", loop_memory_read_16},
    {"memory_write_16", loop_memory_write_16},
    {"memory_read_1m", loop_memory_read_1m},
    {"memory_write_1m", loop_memory_write_1m},
    {"string_round_trip", loop_string_round_trip},
};

static PyObject *c_loop(Program *self, PyObject *args) {
    const char *name;
    long count;
    double spent = 0;
    wasm_trap_t *trap = NULL;
    if (!PyArg_ParseTuple(args, "sl", &name, &count))
        return NULL;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (strcmp(loops[i].name, name) == 0) {
            PyThreadState *state = PyEval_SaveThread();
            wasmtime_error_t *error = loops[i].run(self, count, &spent, &trap);
            PyEval_RestoreThread(state);
            return error || trap ? raise_failure(error, trap) : PyFloat_FromDouble(spent);
        }
    return PyErr_Format(PyExc_KeyError, "there is no loop for %s", name);
}

/* ---- The module */

#define FAST(name) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, NULL}

static PyMethodDef methods[] = {
    FAST(nop),
    FAST(add_i32),
    FAST(add_i32_held),
    FAST(nested_add),
    FAST(eight_f64),
    FAST(v128),
    FAST(externref),
    FAST(multi_value),
    FAST(loop),
    FAST(loop_held),
    FAST(map),
    FAST(make),
    FAST(make_and_run),
    FAST(upper),
    {"c_loop", (PyCFunction)c_loop, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots_of_program[] = {
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, program_init},
    {Py_tp_dealloc, program_dealloc},
    {Py_tp_methods, methods},
    {Py_mp_subscript, program_read},
    {Py_mp_ass_subscript, program_write},
    {0, NULL},
};

static PyType_Spec program_spec = {"floor.Program", sizeof(Program), 0, Py_TPFLAGS_DEFAULT, slots_of_program};

static PyObject *wat2wasm(PyObject *module, PyObject *text) {
    wasm_byte_vec_t bytes;
    Py_ssize_t length;
    (void)module;
    const char *wat = PyUnicode_AsUTF8AndSize(text, &length);
    if (!wat)
        return NULL;
    wasmtime_error_t *error = wasmtime_wat2wasm(wat, (size_t)length, &bytes);
    if (error)
        return raise_failure(error, NULL);
    PyObject *result = PyBytes_FromStringAndSize(bytes.data, (Py_ssize_t)bytes.size);
    wasm_byte_vec_delete(&bytes);
    return result;
}

static PyMethodDef functions[] = {
    {"wat2wasm", wat2wasm, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {PyModuleDef_HEAD_INIT, "wasm_floor", NULL, -1, functions, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_wasm_floor(void) {
    PyObject *module = PyModule_Create(&definition);
    PyObject *type = PyType_FromSpec(&program_spec);
    Trap = PyErr_NewException("floor.Trap", PyExc_RuntimeError, NULL);
    if (!module || !type || !Trap || PyModule_AddObjectRef(module, "Program", type) < 0 ||
        PyModule_AddObjectRef(module, "Trap", Trap) < 0)
        Py_CLEAR(module);
    Py_XDECREF(type);
    return module;
}
