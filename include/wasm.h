/* The part of the generic WebAssembly C API that an embedding of Wasmtime 50.0.1 needs:
 * vectors, the configuration, the engine, reflection of types, traps and frames.
 *
 * Read by the compilers and, with the preprocessor lines dropped, by cffi: plain C declarations only.
 */
#ifndef WASMTIME_RT_WASM_H
#define WASMTIME_RT_WASM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Bytes and names: sized, owned by whoever holds the vector, not NUL-terminated ---- */

typedef char byte_t;
typedef float float32_t;
typedef double float64_t;
typedef byte_t wasm_byte_t;

typedef struct wasm_byte_vec_t {
    size_t size;
    wasm_byte_t *data;
} wasm_byte_vec_t;

void wasm_byte_vec_new_empty(wasm_byte_vec_t *out);
void wasm_byte_vec_new_uninitialized(wasm_byte_vec_t *out, size_t);
void wasm_byte_vec_new(wasm_byte_vec_t *out, size_t, const wasm_byte_t []);
void wasm_byte_vec_copy(wasm_byte_vec_t *out, const wasm_byte_vec_t *);
void wasm_byte_vec_delete(wasm_byte_vec_t *);
typedef wasm_byte_vec_t wasm_name_t;

/* ---- Configuration and engine. `wasm_engine_new_with_config` consumes the config and cannot
 * fail: a bad combination aborts the process ---- */

typedef struct wasm_config_t wasm_config_t;
void wasm_config_delete(wasm_config_t *);
wasm_config_t *wasm_config_new(void);
typedef struct wasm_engine_t wasm_engine_t;
void wasm_engine_delete(wasm_engine_t *);
wasm_engine_t *wasm_engine_new(void);
wasm_engine_t *wasm_engine_new_with_config(wasm_config_t *);

/* ---- Value types. `wasm_valtype_kind` aborts on v128 and on every reference other than nullable
 * extern and func: use `wasmtime_valtype_new` ---- */

typedef struct wasm_valtype_t wasm_valtype_t;
void wasm_valtype_delete(wasm_valtype_t *);

typedef struct wasm_valtype_vec_t {
    size_t size;
    wasm_valtype_t **data;
} wasm_valtype_vec_t;

void wasm_valtype_vec_new_empty(wasm_valtype_vec_t *out);
void wasm_valtype_vec_new_uninitialized(wasm_valtype_vec_t *out, size_t);
void wasm_valtype_vec_new(wasm_valtype_vec_t *out, size_t, wasm_valtype_t * const []);
void wasm_valtype_vec_copy(wasm_valtype_vec_t *out, const wasm_valtype_vec_t *);
void wasm_valtype_vec_delete(wasm_valtype_vec_t *);
wasm_valtype_t *wasm_valtype_copy(const wasm_valtype_t *);
typedef uint8_t wasm_valkind_t;

enum wasm_valkind_enum {
    WASM_I32,
    WASM_I64,
    WASM_F32,
    WASM_F64,
    WASM_EXTERNREF = 128,
    WASM_FUNCREF = 129
};

wasm_valtype_t *wasm_valtype_new(wasm_valkind_t);
wasm_valkind_t wasm_valtype_kind(const wasm_valtype_t *);

/* ---- Function types. `wasm_functype_new` empties both vectors ---- */

typedef struct wasm_functype_t wasm_functype_t;
void wasm_functype_delete(wasm_functype_t *);
wasm_functype_t *wasm_functype_copy(const wasm_functype_t *);
wasm_functype_t *wasm_functype_new(wasm_valtype_vec_t *params, wasm_valtype_vec_t *results);
const wasm_valtype_vec_t *wasm_functype_params(const wasm_functype_t *);
const wasm_valtype_vec_t *wasm_functype_results(const wasm_functype_t *);

/* ---- Global types. `wasm_globaltype_new` consumes the value type ---- */

typedef uint8_t wasm_mutability_t;

enum wasm_mutability_enum {
    WASM_CONST,
    WASM_VAR
};

