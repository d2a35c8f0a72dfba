/* The C API of Wasmtime 50.0.1, declared by wasmtime_rt. */
#ifndef WASMTIME_RT_WASMTIME_H
#define WASMTIME_RT_WASMTIME_H

#define WASMTIME_VERSION "50.0.1"

#include "wasm.h"
#include "wasi.h"
#include "wasmtime/error.h"
#include "wasmtime/config.h"
#include "wasmtime/types.h"
#include "wasmtime/engine.h"
#include "wasmtime/store.h"
#include "wasmtime/values.h"
#include "wasmtime/refs.h"
#include "wasmtime/extern.h"
#include "wasmtime/linker.h"
#include "wasmtime/async.h"
#include "wasmtime/profiling.h"
#include "wasmtime/component_types.h"
#include "wasmtime/component_values.h"
#include "wasmtime/component.h"

#endif
