/* Engines and modules: immutable, reference-counted, shared between threads and stores. */
#ifndef WASMTIME_RT_WASMTIME_ENGINE_H
#define WASMTIME_RT_WASMTIME_ENGINE_H

#include "config.h"
#include "types.h"

/* ---- Engine ---- */

wasm_engine_t *wasmtime_engine_clone(const wasm_engine_t *engine);
void wasmtime_engine_increment_epoch(const wasm_engine_t *engine);
bool wasmtime_engine_is_pulley(const wasm_engine_t *engine);

/* ---- Text format ---- */

wasmtime_error_t *wasmtime_wat2wasm(const char *wat, size_t wat_len, wasm_byte_vec_t *ret);

/* ---- Module ---- */

typedef struct wasmtime_module wasmtime_module_t;
wasmtime_error_t *wasmtime_module_new(
    wasm_engine_t *engine, const uint8_t *wasm, size_t wasm_len, wasmtime_module_t **ret);
void wasmtime_module_delete(wasmtime_module_t *m);
wasmtime_module_t *wasmtime_module_clone(const wasmtime_module_t *m);
void wasmtime_module_imports(const wasmtime_module_t *module, wasm_importtype_vec_t *out);
void wasmtime_module_exports(const wasmtime_module_t *module, wasm_exporttype_vec_t *out);
wasmtime_error_t *wasmtime_module_validate(
    wasm_engine_t *engine, const uint8_t *wasm, size_t wasm_len);
wasmtime_error_t *wasmtime_module_serialize(const wasmtime_module_t *module, wasm_byte_vec_t *ret);
wasmtime_error_t *wasmtime_module_deserialize(
    wasm_engine_t *engine, const uint8_t *bytes, size_t bytes_len, wasmtime_module_t **ret);
wasmtime_error_t *wasmtime_module_deserialize_file(
    wasm_engine_t *engine, const char *path, wasmtime_module_t **ret);
void wasmtime_module_image_range(const wasmtime_module_t *module, void **start, void **end);

#endif