typedef struct wasm_globaltype_t wasm_globaltype_t;
void wasm_globaltype_delete(wasm_globaltype_t *);
wasm_globaltype_t *wasm_globaltype_copy(const wasm_globaltype_t *);
wasm_globaltype_t *wasm_globaltype_new(wasm_valtype_t *, wasm_mutability_t);
const wasm_valtype_t *wasm_globaltype_content(const wasm_globaltype_t *);
wasm_mutability_t wasm_globaltype_mutability(const wasm_globaltype_t *);

/* ---- Limits, tables, memories. `wasm_*type_limits` aborts where a limit exceeds 32 bits ---- */

typedef struct wasm_limits_t {
    uint32_t min;
    uint32_t max;
} wasm_limits_t;

typedef struct wasm_tabletype_t wasm_tabletype_t;
void wasm_tabletype_delete(wasm_tabletype_t *);
wasm_tabletype_t *wasm_tabletype_copy(const wasm_tabletype_t *);
wasm_tabletype_t *wasm_tabletype_new(wasm_valtype_t *, const wasm_limits_t *);
const wasm_valtype_t *wasm_tabletype_element(const wasm_tabletype_t *);
const wasm_limits_t *wasm_tabletype_limits(const wasm_tabletype_t *);
typedef struct wasm_memorytype_t wasm_memorytype_t;
void wasm_memorytype_delete(wasm_memorytype_t *);
wasm_memorytype_t *wasm_memorytype_copy(const wasm_memorytype_t *);
wasm_memorytype_t *wasm_memorytype_new(const wasm_limits_t *);
const wasm_limits_t *wasm_memorytype_limits(const wasm_memorytype_t *);

/* ---- Tag types. `wasm_tagtype_new` consumes the function type ---- */

typedef struct wasm_tagtype_t wasm_tagtype_t;
void wasm_tagtype_delete(wasm_tagtype_t *);
wasm_tagtype_t *wasm_tagtype_copy(const wasm_tagtype_t *);
wasm_tagtype_t *wasm_tagtype_new(wasm_functype_t *);
const wasm_functype_t *wasm_tagtype_functype(const wasm_tagtype_t *);

/* ---- Extern types: borrowed conversions, never freed on their own ---- */

typedef struct wasm_externtype_t wasm_externtype_t;
void wasm_externtype_delete(wasm_externtype_t *);
wasm_externtype_t *wasm_externtype_copy(const wasm_externtype_t *);
typedef uint8_t wasm_externkind_t;

enum wasm_externkind_enum {
    WASM_EXTERN_FUNC,
    WASM_EXTERN_GLOBAL,
    WASM_EXTERN_TABLE,
    WASM_EXTERN_MEMORY,
    WASM_EXTERN_TAG
};

wasm_externkind_t wasm_externtype_kind(const wasm_externtype_t *);
wasm_externtype_t *wasm_functype_as_externtype(wasm_functype_t *);
wasm_externtype_t *wasm_globaltype_as_externtype(wasm_globaltype_t *);
wasm_externtype_t *wasm_tabletype_as_externtype(wasm_tabletype_t *);
wasm_externtype_t *wasm_memorytype_as_externtype(wasm_memorytype_t *);
wasm_externtype_t *wasm_tagtype_as_externtype(wasm_tagtype_t *);
wasm_functype_t *wasm_externtype_as_functype(wasm_externtype_t *);
wasm_globaltype_t *wasm_externtype_as_globaltype(wasm_externtype_t *);
wasm_tabletype_t *wasm_externtype_as_tabletype(wasm_externtype_t *);
wasm_memorytype_t *wasm_externtype_as_memorytype(wasm_externtype_t *);
wasm_tagtype_t *wasm_externtype_as_tagtype(wasm_externtype_t *);
const wasm_externtype_t *wasm_functype_as_externtype_const(const wasm_functype_t *);
const wasm_externtype_t *wasm_globaltype_as_externtype_const(const wasm_globaltype_t *);
const wasm_externtype_t *wasm_tabletype_as_externtype_const(const wasm_tabletype_t *);
const wasm_externtype_t *wasm_memorytype_as_externtype_const(const wasm_memorytype_t *);
const wasm_externtype_t *wasm_tagtype_as_externtype_const(const wasm_tagtype_t *);
const wasm_functype_t *wasm_externtype_as_functype_const(const wasm_externtype_t *);
const wasm_globaltype_t *wasm_externtype_as_globaltype_const(const wasm_externtype_t *);
const wasm_tabletype_t *wasm_externtype_as_tabletype_const(const wasm_externtype_t *);
const wasm_memorytype_t *wasm_externtype_as_memorytype_const(const wasm_externtype_t *);
const wasm_tagtype_t *wasm_externtype_as_tagtype_const(const wasm_externtype_t *);

