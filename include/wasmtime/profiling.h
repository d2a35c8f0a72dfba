/* Samples of guest stacks. `wasmtime_guestprofiler_finish` always consumes the profiler. */
#ifndef WASMTIME_RT_WASMTIME_PROFILING_H
#define WASMTIME_RT_WASMTIME_PROFILING_H

#include "store.h"

typedef struct wasmtime_guestprofiler wasmtime_guestprofiler_t;
void wasmtime_guestprofiler_delete(wasmtime_guestprofiler_t *guestprofiler);

typedef struct wasmtime_guestprofiler_modules {
    const wasm_name_t *name;
    const wasmtime_module_t *mod;
} wasmtime_guestprofiler_modules_t;

wasmtime_guestprofiler_t *wasmtime_guestprofiler_new(
    const wasm_engine_t *engine, const wasm_name_t *module_name, uint64_t interval_nanos,
    const wasmtime_guestprofiler_modules_t *modules, size_t modules_len);
void wasmtime_guestprofiler_sample(
    wasmtime_guestprofiler_t *guestprofiler, const wasmtime_store_t *store, uint64_t delta_nanos);
wasmtime_error_t *wasmtime_guestprofiler_finish(
    wasmtime_guestprofiler_t *guestprofiler, wasm_byte_vec_t *out);

#endif
