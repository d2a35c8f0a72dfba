/* Handles of what lives in a store, and the values that cross its border.
 *
 * Handles are plain numbers: copying one copies nothing, using one with another store aborts.
 * `store_id` is 0 in a null reference. Reference structs other than functions are owned roots.
 */
#ifndef WASMTIME_RT_WASMTIME_VALUES_H
#define WASMTIME_RT_WASMTIME_VALUES_H

#include "store.h"

/* ---- Handles ---- */

typedef struct wasmtime_tag {
    struct {
        uint64_t store_id;
        uint32_t __private1;
    };
    uint32_t __private2;
} wasmtime_tag_t;

typedef struct wasmtime_sharedmemory wasmtime_sharedmemory_t;

#define WASMTIME_EXTERN_FUNC 0
#define WASMTIME_EXTERN_GLOBAL 1
#define WASMTIME_EXTERN_TABLE 2
#define WASMTIME_EXTERN_MEMORY 3
#define WASMTIME_EXTERN_SHAREDMEMORY 4
#define WASMTIME_EXTERN_TAG 5

typedef struct wasmtime_func {
    uint64_t store_id;
    void *__private;
} wasmtime_func_t;

typedef struct wasmtime_table {
    struct {
        uint64_t store_id;
        uint32_t __private1;
    };
    uint32_t __private2;
} wasmtime_table_t;

typedef struct wasmtime_memory {
    struct {
        uint64_t store_id;
        uint32_t __private1;
    };
    uint32_t __private2;
} wasmtime_memory_t;

typedef struct wasmtime_global {
    uint64_t store_id;
    uint32_t __private1;
    uint32_t __private2;
    uint32_t __private3;
} wasmtime_global_t;

typedef uint8_t wasmtime_extern_kind_t;

typedef union wasmtime_extern_union {
    wasmtime_func_t func;
    wasmtime_global_t global;
    wasmtime_table_t table;
    wasmtime_memory_t memory;
    struct wasmtime_sharedmemory *sharedmemory;
    wasmtime_tag_t tag;
} wasmtime_extern_union_t;

typedef struct wasmtime_extern {
    wasmtime_extern_kind_t kind;
    wasmtime_extern_union_t of;
} wasmtime_extern_t;

/* ---- Values. Arguments and results of unchecked calls share one array of raw values ---- */

#define WASMTIME_I32 0
#define WASMTIME_I64 1
#define WASMTIME_F32 2
#define WASMTIME_F64 3
#define WASMTIME_V128 4
#define WASMTIME_FUNCREF 5
#define WASMTIME_EXTERNREF 6
#define WASMTIME_ANYREF 7
#define WASMTIME_EXNREF 8

typedef uint8_t wasmtime_valkind_t;
typedef uint8_t wasmtime_v128[16];

typedef struct wasmtime_anyref {
    uint64_t store_id;
    uint32_t __private1;
    uint32_t __private2;
    void *__private3;
} wasmtime_anyref_t;

typedef struct wasmtime_exnref {
    uint64_t store_id;
    uint32_t __private1;
    uint32_t __private2;
    void *__private3;
} wasmtime_exnref_t;

typedef struct wasmtime_externref {
    uint64_t store_id;
    uint32_t __private1;
    uint32_t __private2;
    void *__private3;
} wasmtime_externref_t;

typedef struct wasmtime_eqref {
    uint64_t store_id;
    uint32_t __private1;
    uint32_t __private2;
    void *__private3;
} wasmtime_eqref_t;

typedef struct wasmtime_structref {
    uint64_t store_id;
    uint32_t __private1;
    uint32_t __private2;
    void *__private3;
} wasmtime_structref_t;

typedef struct wasmtime_arrayref {
    uint64_t store_id;
    uint32_t __private1;
    uint32_t __private2;
    void *__private3;
} wasmtime_arrayref_t;

typedef union wasmtime_valunion {
    int32_t i32;
    int64_t i64;
    float32_t f32;
    float64_t f64;
    wasmtime_anyref_t anyref;
    wasmtime_externref_t externref;
    wasmtime_exnref_t exnref;
    wasmtime_func_t funcref;
    wasmtime_v128 v128;
} wasmtime_valunion_t;

typedef union wasmtime_val_raw {
    int32_t i32;
    int64_t i64;
    float32_t f32;
    float64_t f64;
    wasmtime_v128 v128;
    uint32_t anyref;
    uint32_t externref;
    uint32_t exnref;
    void *funcref;
} wasmtime_val_raw_t;

typedef struct wasmtime_val {
    wasmtime_valkind_t kind;
    wasmtime_valunion_t of;
} wasmtime_val_t;

void wasmtime_val_unroot(wasmtime_val_t *val);
void wasmtime_val_clone(const wasmtime_val_t *src, wasmtime_val_t *dst);

#endif