/* ---- Import and export types ---- */

typedef struct wasm_importtype_t wasm_importtype_t;
void wasm_importtype_delete(wasm_importtype_t *);

typedef struct wasm_importtype_vec_t {
    size_t size;
    wasm_importtype_t **data;
} wasm_importtype_vec_t;

void wasm_importtype_vec_new_empty(wasm_importtype_vec_t *out);
void wasm_importtype_vec_new_uninitialized(wasm_importtype_vec_t *out, size_t);
void wasm_importtype_vec_new(wasm_importtype_vec_t *out, size_t, wasm_importtype_t * const []);
void wasm_importtype_vec_copy(wasm_importtype_vec_t *out, const wasm_importtype_vec_t *);
void wasm_importtype_vec_delete(wasm_importtype_vec_t *);
wasm_importtype_t *wasm_importtype_copy(const wasm_importtype_t *);
wasm_importtype_t *wasm_importtype_new(wasm_name_t *module, wasm_name_t *name, wasm_externtype_t *);
const wasm_name_t *wasm_importtype_module(const wasm_importtype_t *);
const wasm_name_t *wasm_importtype_name(const wasm_importtype_t *);
const wasm_externtype_t *wasm_importtype_type(const wasm_importtype_t *);
typedef struct wasm_exporttype_t wasm_exporttype_t;
void wasm_exporttype_delete(wasm_exporttype_t *);

typedef struct wasm_exporttype_vec_t {
    size_t size;
    wasm_exporttype_t **data;
} wasm_exporttype_vec_t;

void wasm_exporttype_vec_new_empty(wasm_exporttype_vec_t *out);
void wasm_exporttype_vec_new_uninitialized(wasm_exporttype_vec_t *out, size_t);
void wasm_exporttype_vec_new(wasm_exporttype_vec_t *out, size_t, wasm_exporttype_t * const []);
void wasm_exporttype_vec_copy(wasm_exporttype_vec_t *out, const wasm_exporttype_vec_t *);
void wasm_exporttype_vec_delete(wasm_exporttype_vec_t *);
wasm_exporttype_t *wasm_exporttype_copy(const wasm_exporttype_t *);
wasm_exporttype_t *wasm_exporttype_new(wasm_name_t *, wasm_externtype_t *);
const wasm_name_t *wasm_exporttype_name(const wasm_exporttype_t *);
const wasm_externtype_t *wasm_exporttype_type(const wasm_exporttype_t *);

/* ---- Traps and frames. A frame borrows its trap or error: free the frames first ---- */

typedef struct wasm_frame_t wasm_frame_t;
void wasm_frame_delete(wasm_frame_t *);

typedef struct wasm_frame_vec_t {
    size_t size;
    wasm_frame_t **data;
} wasm_frame_vec_t;

void wasm_frame_vec_new_empty(wasm_frame_vec_t *out);
void wasm_frame_vec_new_uninitialized(wasm_frame_vec_t *out, size_t);
void wasm_frame_vec_new(wasm_frame_vec_t *out, size_t, wasm_frame_t * const []);
void wasm_frame_vec_copy(wasm_frame_vec_t *out, const wasm_frame_vec_t *);
void wasm_frame_vec_delete(wasm_frame_vec_t *);
wasm_frame_t *wasm_frame_copy(const wasm_frame_t *);
uint32_t wasm_frame_func_index(const wasm_frame_t *);
size_t wasm_frame_func_offset(const wasm_frame_t *);
size_t wasm_frame_module_offset(const wasm_frame_t *);
typedef wasm_name_t wasm_message_t;
typedef struct wasm_trap_t wasm_trap_t;
void wasm_trap_delete(wasm_trap_t *);
void wasm_trap_message(const wasm_trap_t *, wasm_message_t *out);
wasm_frame_t *wasm_trap_origin(const wasm_trap_t *);
void wasm_trap_trace(const wasm_trap_t *, wasm_frame_vec_t *out);

#endif
