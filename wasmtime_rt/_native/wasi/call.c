/* What a running call of a WASI function may ask for: the program's memory, and time. */
#define _GNU_SOURCE
#include "context.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- The program's memory ---- */

wasm_trap_t *wrt_trap_saying(const char *text) { return wasmtime_trap_new(text, strlen(text)); }

/* What the calling instance exports as "memory", which the specification asks for. */
static bool find_memory(struct call *call) {
    wasmtime_extern_t found;
    if (wasmtime_caller_export_get(call->caller, "memory", 6, &found)) {
        if (found.kind == WASMTIME_EXTERN_MEMORY) {
            wasmtime_context_t *context = wasmtime_caller_context(call->caller);
            call->memory = wasmtime_memory_data(context, &found.of.memory);
            call->size = wasmtime_memory_data_size(context, &found.of.memory);
            return true;
        }
        if (found.kind == WASMTIME_EXTERN_SHAREDMEMORY) { /* it stays where it is while the instance lives */
            call->memory = wasmtime_sharedmemory_data(found.of.sharedmemory);
            call->size = wasmtime_sharedmemory_data_size(found.of.sharedmemory);
            wasmtime_extern_delete(&found);
            return true;
        }
        wasmtime_extern_delete(&found);
    }
    call->trap = wrt_trap_saying("missing required memory export");
    return false;
}

uint8_t *wrt_call_memory(struct call *call, uint32_t address, uint64_t length, uint32_t alignment) {
    char text[128];
    if (!call->memory && !find_memory(call))
        return NULL;
    if (address <= call->size && length <= call->size - address && address % alignment == 0)
        return call->memory + address;
    if (!call->trap) {
        if (address % alignment != 0)
            snprintf(text, sizeof text, "Pointer not aligned to %u bytes: address %u", alignment, address);
        else
            snprintf(
                text, sizeof text, "Pointer out of bounds: %llu bytes at address %u of a memory of %llu bytes",
                (unsigned long long)length, address, (unsigned long long)call->size);
        call->trap = wrt_trap_saying(text);
    }
    return NULL;
}

int wrt_call_buffers(struct call *call, uint32_t address, uint32_t count, struct iovec *buffers) {
    uint32_t most = count < MAX_BUFFERS ? count : MAX_BUFFERS, room = MAX_TRANSFER;
    const uint8_t *in = wrt_call_memory(call, address, 8 * (uint64_t)most, 4);
    int found = 0;
    if (!in)
        return -1;
    for (uint32_t i = 0; i < most && room; i++) {
        uint32_t start = get32(in + 8 * i), length = get32(in + 8 * i + 4);
        uint8_t *bytes = length ? wrt_call_memory(call, start, length, 1) : NULL;
        if (!length)
            continue;
        if (!bytes)
            return -1;
        if (length > room)
            length = room;
        buffers[found++] = (struct iovec){bytes, length};
        room -= length;
    }
    return found;
}

/* ---- Limits ---- */

bool wrt_call_look(struct call *call) {
    call->memory = NULL; /* a signal handler may have made it grow */
    call->trap = wrt_limits_look(call->store->epochs);
    if (!call->trap && !call->store->epochs)
        call->trap = wrt_limits_serve(wasmtime_caller_context(call->caller));
    return !call->trap;
}

bool wrt_call_wait(struct call *call, int descriptor, short events, uint64_t until) {
    uint64_t now = wrt_monotonic(), end = now + SLICE, limit = wrt_limits_end(call->store->epochs);
    if (end > until)
        end = until;
    if (end > limit)
        end = limit;
    struct pollfd one = {.fd = descriptor, .events = events};
    struct timespec left = {.tv_nsec = end > now ? (long)(end - now) : 0};
    ppoll(&one, 1, &left, NULL); /* a signal ends it, too */
    return wrt_call_look(call);
}
