/* Components, their instances and functions, and the linker that feeds them.
 *
 * A linker instance locks its parent until it is deleted.
 */
#ifndef WASMTIME_RT_WASMTIME_COMPONENT_H
#define WASMTIME_RT_WASMTIME_COMPONENT_H

#include "component_values.h"
#include "linker.h"
#include "async.h"

/* ---- Components ---- */

typedef struct wasmtime_component_t wasmtime_component_t;
wasmtime_error_t *wasmtime_component_new(
    const wasm_engine_t *engine, const uint8_t *buf, size_t len,
    wasmtime_component_t **component_out);
wasmtime_error_t *wasmtime_component_serialize(
    const wasmtime_component_t *component, wasm_byte_vec_t *ret);
wasmtime_error_t *wasmtime_component_deserialize(
    const wasm_engine_t *engine, const uint8_t *buf, size_t len,
    wasmtime_component_t **component_out);
wasmtime_error_t *wasmtime_component_deserialize_file(
    const wasm_engine_t *engine, const char *path, wasmtime_component_t **component_out);
wasmtime_component_t *wasmtime_component_clone(const wasmtime_component_t *component);
wasmtime_component_type_t *wasmtime_component_type(const wasmtime_component_t *component);
void wasmtime_component_delete(wasmtime_component_t *component);
typedef struct wasmtime_component_export_index_t wasmtime_component_export_index_t;
wasmtime_component_export_index_t *wasmtime_component_get_export_index(
    const wasmtime_component_t *component,
    const wasmtime_component_export_index_t *instance_export_index, const char *name,
    size_t name_len);
wasmtime_component_export_index_t *wasmtime_component_export_index_clone(
    const wasmtime_component_export_index_t *index);
void wasmtime_component_export_index_delete(wasmtime_component_export_index_t *export_index);

/* ---- Instances and functions ---- */

typedef struct wasmtime_component_func {
    struct {
        uint64_t store_id;
        uint32_t __private1;
    };
    uint32_t __private2;
    void *__private3;
} wasmtime_component_func_t;

wasmtime_component_func_type_t *wasmtime_component_func_type(
    const wasmtime_component_func_t *func, wasmtime_context_t *context);
wasmtime_error_t *wasmtime_component_func_call(
    const wasmtime_component_func_t *func, wasmtime_context_t *context,
    const wasmtime_component_val_t *args, size_t args_size, wasmtime_component_val_t *results,
    size_t results_size);
wasmtime_error_t *wasmtime_component_func_post_return(
    const wasmtime_component_func_t *func, wasmtime_context_t *context);
wasmtime_call_future_t *wasmtime_component_func_call_async(
    const wasmtime_component_func_t *func, wasmtime_context_t *context,
    const wasmtime_component_val_t *args, size_t args_size, wasmtime_component_val_t *results,
    size_t results_size, wasmtime_error_t **error_ret);
typedef struct wasmtime_component_instance {
    uint64_t store_id;
    uint32_t __private;
} wasmtime_component_instance_t;

wasmtime_component_export_index_t *wasmtime_component_instance_get_export_index(
    const wasmtime_component_instance_t *instance, wasmtime_context_t *context,
    const wasmtime_component_export_index_t *instance_export_index, const char *name,
    size_t name_len);
bool wasmtime_component_instance_get_func(
    const wasmtime_component_instance_t *instance, wasmtime_context_t *context,
    const wasmtime_component_export_index_t *export_index, wasmtime_component_func_t *func_out);

/* ---- Linkers ---- */

typedef struct wasmtime_component_linker_t wasmtime_component_linker_t;
typedef struct wasmtime_component_linker_instance_t wasmtime_component_linker_instance_t;
wasmtime_component_linker_t *wasmtime_component_linker_new(const wasm_engine_t *engine);
void wasmtime_component_linker_allow_shadowing(wasmtime_component_linker_t *linker, bool allow);
wasmtime_component_linker_instance_t *wasmtime_component_linker_root(
    wasmtime_component_linker_t *linker);
wasmtime_error_t *wasmtime_component_linker_instantiate(
    const wasmtime_component_linker_t *linker, wasmtime_context_t *context,
    const wasmtime_component_t *component, wasmtime_component_instance_t *instance_out);
wasmtime_error_t *wasmtime_component_linker_define_unknown_imports_as_traps(
    wasmtime_component_linker_t *linker, const wasmtime_component_t *component);
void wasmtime_component_linker_delete(wasmtime_component_linker_t *linker);
wasmtime_error_t *wasmtime_component_linker_instance_add_instance(
    wasmtime_component_linker_instance_t *linker_instance, const char *name, size_t name_len,
    wasmtime_component_linker_instance_t **linker_instance_out);
wasmtime_error_t *wasmtime_component_linker_instance_add_module(
    wasmtime_component_linker_instance_t *linker_instance, const char *name, size_t name_len,
    const wasmtime_module_t *module);

typedef wasmtime_error_t *(*wasmtime_component_func_callback_t)(
    void *, wasmtime_context_t *,
    const wasmtime_component_func_type_t *, wasmtime_component_val_t *, size_t,
    wasmtime_component_val_t *, size_t);

wasmtime_error_t *wasmtime_component_linker_instance_add_func(
    wasmtime_component_linker_instance_t *linker_instance, const char *name, size_t name_len,
    wasmtime_component_func_callback_t callback, void *data, void (*finalizer)(void *));
wasmtime_error_t *wasmtime_component_linker_add_wasip2(wasmtime_component_linker_t *linker);
wasmtime_error_t *wasmtime_component_linker_add_wasi_http(wasmtime_component_linker_t *linker);

typedef wasmtime_error_t *(*wasmtime_component_resource_destructor_t)(
    void *, wasmtime_context_t *, uint32_t);

wasmtime_error_t *wasmtime_component_linker_instance_add_resource(
    wasmtime_component_linker_instance_t *linker_instance, const char *name, size_t name_len,
    const wasmtime_component_resource_type_t *resource,
    wasmtime_component_resource_destructor_t destructor, void *data, void (*finalizer)(void *));
void wasmtime_component_linker_instance_delete(
    wasmtime_component_linker_instance_t *linker_instance);
wasmtime_call_future_t *wasmtime_component_linker_instantiate_async(
    const wasmtime_component_linker_t *linker, wasmtime_context_t *context,
    const wasmtime_component_t *component, wasmtime_component_instance_t *instance_out,
    wasmtime_error_t **error_ret);

typedef void (*wasmtime_component_func_async_callback_t)(
    void *env, wasmtime_context_t *context,
    const wasmtime_component_func_type_t *ty, wasmtime_component_val_t *args, size_t nargs,
    wasmtime_component_val_t *results, size_t nresults, wasmtime_error_t **error_ret,
    wasmtime_async_continuation_t *continuation_ret);

wasmtime_error_t *wasmtime_component_linker_instance_add_func_async(
    wasmtime_component_linker_instance_t *linker_instance, const char *name, size_t name_len,
    wasmtime_component_func_async_callback_t callback, void *data, void (*finalizer)(void *));
wasmtime_error_t *wasmtime_component_linker_add_wasip2_async(wasmtime_component_linker_t *linker);
wasmtime_error_t *wasmtime_component_linker_add_wasi_http_async(
    wasmtime_component_linker_t *linker);

#endif
