/* Types beyond the generic API: references, heap types, aggregates, 64-bit memories. */
#ifndef WASMTIME_RT_WASMTIME_TYPES_H
#define WASMTIME_RT_WASMTIME_TYPES_H

#include "error.h"

/* ---- Fields and structs ---- */

#define WASMTIME_STORAGE_TYPE_KIND_I8 0
#define WASMTIME_STORAGE_TYPE_KIND_I16 1
#define WASMTIME_STORAGE_TYPE_KIND_VALTYPE 2

typedef uint8_t wasmtime_storage_type_kind_t;

typedef struct wasmtime_storage_type {
    wasmtime_storage_type_kind_t kind;
    wasm_valtype_t *valtype;
} wasmtime_storage_type_t;

void wasmtime_storage_type_clone(
    const wasmtime_storage_type_t *storage, wasmtime_storage_type_t *out);
void wasmtime_storage_type_delete(wasmtime_storage_type_t *storage);

typedef struct wasmtime_field_type {
    bool mutable_;
    wasmtime_storage_type_t storage;
} wasmtime_field_type_t;

void wasmtime_field_type_clone(const wasmtime_field_type_t *field, wasmtime_field_type_t *out);
void wasmtime_field_type_delete(wasmtime_field_type_t *field);
typedef struct wasmtime_struct_type wasmtime_struct_type_t;
wasmtime_struct_type_t *wasmtime_struct_type_new(
    const wasm_engine_t *engine, const wasmtime_field_type_t *fields, size_t nfields);
wasmtime_struct_type_t *wasmtime_struct_type_copy(const wasmtime_struct_type_t *ty);
void wasmtime_struct_type_delete(wasmtime_struct_type_t *ty);
size_t wasmtime_struct_type_num_fields(const wasmtime_struct_type_t *ty);
bool wasmtime_struct_type_field(
    const wasmtime_struct_type_t *ty, size_t index, wasmtime_field_type_t *out);

/* ---- Arrays ---- */

typedef struct wasmtime_array_type wasmtime_array_type_t;
wasmtime_array_type_t *wasmtime_array_type_new(
    const wasm_engine_t *engine, const wasmtime_field_type_t *field);
wasmtime_array_type_t *wasmtime_array_type_copy(const wasmtime_array_type_t *ty);
void wasmtime_array_type_delete(wasmtime_array_type_t *ty);
void wasmtime_array_type_element(const wasmtime_array_type_t *ty, wasmtime_field_type_t *out);

/* ---- Exceptions ---- */

typedef struct wasmtime_exn_type wasmtime_exn_type_t;
wasmtime_error_t *wasmtime_exn_type_new(
    const wasm_engine_t *engine, const wasm_valtype_vec_t *params, wasmtime_exn_type_t **out);
void wasmtime_exn_type_delete(wasmtime_exn_type_t *ty);
wasmtime_exn_type_t *wasmtime_exn_type_copy(const wasmtime_exn_type_t *ty);
wasm_tagtype_t *wasmtime_exn_type_tag_type(const wasmtime_exn_type_t *ty);

/* ---- Heap types. Continuations have no kind here: converting one aborts ---- */

#define WASMTIME_HEAPTYPE_KIND_EXTERN 0
#define WASMTIME_HEAPTYPE_KIND_NOEXTERN 1
#define WASMTIME_HEAPTYPE_KIND_FUNC 2
#define WASMTIME_HEAPTYPE_KIND_CONCRETE_FUNC 3
#define WASMTIME_HEAPTYPE_KIND_NOFUNC 4
#define WASMTIME_HEAPTYPE_KIND_ANY 5
#define WASMTIME_HEAPTYPE_KIND_NONE 6
#define WASMTIME_HEAPTYPE_KIND_EQ 7
#define WASMTIME_HEAPTYPE_KIND_I31 8
#define WASMTIME_HEAPTYPE_KIND_ARRAY 9
#define WASMTIME_HEAPTYPE_KIND_CONCRETE_ARRAY 10
#define WASMTIME_HEAPTYPE_KIND_STRUCT 11
#define WASMTIME_HEAPTYPE_KIND_CONCRETE_STRUCT 12
#define WASMTIME_HEAPTYPE_KIND_EXN 13
#define WASMTIME_HEAPTYPE_KIND_CONCRETE_EXN 14
#define WASMTIME_HEAPTYPE_KIND_NOEXN 15

#define WASMTIME_VALTYPE_KIND_I32 0
#define WASMTIME_VALTYPE_KIND_I64 1
#define WASMTIME_VALTYPE_KIND_F32 2
#define WASMTIME_VALTYPE_KIND_F64 3
#define WASMTIME_VALTYPE_KIND_V128 4
#define WASMTIME_VALTYPE_KIND_REF 5

wasm_valtype_t *wasmtime_wasm_valtype_v128(void);
bool wasmtime_wasm_valtype_equal(const wasm_valtype_t *a, const wasm_valtype_t *b);
typedef uint8_t wasmtime_heaptype_kind_t;

typedef union wasmtime_heaptype_union {
    wasm_functype_t *concrete_func;
    wasmtime_array_type_t *concrete_array;
    wasmtime_struct_type_t *concrete_struct;
    wasmtime_exn_type_t *concrete_exn;
} wasmtime_heaptype_union_t;

typedef struct wasmtime_heaptype {
    wasmtime_heaptype_kind_t kind;
    wasmtime_heaptype_union_t of;
} wasmtime_heaptype_t;

void wasmtime_heaptype_clone(const wasmtime_heaptype_t *ty, wasmtime_heaptype_t *out);
void wasmtime_heaptype_delete(wasmtime_heaptype_t *ty);

typedef struct wasmtime_reftype {
    bool nullable;
    wasmtime_heaptype_t heaptype;
} wasmtime_reftype_t;

void wasmtime_reftype_clone(const wasmtime_reftype_t *ty, wasmtime_reftype_t *out);
void wasmtime_reftype_delete(wasmtime_reftype_t *ty);
typedef uint8_t wasmtime_valtype_kind_t;

typedef struct wasmtime_valtype {
    wasmtime_valtype_kind_t kind;
    wasmtime_reftype_t reftype;
} wasmtime_valtype_t;

void wasmtime_valtype_new(const wasm_valtype_t *ty, wasmtime_valtype_t *out);
void wasmtime_valtype_clone(const wasmtime_valtype_t *ty, wasmtime_valtype_t *out);
void wasmtime_valtype_delete(wasmtime_valtype_t *ty);
wasm_valtype_t *wasmtime_valtype_to_wasm(const wasm_engine_t *engine, const wasmtime_valtype_t *ty);

/* ---- Memory types. Limits are in pages of `1 << page_size_log2` bytes ---- */

wasmtime_error_t *wasmtime_memorytype_new(
    uint64_t min, bool max_present, uint64_t max, bool is_64, bool shared, uint8_t page_size_log2,
    wasm_memorytype_t **ret);
uint64_t wasmtime_memorytype_minimum(const wasm_memorytype_t *ty);
bool wasmtime_memorytype_maximum(const wasm_memorytype_t *ty, uint64_t *max);
bool wasmtime_memorytype_is64(const wasm_memorytype_t *ty);
bool wasmtime_memorytype_isshared(const wasm_memorytype_t *ty);
uint64_t wasmtime_memorytype_page_size(const wasm_memorytype_t *ty);
uint8_t wasmtime_memorytype_page_size_log2(const wasm_memorytype_t *ty);

#endif
