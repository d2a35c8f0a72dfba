/* References to host objects, aggregates and exceptions.
 *
 * Every reference written through `out` is a root: unroot it exactly once. Raw references are unrooted.
 * `wasmtime_anyref_is_i31` and `wasmtime_eqref_is_i31` answer wrongly in 50.0.1: use `i31_get`.
 */
#ifndef WASMTIME_RT_WASMTIME_REFS_H
#define WASMTIME_RT_WASMTIME_REFS_H

#include "values.h"

/* ---- Host objects ---- */

bool wasmtime_externref_new(
    wasmtime_context_t *context, void *data, void (*finalizer)(void *), wasmtime_externref_t *out);
void *wasmtime_externref_data(wasmtime_context_t *context, const wasmtime_externref_t *data);
void wasmtime_externref_clone(const wasmtime_externref_t *ref, wasmtime_externref_t *out);
void wasmtime_externref_unroot(wasmtime_externref_t *ref);
void wasmtime_externref_from_raw(
    wasmtime_context_t *context, uint32_t raw, wasmtime_externref_t *out);
uint32_t wasmtime_externref_to_raw(wasmtime_context_t *context, const wasmtime_externref_t *ref);

/* ---- any ---- */

void wasmtime_anyref_clone(const wasmtime_anyref_t *anyref, wasmtime_anyref_t *out);
void wasmtime_anyref_unroot(wasmtime_anyref_t *ref);
void wasmtime_anyref_from_raw(wasmtime_context_t *context, uint32_t raw, wasmtime_anyref_t *out);
uint32_t wasmtime_anyref_to_raw(wasmtime_context_t *context, const wasmtime_anyref_t *ref);
void wasmtime_anyref_from_i31(wasmtime_context_t *context, uint32_t i31val, wasmtime_anyref_t *out);
bool wasmtime_anyref_is_i31(wasmtime_context_t *context, const wasmtime_anyref_t *anyref);
bool wasmtime_anyref_i31_get_u(
    wasmtime_context_t *context, const wasmtime_anyref_t *anyref, uint32_t *dst);
bool wasmtime_anyref_i31_get_s(
    wasmtime_context_t *context, const wasmtime_anyref_t *anyref, int32_t *dst);
bool wasmtime_anyref_is_eqref(wasmtime_context_t *context, const wasmtime_anyref_t *anyref);
bool wasmtime_anyref_as_eqref(
    wasmtime_context_t *context, const wasmtime_anyref_t *anyref, wasmtime_eqref_t *out);
bool wasmtime_anyref_is_struct(wasmtime_context_t *context, const wasmtime_anyref_t *anyref);
bool wasmtime_anyref_as_struct(
    wasmtime_context_t *context, const wasmtime_anyref_t *anyref, wasmtime_structref_t *out);
bool wasmtime_anyref_is_array(wasmtime_context_t *context, const wasmtime_anyref_t *anyref);
bool wasmtime_anyref_as_array(
    wasmtime_context_t *context, const wasmtime_anyref_t *anyref, wasmtime_arrayref_t *out);
bool wasmtime_anyref_type(
    wasmtime_context_t *context, const wasmtime_anyref_t *anyref, wasmtime_heaptype_t *out);

/* ---- eq ---- */

void wasmtime_eqref_clone(const wasmtime_eqref_t *eqref, wasmtime_eqref_t *out);
void wasmtime_eqref_unroot(wasmtime_eqref_t *ref);
void wasmtime_eqref_to_anyref(const wasmtime_eqref_t *eqref, wasmtime_anyref_t *out);
void wasmtime_eqref_from_i31(wasmtime_context_t *context, uint32_t i31val, wasmtime_eqref_t *out);
bool wasmtime_eqref_is_i31(wasmtime_context_t *context, const wasmtime_eqref_t *eqref);
bool wasmtime_eqref_i31_get_u(
    wasmtime_context_t *context, const wasmtime_eqref_t *eqref, uint32_t *dst);
bool wasmtime_eqref_i31_get_s(
    wasmtime_context_t *context, const wasmtime_eqref_t *eqref, int32_t *dst);
bool wasmtime_eqref_is_array(wasmtime_context_t *context, const wasmtime_eqref_t *eqref);
bool wasmtime_eqref_as_array(
    wasmtime_context_t *context, const wasmtime_eqref_t *eqref, wasmtime_arrayref_t *out);
bool wasmtime_eqref_is_struct(wasmtime_context_t *context, const wasmtime_eqref_t *eqref);
bool wasmtime_eqref_as_struct(
    wasmtime_context_t *context, const wasmtime_eqref_t *eqref, wasmtime_structref_t *out);
bool wasmtime_eqref_type(
    wasmtime_context_t *context, const wasmtime_eqref_t *eqref, wasmtime_heaptype_t *out);

/* ---- struct ---- */

