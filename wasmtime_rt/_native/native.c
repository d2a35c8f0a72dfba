#define _GNU_SOURCE
#include "native.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Identity ---- */

const char wrt_version[] = WRT_VERSION;
const char wrt_engine_version[] = WRT_ENGINE_VERSION;
const char wrt_engine_build_id[] = WRT_ENGINE_BUILD_ID;

struct build_id_search {
    uintptr_t inside; /* an address inside the object that is looked for */
    char *hex;
    size_t size;
    bool found;
};

static int search_build_id(struct dl_phdr_info *object, size_t size, void *data) {
    struct build_id_search *search = data;
    bool ours = false;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        uintptr_t start = object->dlpi_addr + part->p_vaddr;
        if (part->p_type == PT_LOAD && search->inside >= start && search->inside - start < part->p_memsz)
            ours = true;
    }
    if (!ours)
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_NOTE)
            continue;
        const char *at = (const char *)(object->dlpi_addr + part->p_vaddr);
        const char *end = at + part->p_memsz;
        while ((size_t)(end - at) >= sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)at;
            const char *name = at + sizeof *note;
            const unsigned char *bytes = (const unsigned char *)name + ((note->n_namesz + 3) & ~3u);
            if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp(name, "GNU", 4) == 0) {
                if (search->size < 2 * (size_t)note->n_descsz + 1)
                    return 1;
                for (size_t j = 0; j < note->n_descsz; j++)
                    snprintf(search->hex + 2 * j, 3, "%02x", bytes[j]);
                search->found = true;
                return 1;
            }
            at = (const char *)bytes + ((note->n_descsz + 3) & ~3u);
        }
    }
    return 1;
}

bool wrt_loaded_engine_build_id(char *hex, size_t size) {
    struct build_id_search search = {(uintptr_t)&wasm_engine_new, hex, size, false};
    dl_iterate_phdr(search_build_id, &search);
    return search.found;
}

bool wrt_imported_before(void) {
    static bool before;
    return __atomic_exchange_n(&before, true, __ATOMIC_RELAXED);
}

/* ---- Host functions ---- */

extern uintptr_t wrt_python_host_call(
    uintptr_t store, uintptr_t host, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t count);
extern uintptr_t wrt_python_host_call_values(
    uintptr_t store, uintptr_t host, wasmtime_caller_t *caller, const wasmtime_val_t *args, size_t nargs,
    wasmtime_val_t *results, size_t nresults);

static uintptr_t store_of(wasmtime_caller_t *caller) {
    return (uintptr_t)wasmtime_context_get_data(wasmtime_caller_context(caller));
}

static wasm_trap_t *trap_unless(uintptr_t answer) {
    static const char message[] = "a host function raised an exception";
    if (answer > 1)
        return (wasm_trap_t *)answer;
    return answer == 1 ? NULL : wasmtime_trap_new(message, sizeof message - 1);
}

wasm_trap_t *wrt_host_call(
    void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t count) {
    return trap_unless(wrt_python_host_call(store_of(caller), (uintptr_t)env, caller, raw, count));
}

wasm_trap_t *wrt_host_call_values(
    void *env, wasmtime_caller_t *caller, const wasmtime_val_t *args, size_t nargs,
    wasmtime_val_t *results, size_t nresults) {
    return trap_unless(wrt_python_host_call_values(
        store_of(caller), (uintptr_t)env, caller, args, nargs, results, nresults));
}

wasm_trap_t *wrt_take_exception(
    void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *raw, size_t count) {
    wrt_taken_t *taken = env;
    (void)raw, (void)count;
    taken->found = wasmtime_context_take_exception(wasmtime_caller_context(caller), &taken->exception);
    return NULL;
}

/* The engine's record of a function, as the pinned version lays it out. */
struct func_record {
    void *array_call;
    void *wasm_call;
    uint32_t type_index;
    void *instance;
};

void wrt_func_identity(const wasmtime_func_t *func, uintptr_t identity[2]) {
    const struct func_record *record = func->__private;
    identity[0] = (uintptr_t)record->array_call;
    identity[1] = (uintptr_t)record->instance;
}

/* ---- Linear memory ---- */

static uint8_t *memory_range(
    wasmtime_context_t *context, const wasmtime_memory_t *memory, uint64_t offset, size_t length) {
    size_t size = wasmtime_memory_data_size(context, memory);
    if (offset > size || length > size - offset)
        return NULL;
    return wasmtime_memory_data(context, memory) + offset;
}

bool wrt_memory_read(
    wasmtime_context_t *context, const wasmtime_memory_t *memory, uint64_t offset, size_t length,
    uint8_t *to) {
    const uint8_t *from = memory_range(context, memory, offset, length);
    if (!from)
        return false;
    memcpy(to, from, length);
    return true;
}

bool wrt_memory_write(
    wasmtime_context_t *context, const wasmtime_memory_t *memory, uint64_t offset, size_t length,
    const uint8_t *from) {
    uint8_t *to = memory_range(context, memory, offset, length);
    if (!to)
        return false;
    memmove(to, from, length);
    return true;
}
