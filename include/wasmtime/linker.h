/* Instances and linkers. A linker owns a callback handed to it at once, even when the call fails. */
#ifndef WASMTIME_RT_WASMTIME_LINKER_H
#define WASMTIME_RT_WASMTIME_LINKER_H

#include "extern.h"

/* ---- Instances ---- */

typedef struct wasmtime_instance {
    uint64_t store_id;
    size_t __private;
} wasmtime_instance_t;

wasmtime_error_t *wasmtime_instance_new(
    wasmtime_context_t *store, const wasmtime_module_t *module, const wasmtime_extern_t *imports,
    size_t nimports, wasmtime_instance_t *instance, wasm_trap_t **trap);
bool wasmtime_instance_export_get(
    wasmtime_context_t *store, const wasmtime_instance_t *instance, const char *name,
    size_t name_len, wasmtime_extern_t *item);
bool wasmtime_instance_export_nth(
    wasmtime_context_t *store, const wasmtime_instance_t *instance, size_t index, char **name,
    size_t *name_len, wasmtime_extern_t *item);
typedef struct wasmtime_instance_pre wasmtime_instance_pre_t;
void wasmtime_instance_pre_delete(wasmtime_instance_pre_t *instance_pre);
wasmtime_error_t *wasmtime_instance_pre_instantiate(
    const wasmtime_instance_pre_t *instance_pre, wasmtime_context_t *store,
    wasmtime_instance_t *instance, wasm_trap_t **trap_ptr);
wasmtime_module_t *wasmtime_instance_pre_module(const wasmtime_instance_pre_t *instance_pre);

/* ---- Linkers ---- */

typedef struct wasmtime_linker wasmtime_linker_t;
wasmtime_linker_t *wasmtime_linker_new(wasm_engine_t *engine);
wasmtime_linker_t *wasmtime_linker_clone(const wasmtime_linker_t *linker);
void wasmtime_linker_delete(wasmtime_linker_t *linker);
void wasmtime_linker_allow_shadowing(wasmtime_linker_t *linker, bool allow_shadowing);
wasmtime_error_t *wasmtime_linker_define_unknown_imports_as_traps(
    wasmtime_linker_t *linker, const wasmtime_module_t *module);
wasmtime_error_t *wasmtime_linker_define_unknown_imports_as_default_values(
    wasmtime_linker_t *linker, wasmtime_context_t *store, const wasmtime_module_t *module);
wasmtime_error_t *wasmtime_linker_define(
    wasmtime_linker_t *linker, wasmtime_context_t *store, const char *module, size_t module_len,
    const char *name, size_t name_len, const wasmtime_extern_t *item);
wasmtime_error_t *wasmtime_linker_define_func(
    wasmtime_linker_t *linker, const char *module, size_t module_len, const char *name,
    size_t name_len, const wasm_functype_t *ty, wasmtime_func_callback_t cb, void *data,
    void (*finalizer)(void *));
wasmtime_error_t *wasmtime_linker_define_func_unchecked(
    wasmtime_linker_t *linker, const char *module, size_t module_len, const char *name,
    size_t name_len, const wasm_functype_t *ty, wasmtime_func_unchecked_callback_t cb, void *data,
    void (*finalizer)(void *));
wasmtime_error_t *wasmtime_linker_define_wasi(wasmtime_linker_t *linker);
wasmtime_error_t *wasmtime_linker_define_instance(
    wasmtime_linker_t *linker, wasmtime_context_t *store, const char *name, size_t name_len,
    const wasmtime_instance_t *instance);
wasmtime_error_t *wasmtime_linker_instantiate(
    const wasmtime_linker_t *linker, wasmtime_context_t *store, const wasmtime_module_t *module,
    wasmtime_instance_t *instance, wasm_trap_t **trap);
wasmtime_error_t *wasmtime_linker_module(
    wasmtime_linker_t *linker, wasmtime_context_t *store, const char *name, size_t name_len,
    const wasmtime_module_t *module);
wasmtime_error_t *wasmtime_linker_get_default(
    const wasmtime_linker_t *linker, wasmtime_context_t *store, const char *name, size_t name_len,
    wasmtime_func_t *func);
bool wasmtime_linker_get(
    const wasmtime_linker_t *linker, wasmtime_context_t *store, const char *module,
    size_t module_len, const char *name, size_t name_len, wasmtime_extern_t *item);
wasmtime_error_t *wasmtime_linker_instantiate_pre(
    const wasmtime_linker_t *linker, const wasmtime_module_t *module,
    wasmtime_instance_pre_t **instance_pre);

#endif
