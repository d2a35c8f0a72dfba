/* WASI preview 1, answered by this package: see functions.c. What Python makes for a store, and what C finds there. */
#ifndef WRT_WASI_H
#define WRT_WASI_H

#include <wasmtime.h>

typedef struct wrt_wasi wrt_wasi_t;
typedef struct wrt_epochs wrt_epochs_t;

/* The data of every store: what host functions in C need of it. Each is NULL if the store has none. */
typedef struct wrt_store {
    wrt_epochs_t *epochs;
    wrt_wasi_t *wasi;
} wrt_store_t;

/* ---- The 46 functions ---- */

typedef struct wrt_wasi_function {
    const char *name;
    const char *params; /* `i` for an i32, `I` for an i64; all but proc_exit return an i32 */
} wrt_wasi_function_t;

/* The function of that index, or NULL beyond the last. */
const wrt_wasi_function_t *wrt_wasi_function(size_t index);
/* Defines all of them. They serve every store, and trap in one without WASI. */
wasmtime_error_t *wrt_wasi_define(wasmtime_linker_t *linker);

/* ---- What a program may see ---- */

typedef struct wrt_wasi_options {
    uint64_t max_output;       /* bytes that each of stdout and stderr takes */
    uint64_t max_written;      /* bytes written to mounts */
    uint64_t max_created;      /* files, folders and links */
    uint32_t max_descriptors;  /* at least 3 */
    uint64_t clock_resolution; /* nanoseconds, at least 1 */
    bool seeded;               /* whether random_get follows from `seed` */
    uint64_t seed;
} wrt_wasi_options_t;

/* NULL if there is no memory. Used by one store, inside its guard. */
wrt_wasi_t *wrt_wasi_new(const wrt_wasi_options_t *options);
void wrt_wasi_delete(wrt_wasi_t *wasi);
/* Copies `count` strings, each with its NUL, of `size` bytes in all. False if there is no memory. */
bool wrt_wasi_set_arguments(wrt_wasi_t *wasi, const char *strings, size_t size, size_t count);
bool wrt_wasi_set_environment(wrt_wasi_t *wasi, const char *strings, size_t size, size_t count);
/* The next preopened folder. `directory` stays the caller's. Returns an error number of WASI. */
int wrt_wasi_mount(wrt_wasi_t *wasi, const char *name, size_t length, int directory, bool writable);

/* Streams are 0 for stdin, 1 for stdout and 2 for stderr. Without one of these calls, input is empty and output is
 * dropped.
 */
/* Copies the input. False if there is no memory. */
bool wrt_wasi_input(wrt_wasi_t *wasi, const char *bytes, size_t size);
/* Keeps what is written, in pieces for `wrt_wasi_take`. */
void wrt_wasi_capture(wrt_wasi_t *wasi, int stream);
/* A regular file, or the null device, that is read or written. It is closed with `wasi`. */
void wrt_wasi_file(wrt_wasi_t *wasi, int stream, int descriptor);
/* The standard stream of this process. */
void wrt_wasi_inherit(wrt_wasi_t *wasi, int stream);

/* ---- What it has done ---- */

typedef struct wrt_piece {
    struct wrt_piece *next;
    uint8_t *data;
    size_t size, capacity;
} wrt_piece_t;

/* The oldest piece of captured output, which the caller frees, or NULL. */
wrt_piece_t *wrt_wasi_take(wrt_wasi_t *wasi, int stream);
void wrt_piece_free(wrt_piece_t *piece);
/* Whether output beyond the limit was dropped. */
bool wrt_wasi_truncated(const wrt_wasi_t *wasi, int stream);
/* Which limits of files refused something: WRT_FILES_HIT_* of files.h. */
unsigned wrt_wasi_limits_hit(const wrt_wasi_t *wasi);
/* Counts output and files anew. */
void wrt_wasi_renew(wrt_wasi_t *wasi);

#endif
