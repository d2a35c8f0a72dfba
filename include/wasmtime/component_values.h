/* Values of the component model: owned trees. Futures, streams and error contexts abort on their
 * way out.
 */
#ifndef WASMTIME_RT_WASMTIME_COMPONENT_VALUES_H
#define WASMTIME_RT_WASMTIME_COMPONENT_VALUES_H

#include "component_types.h"
#include "store.h"

#define WASMTIME_COMPONENT_BOOL 0
#define WASMTIME_COMPONENT_S8 1
#define WASMTIME_COMPONENT_U8 2
#define WASMTIME_COMPONENT_S16 3
#define WASMTIME_COMPONENT_U16 4
#define WASMTIME_COMPONENT_S32 5
#define WASMTIME_COMPONENT_U32 6
#define WASMTIME_COMPONENT_S64 7
#define WASMTIME_COMPONENT_U64 8
#define WASMTIME_COMPONENT_F32 9
#define WASMTIME_COMPONENT_F64 10
#define WASMTIME_COMPONENT_CHAR 11
#define WASMTIME_COMPONENT_STRING 12
#define WASMTIME_COMPONENT_LIST 13
#define WASMTIME_COMPONENT_RECORD 14
#define WASMTIME_COMPONENT_TUPLE 15
#define WASMTIME_COMPONENT_VARIANT 16
#define WASMTIME_COMPONENT_ENUM 17
#define WASMTIME_COMPONENT_OPTION 18
#define WASMTIME_COMPONENT_RESULT 19
#define WASMTIME_COMPONENT_FLAGS 20
#define WASMTIME_COMPONENT_RESOURCE 21
#define WASMTIME_COMPONENT_MAP 22

typedef struct wasmtime_component_resource_any wasmtime_component_resource_any_t;
wasmtime_component_resource_type_t *wasmtime_component_resource_any_type(
    const wasmtime_component_resource_any_t *resource);
wasmtime_component_resource_any_t *wasmtime_component_resource_any_clone(
    const wasmtime_component_resource_any_t *resource);
bool wasmtime_component_resource_any_owned(const wasmtime_component_resource_any_t *resource);
wasmtime_error_t *wasmtime_component_resource_any_drop(
    wasmtime_context_t *ctx, const wasmtime_component_resource_any_t *resource);
void wasmtime_component_resource_any_delete(wasmtime_component_resource_any_t *resource);
typedef struct wasmtime_component_resource_host wasmtime_component_resource_host_t;
wasmtime_component_resource_host_t *wasmtime_component_resource_host_new(
    bool owned, uint32_t rep, uint32_t ty);
wasmtime_component_resource_host_t *wasmtime_component_resource_host_clone(
    const wasmtime_component_resource_host_t *resource);
uint32_t wasmtime_component_resource_host_rep(const wasmtime_component_resource_host_t *resource);
uint32_t wasmtime_component_resource_host_type(const wasmtime_component_resource_host_t *resource);
bool wasmtime_component_resource_host_owned(const wasmtime_component_resource_host_t *resource);
void wasmtime_component_resource_host_delete(wasmtime_component_resource_host_t *resource);
wasmtime_error_t *wasmtime_component_resource_any_to_host(
    wasmtime_context_t *ctx, const wasmtime_component_resource_any_t *resource,
    wasmtime_component_resource_host_t **ret);
wasmtime_error_t *wasmtime_component_resource_host_to_any(
    wasmtime_context_t *ctx, const wasmtime_component_resource_host_t *resource,
    wasmtime_component_resource_any_t **ret);
typedef uint8_t wasmtime_component_valkind_t;
struct wasmtime_component_val;
struct wasmtime_component_valrecord_entry;
struct wasmtime_component_valmap_entry;

typedef struct wasmtime_component_vallist {
    size_t size;
    struct wasmtime_component_val *data;
} wasmtime_component_vallist_t;

void wasmtime_component_vallist_new(
    wasmtime_component_vallist_t *out, size_t size, const struct wasmtime_component_val *ptr);
void wasmtime_component_vallist_new_empty(wasmtime_component_vallist_t *out);
void wasmtime_component_vallist_new_uninit(wasmtime_component_vallist_t *out, size_t size);
void wasmtime_component_vallist_copy(
    wasmtime_component_vallist_t *dst, const wasmtime_component_vallist_t *src);
void wasmtime_component_vallist_delete(wasmtime_component_vallist_t *value);

typedef struct wasmtime_component_valrecord {
    size_t size;
    struct wasmtime_component_valrecord_entry *data;
} wasmtime_component_valrecord_t;