typedef struct wasmtime_struct_ref_pre wasmtime_struct_ref_pre_t;
wasmtime_struct_ref_pre_t *wasmtime_struct_ref_pre_new(
    wasmtime_context_t *context, const wasmtime_struct_type_t *ty);
void wasmtime_struct_ref_pre_delete(wasmtime_struct_ref_pre_t *pre);
wasmtime_error_t *wasmtime_structref_new(
    wasmtime_context_t *context, const wasmtime_struct_ref_pre_t *pre,
    const wasmtime_val_t *fields, size_t nfields, wasmtime_structref_t *out);
void wasmtime_structref_clone(const wasmtime_structref_t *structref, wasmtime_structref_t *out);
void wasmtime_structref_unroot(wasmtime_structref_t *ref);
void wasmtime_structref_to_anyref(const wasmtime_structref_t *structref, wasmtime_anyref_t *out);
void wasmtime_structref_to_eqref(const wasmtime_structref_t *structref, wasmtime_eqref_t *out);
wasmtime_error_t *wasmtime_structref_field(
    wasmtime_context_t *context, const wasmtime_structref_t *structref, size_t index,
    wasmtime_val_t *out);
wasmtime_error_t *wasmtime_structref_set_field(
    wasmtime_context_t *context, const wasmtime_structref_t *structref, size_t index,
    const wasmtime_val_t *val);
wasmtime_struct_type_t *wasmtime_structref_type(
    wasmtime_context_t *context, const wasmtime_structref_t *structref);

/* ---- array ---- */

typedef struct wasmtime_array_ref_pre wasmtime_array_ref_pre_t;
wasmtime_array_ref_pre_t *wasmtime_array_ref_pre_new(
    wasmtime_context_t *context, const wasmtime_array_type_t *ty);
void wasmtime_array_ref_pre_delete(wasmtime_array_ref_pre_t *pre);
wasmtime_error_t *wasmtime_arrayref_new(
    wasmtime_context_t *context, const wasmtime_array_ref_pre_t *pre, const wasmtime_val_t *elem,
    uint32_t len, wasmtime_arrayref_t *out);
void wasmtime_arrayref_clone(const wasmtime_arrayref_t *arrayref, wasmtime_arrayref_t *out);
void wasmtime_arrayref_unroot(wasmtime_arrayref_t *ref);
void wasmtime_arrayref_to_anyref(const wasmtime_arrayref_t *arrayref, wasmtime_anyref_t *out);
void wasmtime_arrayref_to_eqref(const wasmtime_arrayref_t *arrayref, wasmtime_eqref_t *out);
wasmtime_error_t *wasmtime_arrayref_len(
    wasmtime_context_t *context, const wasmtime_arrayref_t *arrayref, uint32_t *out);
wasmtime_error_t *wasmtime_arrayref_get(
    wasmtime_context_t *context, const wasmtime_arrayref_t *arrayref, uint32_t index,
    wasmtime_val_t *out);
wasmtime_error_t *wasmtime_arrayref_set(
    wasmtime_context_t *context, const wasmtime_arrayref_t *arrayref, uint32_t index,
    const wasmtime_val_t *val);
wasmtime_array_type_t *wasmtime_arrayref_type(
    wasmtime_context_t *context, const wasmtime_arrayref_t *arrayref);

/* ---- Exceptions ---- */

wasmtime_error_t *wasmtime_exnref_new(
    wasmtime_context_t *store, const wasmtime_tag_t *tag, const wasmtime_val_t *fields,
    size_t nfields, wasmtime_exnref_t *exn_ret);
void wasmtime_exnref_clone(const wasmtime_exnref_t *ref, wasmtime_exnref_t *out);
void wasmtime_exnref_unroot(wasmtime_exnref_t *ref);
void wasmtime_exnref_from_raw(wasmtime_context_t *context, uint32_t raw, wasmtime_exnref_t *out);
uint32_t wasmtime_exnref_to_raw(wasmtime_context_t *context, const wasmtime_exnref_t *ref);
wasmtime_error_t *wasmtime_exnref_tag(
    wasmtime_context_t *store, const wasmtime_exnref_t *exn, wasmtime_tag_t *tag_ret);
size_t wasmtime_exnref_field_count(wasmtime_context_t *store, const wasmtime_exnref_t *exn);
wasmtime_error_t *wasmtime_exnref_field(
    wasmtime_context_t *store, const wasmtime_exnref_t *exn, size_t index,
    wasmtime_val_t *val_ret);
wasm_trap_t *wasmtime_context_set_exception(
    wasmtime_context_t *store, const wasmtime_exnref_t *exn);
bool wasmtime_context_take_exception(wasmtime_context_t *store, wasmtime_exnref_t *exn_ret);
bool wasmtime_context_has_exception(wasmtime_context_t *store);
wasmtime_exn_type_t *wasmtime_exnref_type(
    wasmtime_context_t *context, const wasmtime_exnref_t *exnref);

#endif
