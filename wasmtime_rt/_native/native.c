#define _GNU_SOURCE
#include "native.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