void wasmtime_component_valrecord_new(
    wasmtime_component_valrecord_t *out, size_t size,
    const struct wasmtime_component_valrecord_entry *ptr);
void wasmtime_component_valrecord_new_empty(wasmtime_component_valrecord_t *out);
void wasmtime_component_valrecord_new_uninit(wasmtime_component_valrecord_t *out, size_t size);
void wasmtime_component_valrecord_copy(
    wasmtime_component_valrecord_t *dst, const wasmtime_component_valrecord_t *src);
void wasmtime_component_valrecord_delete(wasmtime_component_valrecord_t *value);

typedef struct wasmtime_component_valtuple {
    size_t size;
    struct wasmtime_component_val *data;
} wasmtime_component_valtuple_t;

void wasmtime_component_valtuple_new(
    wasmtime_component_valtuple_t *out, size_t size, const struct wasmtime_component_val *ptr);
void wasmtime_component_valtuple_new_empty(wasmtime_component_valtuple_t *out);
void wasmtime_component_valtuple_new_uninit(wasmtime_component_valtuple_t *out, size_t size);
void wasmtime_component_valtuple_copy(
    wasmtime_component_valtuple_t *dst, const wasmtime_component_valtuple_t *src);
void wasmtime_component_valtuple_delete(wasmtime_component_valtuple_t *value);

typedef struct wasmtime_component_valflags {
    size_t size;
    wasm_name_t *data;
} wasmtime_component_valflags_t;

void wasmtime_component_valflags_new(
    wasmtime_component_valflags_t *out, size_t size, const wasm_name_t *ptr);
void wasmtime_component_valflags_new_empty(wasmtime_component_valflags_t *out);
void wasmtime_component_valflags_new_uninit(wasmtime_component_valflags_t *out, size_t size);
void wasmtime_component_valflags_copy(
    wasmtime_component_valflags_t *dst, const wasmtime_component_valflags_t *src);
void wasmtime_component_valflags_delete(wasmtime_component_valflags_t *value);

typedef struct wasmtime_component_valmap {
    size_t size;
    struct wasmtime_component_valmap_entry *data;
} wasmtime_component_valmap_t;

void wasmtime_component_valmap_new(
    wasmtime_component_valmap_t *out, size_t size,
    const struct wasmtime_component_valmap_entry *ptr);
void wasmtime_component_valmap_new_empty(wasmtime_component_valmap_t *out);
void wasmtime_component_valmap_new_uninit(wasmtime_component_valmap_t *out, size_t size);
void wasmtime_component_valmap_copy(
    wasmtime_component_valmap_t *dst, const wasmtime_component_valmap_t *src);
void wasmtime_component_valmap_delete(wasmtime_component_valmap_t *value);

typedef struct {
    wasm_name_t discriminant;
    struct wasmtime_component_val *val;
} wasmtime_component_valvariant_t;

typedef struct {
    bool is_ok;
    struct wasmtime_component_val *val;
} wasmtime_component_valresult_t;

typedef union {
    bool boolean;
    int8_t s8;
    uint8_t u8;
    int16_t s16;
    uint16_t u16;
    int32_t s32;
    uint32_t u32;
    int64_t s64;
    uint64_t u64;
    float32_t f32;
    float64_t f64;
    uint32_t character;
    wasm_name_t string;
    wasmtime_component_vallist_t list;
    wasmtime_component_valrecord_t record;
    wasmtime_component_valtuple_t tuple;
    wasmtime_component_valvariant_t variant;
    wasm_name_t enumeration;
    struct wasmtime_component_val *option;
    wasmtime_component_valresult_t result;
    wasmtime_component_valflags_t flags;
    wasmtime_component_valmap_t map;
    wasmtime_component_resource_any_t *resource;
} wasmtime_component_valunion_t;

typedef struct wasmtime_component_val {
    wasmtime_component_valkind_t kind;
    wasmtime_component_valunion_t of;
} wasmtime_component_val_t;

typedef struct wasmtime_component_valrecord_entry {
    wasm_name_t name;
    wasmtime_component_val_t val;
} wasmtime_component_valrecord_entry_t;

typedef struct wasmtime_component_valmap_entry {
    wasmtime_component_val_t key;
    wasmtime_component_val_t value;
} wasmtime_component_valmap_entry_t;

wasmtime_component_val_t *wasmtime_component_val_new(wasmtime_component_val_t *val);
void wasmtime_component_val_free(wasmtime_component_val_t *ptr);
void wasmtime_component_val_clone(
    const wasmtime_component_val_t *src, wasmtime_component_val_t *dst);
void wasmtime_component_val_delete(wasmtime_component_val_t *value);

#endif
