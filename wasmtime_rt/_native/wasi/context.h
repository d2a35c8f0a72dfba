/* The state behind WASI preview 1, for the files of this folder only. */
#ifndef WRT_WASI_CONTEXT_H
#define WRT_WASI_CONTEXT_H

#include "../native.h"
#include "files.h"
#include "layout.h"

enum {
    MAX_BUFFERS = 1024,     /* that one read or write looks at */
    MAX_TRANSFER = 1 << 20, /* bytes of one read, write or piece of random_get: limits are looked at in between */
    SLICE = 10000000,       /* nanoseconds after which what waits looks at the limits */
};

#define NEVER UINT64_MAX

/* ---- A store's WASI ---- */

enum stream_kind { STREAM_NULL, STREAM_BYTES, STREAM_CAPTURE, STREAM_FILE, STREAM_INHERIT };

struct stream {
    enum stream_kind kind;
    int descriptor; /* of the host, or -1 */
    bool truncated;
    uint64_t room;  /* bytes that output still takes; what is inherited is not limited */
    uint8_t *bytes; /* of the input, */
    size_t size, position;
    wrt_piece_t *oldest, *newest; /* of the output */
};

struct strings {
    char *data; /* each with its NUL */
    uint32_t size, count;
};

struct randomness {
    uint64_t state; /* of what follows from a seed */
    uint8_t pool[256]; /* bytes of the system that were not used yet: the last `left` ones */
    size_t left;
    unsigned forks; /* of this process, when they were taken */
};

struct wrt_wasi {
    wrt_wasi_options_t options;
    wrt_files_t *files;
    struct stream streams[3];
    struct strings arguments, environment;
    struct randomness random;
    uint64_t began;       /* of the monotonic clock */
    wrt_epochs_t *epochs; /* of the store, during a call */
};

/* ---- A call of one of the functions ---- */

struct call {
    wasmtime_caller_t *caller;
    wrt_store_t *store;
    wrt_wasi_t *wasi;
    wasm_trap_t *trap; /* what ends the program instead of an error number */
    uint8_t *memory;   /* of the program, or NULL before something asks for it */
    uint64_t size;
};

wasm_trap_t *wrt_trap_saying(const char *text);
/* `length` bytes of the program's memory, or NULL and a trap. The address is a multiple of `alignment`. */
uint8_t *wrt_call_memory(struct call *call, uint32_t address, uint64_t length, uint32_t alignment);
/* The buffers of a read or write: at most MAX_BUFFERS and MAX_TRANSFER bytes. -1 and a trap if they are not in memory. */
int wrt_call_buffers(struct call *call, uint32_t address, uint32_t count, struct iovec *buffers);
/* Whether the program may go on; a trap otherwise. Signal handlers may run, and memory may move. */
bool wrt_call_look(struct call *call);
/* Waits for `events` of poll(2) on a descriptor, or only for time on -1: until a time of the monotonic clock, and not
 * longer than a slice. Whether the program may go on, as above.
 */
bool wrt_call_wait(struct call *call, int descriptor, short events, uint64_t until);

/* ---- Parts ---- */

uint64_t wrt_monotonic(void);
/* Of clock 0 or 1 of WASI. */
uint64_t wrt_wasi_now(const wrt_wasi_t *wasi, uint32_t clock);
uint16_t wrt_random_fill(wrt_wasi_t *wasi, uint8_t *out, size_t size);

/* Whether a read or a write, as an event of poll(2) says, would not wait. */
bool wrt_stream_is_ready(const struct stream *stream, short events);
uint16_t wrt_stream_read(struct call *call, struct stream *stream, uint32_t address, uint32_t count, uint32_t *done);
uint16_t wrt_stream_write(struct call *call, struct stream *stream, uint32_t address, uint32_t count, uint32_t *done);
void wrt_stream_end(struct stream *stream);

uint16_t wrt_poll_oneoff(struct call *call, uint32_t subscriptions, uint32_t events, uint32_t count, uint32_t *happened);

#endif
