/* What modules import and export: functions, memories, globals, tables, tags. */
#ifndef WASMTIME_RT_WASMTIME_EXTERN_H
#define WASMTIME_RT_WASMTIME_EXTERN_H

#include "values.h"

/* ---- Any of them ---- */

void wasmtime_extern_delete(wasmtime_extern_t *val);
wasm_externtype_t *wasmtime_extern_type(wasmtime_context_t *context, const wasmtime_extern_t *val);

/* ---- Functions. `env` goes to its finalizer when the store dies, not when the function does ---- */

typedef struct wasmtime_caller wasmtime_caller_t;

typedef wasm_trap_t *(*wasmtime_func_callback_t)(
    void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args,
    size_t nargs, wasmtime_val_t *results, size_t nresults);

void wasmtime_func_new(
    wasmtime_context_t *store, const wasm_functype_t *type, wasmtime_func_callback_t callback,
    void *env, void (*finalizer)(void *), wasmtime_func_t *ret);

typedef wasm_trap_t *(*wasmtime_func_unchecked_callback_t)(
    void *env, wasmtime_caller_t *caller,
    wasmtime_val_raw_t *args_and_results, size_t num_args_and_results);

void wasmtime_func_new_unchecked(
    wasmtime_context_t *store, const wasm_functype_t *type,
    wasmtime_func_unchecked_callback_t callback, void *env, void (*finalizer)(void *),
    wasmtime_func_t *ret);
wasm_functype_t *wasmtime_func_type(const wasmtime_context_t *store, const wasmtime_func_t *func);
wasmtime_error_t *wasmtime_func_call(
    wasmtime_context_t *store, const wasmtime_func_t *func, const wasmtime_val_t *args,
    size_t nargs, wasmtime_val_t *results, size_t nresults, wasm_trap_t **trap);
wasmtime_error_t *wasmtime_func_call_unchecked(
    wasmtime_context_t *store, const wasmtime_func_t *func, wasmtime_val_raw_t *args_and_results,
    size_t args_and_results_len, wasm_trap_t **trap);
bool wasmtime_caller_export_get(
    wasmtime_caller_t *caller, const char *name, size_t name_len, wasmtime_extern_t *item);
wasmtime_context_t *wasmtime_caller_context(wasmtime_caller_t *caller);
void wasmtime_func_from_raw(wasmtime_context_t *context, void *raw, wasmtime_func_t *ret);
void *wasmtime_func_to_raw(wasmtime_context_t *context, const wasmtime_func_t *func);

/* ---- Memories ---- */

wasmtime_error_t *wasmtime_memory_new(
    wasmtime_context_t *store, const wasm_memorytype_t *ty, wasmtime_memory_t *ret);
wasm_memorytype_t *wasmtime_memory_type(
    const wasmtime_context_t *store, const wasmtime_memory_t *memory);
uint8_t *wasmtime_memory_data(wasmtime_context_t *store, const wasmtime_memory_t *memory);
size_t wasmtime_memory_data_size(const wasmtime_context_t *store, const wasmtime_memory_t *memory);
uint64_t wasmtime_memory_size(const wasmtime_context_t *store, const wasmtime_memory_t *memory);
wasmtime_error_t *wasmtime_memory_grow(
    wasmtime_context_t *store, const wasmtime_memory_t *memory, uint64_t delta,
    uint64_t *prev_size);
uint64_t wasmtime_memory_page_size(wasmtime_context_t *store, const wasmtime_memory_t *memory);
uint8_t wasmtime_memory_page_size_log2(wasmtime_context_t *store, const wasmtime_memory_t *memory);

/* ---- Shared memories: reference-counted, in no store ---- */

wasmtime_error_t *wasmtime_sharedmemory_new(
    const wasm_engine_t *engine, const wasm_memorytype_t *ty, wasmtime_sharedmemory_t **ret);
void wasmtime_sharedmemory_delete(wasmtime_sharedmemory_t *memory);
wasmtime_sharedmemory_t *wasmtime_sharedmemory_clone(const wasmtime_sharedmemory_t *memory);
wasm_memorytype_t *wasmtime_sharedmemory_type(const wasmtime_sharedmemory_t *memory);
uint8_t *wasmtime_sharedmemory_data(const wasmtime_sharedmemory_t *memory);
size_t wasmtime_sharedmemory_data_size(const wasmtime_sharedmemory_t *memory);
uint64_t wasmtime_sharedmemory_size(const wasmtime_sharedmemory_t *memory);
wasmtime_error_t *wasmtime_sharedmemory_grow(
    const wasmtime_sharedmemory_t *memory, uint64_t delta, uint64_t *prev_size);

/* ---- Globals ---- */

wasmtime_error_t *wasmtime_global_new(
    wasmtime_context_t *store, const wasm_globaltype_t *type, const wasmtime_val_t *val,
    wasmtime_global_t *ret);
wasm_globaltype_t *wasmtime_global_type(
    const wasmtime_context_t *store, const wasmtime_global_t *global);
void wasmtime_global_get(
    wasmtime_context_t *store, const wasmtime_global_t *global, wasmtime_val_t *out);
wasmtime_error_t *wasmtime_global_set(
    wasmtime_context_t *store, const wasmtime_global_t *global, const wasmtime_val_t *val);

/* ---- Tables ---- */

wasmtime_error_t *wasmtime_table_new(
    wasmtime_context_t *store, const wasm_tabletype_t *ty, const wasmtime_val_t *init,
    wasmtime_table_t *table);
wasm_tabletype_t *wasmtime_table_type(
    const wasmtime_context_t *store, const wasmtime_table_t *table);
bool wasmtime_table_get(
    wasmtime_context_t *store, const wasmtime_table_t *table, uint64_t index, wasmtime_val_t *val);
wasmtime_error_t *wasmtime_table_set(
    wasmtime_context_t *store, const wasmtime_table_t *table, uint64_t index,
    const wasmtime_val_t *value);
uint64_t wasmtime_table_size(const wasmtime_context_t *store, const wasmtime_table_t *table);
wasmtime_error_t *wasmtime_table_grow(
    wasmtime_context_t *store, const wasmtime_table_t *table, uint64_t delta,
    const wasmtime_val_t *init, uint64_t *prev_size);

/* ---- Tags ---- */

wasmtime_error_t *wasmtime_tag_new(
    wasmtime_context_t *store, const wasm_tagtype_t *tt, wasmtime_tag_t *ret);
wasm_tagtype_t *wasmtime_tag_type(const wasmtime_context_t *store, const wasmtime_tag_t *tag);
bool wasmtime_tag_eq(
    const wasmtime_context_t *store, const wasmtime_tag_t *a, const wasmtime_tag_t *b);

#endif
