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

/* ---- Sinks ---- */

enum { SMALL_PIECE = 4 << 10, LARGE_PIECE = 1 << 20 };

struct wrt_sink {
    pthread_mutex_t lock;
    int shares, descriptor;
    bool truncated;
    uint64_t room; /* how many bytes it will still take */
    wrt_piece_t *oldest, *newest;
};

wrt_sink_t *wrt_sink_new(int descriptor, uint64_t limit) {
    wrt_sink_t *sink = calloc(1, sizeof *sink);
    if (sink) {
        pthread_mutex_init(&sink->lock, NULL);
        __atomic_store_n(&sink->shares, 1, __ATOMIC_RELAXED); /* the engine may let go on a thread of its own */
        sink->descriptor = descriptor;
        sink->room = limit;
    }
    return sink;
}

void wrt_piece_free(wrt_piece_t *piece) { free(piece); }

void wrt_sink_release(wrt_sink_t *sink) {
    if (__atomic_sub_fetch(&sink->shares, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    pthread_mutex_destroy(&sink->lock);
    for (wrt_piece_t *piece; (piece = sink->oldest);) {
        sink->oldest = piece->next;
        free(piece);
    }
    if (sink->descriptor >= 0)
        close(sink->descriptor);
    free(sink);
}

/* A new piece behind the newest: the more there is, the larger. */
static wrt_piece_t *add_piece(wrt_sink_t *sink) {
    wrt_piece_t *newest = sink->newest;
    size_t capacity = newest ? 2 * newest->capacity : SMALL_PIECE;
    if (capacity > LARGE_PIECE)
        capacity = LARGE_PIECE;
    wrt_piece_t *piece = malloc(sizeof *piece + capacity);
    if (!piece)
        return NULL;
    *piece = (wrt_piece_t){NULL, (uint8_t *)(piece + 1), 0, capacity};
    *(newest ? &newest->next : &sink->oldest) = piece;
    sink->newest = piece;
    return piece;
}

static int keep(wrt_sink_t *sink, const unsigned char *bytes, size_t length) {
    while (length) {
        wrt_piece_t *piece = sink->newest;
        if ((!piece || piece->size == piece->capacity) && !(piece = add_piece(sink)))
            return ENOMEM;
        size_t count = piece->capacity - piece->size;
        if (count > length)
            count = length;
        memcpy(piece->data + piece->size, bytes, count);
        piece->size += count;
        bytes += count;
        length -= count;
    }
    return 0;
}

static int write_out(wrt_sink_t *sink, const unsigned char *bytes, size_t length) {
    while (length) {
        ssize_t count = write(sink->descriptor, bytes, length);
        if (count < 0 && errno != EINTR)
            return errno;
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        }
    }
    return 0;
}

static ptrdiff_t write_to_sink(void *data, const unsigned char *bytes, size_t length) {
    wrt_sink_t *sink = data;
    pthread_mutex_lock(&sink->lock);
    size_t taken = length;
    if (length > sink->room) {
        taken = (size_t)sink->room;
        sink->truncated = true;
    }
    sink->room -= taken;
    int error = (sink->descriptor < 0 ? keep : write_out)(sink, bytes, taken);
    pthread_mutex_unlock(&sink->lock);
    return error ? -(ptrdiff_t)error : (ptrdiff_t)length;
}

static void release_sink(void *data) { wrt_sink_release(data); }

void wrt_sink_as_stdout(wrt_sink_t *sink, wasi_config_t *config) {
    __atomic_add_fetch(&sink->shares, 1, __ATOMIC_RELAXED);
    wasi_config_set_stdout_custom(config, write_to_sink, sink, release_sink);
}

void wrt_sink_as_stderr(wrt_sink_t *sink, wasi_config_t *config) {
    __atomic_add_fetch(&sink->shares, 1, __ATOMIC_RELAXED);
    wasi_config_set_stderr_custom(config, write_to_sink, sink, release_sink);
}

wrt_piece_t *wrt_sink_take(wrt_sink_t *sink) {
    pthread_mutex_lock(&sink->lock);
    wrt_piece_t *piece = sink->oldest;
    if (piece && !(sink->oldest = piece->next))
        sink->newest = NULL;
    pthread_mutex_unlock(&sink->lock);
    return piece;
}

bool wrt_sink_truncated(wrt_sink_t *sink) {
    pthread_mutex_lock(&sink->lock);
    bool truncated = sink->truncated;
    pthread_mutex_unlock(&sink->lock);
    return truncated;
}

void wrt_sink_renew(wrt_sink_t *sink, uint64_t limit) {
    pthread_mutex_lock(&sink->lock);
    sink->room = limit;
    sink->truncated = false;
    pthread_mutex_unlock(&sink->lock);
}
