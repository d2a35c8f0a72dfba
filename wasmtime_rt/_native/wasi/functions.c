/* The 46 functions of WASI preview 1 as WebAssembly calls them, without the GIL.
 *
 * The engine has functions of its own. These take their place because a program must not wait, open, allocate or
 * count without bounds: the time limit is looked at before and after each call, and in each that waits. One trampoline
 * serves all. An address that is outside of the program's memory, or not aligned, is a trap, as the specification says.
 * Results are written at the end, and only if the call succeeds.
 */
#define _GNU_SOURCE
#include "context.h"

#include <stdio.h>
#include <string.h>

/* ---- Arguments and results ---- */

#define U32(index) ((uint32_t)arg[index].i32)
#define U64(index) ((uint64_t)arg[index].i64)
#define FUNCTION(name) static uint16_t name(struct call *call, const wasmtime_val_raw_t *arg)

/* Bytes of the program's memory that start at argument `index`, or a return with a trap. */
#define BYTES(name, index, length, alignment)                                       \
    uint8_t *name = wrt_call_memory(call, U32(index), length, alignment);           \
    if (!name)                                                                      \
        return WASI_SUCCESS

static uint16_t result32(struct call *call, uint16_t error, uint32_t address, uint32_t value) {
    uint8_t *out = error || call->trap ? NULL : wrt_call_memory(call, address, 4, 4);
    if (out)
        put32(out, value);
    return error;
}

static uint16_t result64(struct call *call, uint16_t error, uint32_t address, uint64_t value) {
    uint8_t *out = error ? NULL : wrt_call_memory(call, address, 8, 8);
    if (out)
        put64(out, value);
    return error;
}

/* ---- Arguments, environment, clocks, random bytes ---- */

static uint16_t get_strings(struct call *call, const struct strings *strings, const wasmtime_val_raw_t *arg) {
    BYTES(pointers, 0, 4 * (uint64_t)strings->count, 4);
    BYTES(text, 1, strings->size, 1);
    uint32_t at = 0;
    for (uint32_t i = 0; i < strings->count; i++) {
        put32(pointers + 4 * i, U32(1) + at);
        at += (uint32_t)strlen(strings->data + at) + 1;
    }
    if (strings->size)
        memcpy(text, strings->data, strings->size);
    return WASI_SUCCESS;
}

static uint16_t get_sizes(struct call *call, const struct strings *strings, const wasmtime_val_raw_t *arg) {
    result32(call, WASI_SUCCESS, U32(0), strings->count);
    return result32(call, WASI_SUCCESS, U32(1), strings->size);
}

FUNCTION(args_get) { return get_strings(call, &call->wasi->arguments, arg); }
FUNCTION(args_sizes_get) { return get_sizes(call, &call->wasi->arguments, arg); }
FUNCTION(environ_get) { return get_strings(call, &call->wasi->environment, arg); }
FUNCTION(environ_sizes_get) { return get_sizes(call, &call->wasi->environment, arg); }

/* Realtime and monotonic. There are clocks 2 and 3, of processor time, which a sandbox does not tell. */
static uint16_t check_clock(uint32_t clock) { return clock <= 1 ? WASI_SUCCESS : clock <= 3 ? WASI_BADF : WASI_INVAL; }

FUNCTION(clock_res_get) {
    return result64(call, check_clock(U32(0)), U32(1), call->wasi->options.clock_resolution);
}

FUNCTION(clock_time_get) {
    uint16_t error = check_clock(U32(0));
    return result64(call, error, U32(2), error ? 0 : wrt_wasi_now(call->wasi, U32(0)));
}

FUNCTION(random_get) {
    uint32_t done = 0, size = U32(1);
    do {
        BYTES(out, 0, size, 1); /* again after each look, which may move it */
        uint32_t count = size - done < MAX_TRANSFER ? size - done : MAX_TRANSFER;
        uint16_t error = wrt_random_fill(call->wasi, out + done, count);
        if (error)
            return error;
        done += count;
    } while (done < size && wrt_call_look(call));
    return WASI_SUCCESS;
}

FUNCTION(poll_oneoff) {
    uint32_t happened = 0;
    uint16_t error = wrt_poll_oneoff(call, U32(0), U32(1), U32(2), &happened);
    return result32(call, error, U32(3), happened);
}

/* ---- Processes, sockets ---- */

FUNCTION(proc_exit) {
    char text[40]; /* _failure.py reads it */
    snprintf(text, sizeof text, "wasi exit with code %u", U32(0));
    call->trap = wrt_trap_saying(text);
    return WASI_SUCCESS;
}

FUNCTION(proc_raise) {
    (void)call;
    return U32(0) <= 30 ? WASI_NOTSUP : WASI_INVAL;
}

FUNCTION(sched_yield) {
    (void)call, (void)arg;
    return WASI_SUCCESS;
}

/* There are no sockets: nothing opens one. */
static uint16_t no_socket(const struct call *call, uint32_t fd, bool valid) {
    if (!valid)
        return WASI_INVAL;
    return wrt_files_kind(call->wasi->files, fd) == WRT_FILES_NONE ? WASI_BADF : WASI_NOTSOCK;
}

FUNCTION(sock_accept) { return no_socket(call, U32(0), U32(1) <= 31); }
FUNCTION(sock_recv) { return no_socket(call, U32(0), U32(3) <= 3); }
FUNCTION(sock_send) { return no_socket(call, U32(0), true); }
FUNCTION(sock_shutdown) { return no_socket(call, U32(0), U32(1) <= 3); }

/* ---- Reading and writing ---- */

/* With `read` for both directions, since what they have in common is more than what differs. */
static uint16_t transfer(struct call *call, const wasmtime_val_raw_t *arg, bool reads) {
    wrt_files_t *files = call->wasi->files;
    int stream = wrt_files_stream(files, U32(0));
    uint32_t done = 0;
    uint16_t error;
    if (stream >= 0 && reads == (stream == 0)) {
        BYTES(checked, 3, 4, 4); /* before anything is taken from the host, or given to it */
        (void)checked;
        error = (reads ? wrt_stream_read : wrt_stream_write)(
            call, &call->wasi->streams[stream], U32(1), U32(2), &done);
    } else {
        struct iovec buffers[MAX_BUFFERS];
        int count = wrt_call_buffers(call, U32(1), U32(2), buffers);
        if (count < 0)
            return WASI_SUCCESS;
        error = (reads ? wrt_files_fd_read : wrt_files_fd_write)(files, U32(0), buffers, (size_t)count, &done);
    }
    return result32(call, error, U32(3), done);
}

static uint16_t transfer_at(struct call *call, const wasmtime_val_raw_t *arg, bool reads) {
    struct iovec buffers[MAX_BUFFERS];
    uint32_t done = 0;
    int count = wrt_call_buffers(call, U32(1), U32(2), buffers);
    if (count < 0)
        return WASI_SUCCESS;
    uint16_t error = (reads ? wrt_files_fd_pread : wrt_files_fd_pwrite)(
        call->wasi->files, U32(0), buffers, (size_t)count, U64(3), &done);
    return result32(call, error, U32(4), done);
}

FUNCTION(fd_read) { return transfer(call, arg, true); }
FUNCTION(fd_write) { return transfer(call, arg, false); }
FUNCTION(fd_pread) { return transfer_at(call, arg, true); }
FUNCTION(fd_pwrite) { return transfer_at(call, arg, false); }

/* ---- Descriptors ---- */

#define FILES call->wasi->files

FUNCTION(fd_advise) { return wrt_files_fd_advise(FILES, U32(0), U64(1), U64(2), U32(3)); }
FUNCTION(fd_allocate) { return wrt_files_fd_allocate(FILES, U32(0), U64(1), U64(2)); }
FUNCTION(fd_close) { return wrt_files_fd_close(FILES, U32(0)); }
FUNCTION(fd_datasync) { return wrt_files_fd_datasync(FILES, U32(0)); }
FUNCTION(fd_fdstat_set_flags) { return wrt_files_fd_fdstat_set_flags(FILES, U32(0), U32(1)); }
FUNCTION(fd_fdstat_set_rights) { return wrt_files_fd_fdstat_set_rights(FILES, U32(0), U64(1), U64(2)); }
FUNCTION(fd_filestat_set_size) { return wrt_files_fd_filestat_set_size(FILES, U32(0), U64(1)); }
FUNCTION(fd_filestat_set_times) {
    return wrt_files_fd_filestat_set_times(FILES, U32(0), U64(1), U64(2), U32(3));
}
FUNCTION(fd_renumber) { return wrt_files_fd_renumber(FILES, U32(0), U32(1)); }
FUNCTION(fd_sync) { return wrt_files_fd_sync(FILES, U32(0)); }

/* What a function wrote to `from`, if it succeeded. */
static uint16_t result_bytes(struct call *call, uint16_t error, uint32_t address, const uint8_t *from, size_t size) {
    uint8_t *out = error ? NULL : wrt_call_memory(call, address, size, size == 8 ? 4 : 8);
    if (out)
        memcpy(out, from, size);
    return error;
}

FUNCTION(fd_fdstat_get) {
    uint8_t status[24] = {0};
    return result_bytes(call, wrt_files_fd_fdstat_get(FILES, U32(0), status), U32(1), status, sizeof status);
}

FUNCTION(fd_filestat_get) {
    uint8_t status[64] = {0};
    return result_bytes(call, wrt_files_fd_filestat_get(FILES, U32(0), status), U32(1), status, sizeof status);
}

FUNCTION(fd_prestat_get) {
    uint8_t status[8] = {0};
    return result_bytes(call, wrt_files_fd_prestat_get(FILES, U32(0), status), U32(1), status, sizeof status);
}

FUNCTION(fd_prestat_dir_name) {
    BYTES(out, 1, U32(2), 1);
    return wrt_files_fd_prestat_dir_name(FILES, U32(0), out, U32(2));
}

FUNCTION(fd_readdir) {
    BYTES(out, 1, U32(2), 1);
    uint32_t used = 0;
    uint16_t error = wrt_files_fd_readdir(FILES, U32(0), out, U32(2), U64(3), &used);
    return result32(call, error, U32(4), used);
}

FUNCTION(fd_seek) {
    uint64_t position = 0;
    uint16_t error = wrt_files_fd_seek(FILES, U32(0), arg[1].i64, U32(2), &position);
    return result64(call, error, U32(3), position);
}

FUNCTION(fd_tell) {
    uint64_t position = 0;
    uint16_t error = wrt_files_fd_tell(FILES, U32(0), &position);
    return result64(call, error, U32(1), position);
}

/* ---- Paths ---- */

FUNCTION(path_create_directory) {
    BYTES(path, 1, U32(2), 1);
    return wrt_files_path_create_directory(FILES, U32(0), path, U32(2));
}

FUNCTION(path_filestat_get) {
    BYTES(path, 2, U32(3), 1);
    uint8_t status[64] = {0};
    uint16_t error = wrt_files_path_filestat_get(FILES, U32(0), U32(1), path, U32(3), status);
    return result_bytes(call, error, U32(4), status, sizeof status);
}

FUNCTION(path_filestat_set_times) {
    BYTES(path, 2, U32(3), 1);
    return wrt_files_path_filestat_set_times(FILES, U32(0), U32(1), path, U32(3), U64(4), U64(5), U32(6));
}

FUNCTION(path_link) {
    BYTES(old_path, 2, U32(3), 1);
    BYTES(new_path, 5, U32(6), 1);
    return wrt_files_path_link(FILES, U32(0), U32(1), old_path, U32(3), U32(4), new_path, U32(6));
}

FUNCTION(path_open) {
    BYTES(path, 2, U32(3), 1);
    uint32_t opened = 0;
    uint16_t error = wrt_files_path_open(
        FILES, U32(0), U32(1), path, U32(3), U32(4), U64(5), U64(6), U32(7), &opened);
    return result32(call, error, U32(8), opened);
}

FUNCTION(path_readlink) {
    BYTES(path, 1, U32(2), 1);
    BYTES(out, 3, U32(4), 1);
    uint32_t used = 0;
    uint16_t error = wrt_files_path_readlink(FILES, U32(0), path, U32(2), out, U32(4), &used);
    return result32(call, error, U32(5), used);
}

FUNCTION(path_remove_directory) {
    BYTES(path, 1, U32(2), 1);
    return wrt_files_path_remove_directory(FILES, U32(0), path, U32(2));
}

FUNCTION(path_rename) {
    BYTES(old_path, 1, U32(2), 1);
    BYTES(new_path, 4, U32(5), 1);
    return wrt_files_path_rename(FILES, U32(0), old_path, U32(2), U32(3), new_path, U32(5));
}

FUNCTION(path_symlink) {
    BYTES(old_path, 0, U32(1), 1);
    BYTES(new_path, 3, U32(4), 1);
    return wrt_files_path_symlink(FILES, old_path, U32(1), U32(2), new_path, U32(4));
}

FUNCTION(path_unlink_file) {
    BYTES(path, 1, U32(2), 1);
    return wrt_files_path_unlink_file(FILES, U32(0), path, U32(2));
}

/* ---- The table ---- */

struct function {
    wrt_wasi_function_t type;
    uint16_t (*run)(struct call *call, const wasmtime_val_raw_t *arg);
};

#define ROW(name, params) {{#name, params}, name}

static const struct function functions[] = {
    ROW(args_get, "ii"),
    ROW(args_sizes_get, "ii"),
    ROW(clock_res_get, "ii"),
    ROW(clock_time_get, "iIi"),
    ROW(environ_get, "ii"),
    ROW(environ_sizes_get, "ii"),
    ROW(fd_advise, "iIIi"),
    ROW(fd_allocate, "iII"),
    ROW(fd_close, "i"),
    ROW(fd_datasync, "i"),
    ROW(fd_fdstat_get, "ii"),
    ROW(fd_fdstat_set_flags, "ii"),
    ROW(fd_fdstat_set_rights, "iII"),
    ROW(fd_filestat_get, "ii"),
    ROW(fd_filestat_set_size, "iI"),
    ROW(fd_filestat_set_times, "iIIi"),
    ROW(fd_pread, "iiiIi"),
    ROW(fd_prestat_dir_name, "iii"),
    ROW(fd_prestat_get, "ii"),
    ROW(fd_pwrite, "iiiIi"),
    ROW(fd_read, "iiii"),
    ROW(fd_readdir, "iiiIi"),
    ROW(fd_renumber, "ii"),
    ROW(fd_seek, "iIii"),
    ROW(fd_sync, "i"),
    ROW(fd_tell, "ii"),
    ROW(fd_write, "iiii"),
    ROW(path_create_directory, "iii"),
    ROW(path_filestat_get, "iiiii"),
    ROW(path_filestat_set_times, "iiiiIIi"),
    ROW(path_link, "iiiiiii"),
    ROW(path_open, "iiiiiIIii"),
    ROW(path_readlink, "iiiiii"),
    ROW(path_remove_directory, "iii"),
    ROW(path_rename, "iiiiii"),
    ROW(path_symlink, "iiiii"),
    ROW(path_unlink_file, "iii"),
    ROW(poll_oneoff, "iiii"),
    ROW(proc_exit, "i"),
    ROW(proc_raise, "i"),
    ROW(random_get, "ii"),
    ROW(sched_yield, ""),
    ROW(sock_accept, "iii"),
    ROW(sock_recv, "iiiiii"),
    ROW(sock_send, "iiiii"),
    ROW(sock_shutdown, "ii"),
};

const wrt_wasi_function_t *wrt_wasi_function(size_t index) {
    return index < sizeof functions / sizeof *functions ? &functions[index].type : NULL;
}

static wasm_trap_t *trampoline(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *slots, size_t count) {
    const struct function *function = env;
    wrt_store_t *store = wasmtime_context_get_data(wasmtime_caller_context(caller));
    struct call call = {.caller = caller, .store = store, .wasi = store->wasi};
    (void)count;
    if (!call.wasi) /* Python refuses such a store earlier, unless the function came by another way */
        return wrt_trap_saying("this store has no WASI");
    wasm_trap_t *over = wrt_limits_look(store->epochs);
    if (over)
        return over;
    call.wasi->epochs = store->epochs;
    uint16_t error = function->run(&call, slots);
    if ((over = wrt_limits_look(store->epochs))) { /* it counts for more than an exit */
        if (call.trap)
            wasm_trap_delete(call.trap);
        return over;
    }
    slots[0].i64 = 0;
    slots[0].i32 = error;
    return call.trap;
}

static wasm_functype_t *type_of(const wrt_wasi_function_t *function) {
    wasm_valtype_t *types[9], *result[1];
    wasm_valtype_vec_t params, results;
    size_t count = strlen(function->params), returned = strcmp(function->name, "proc_exit") != 0;
    for (size_t i = 0; i < count; i++)
        types[i] = wasm_valtype_new(function->params[i] == 'i' ? WASM_I32 : WASM_I64);
    if (returned)
        result[0] = wasm_valtype_new(WASM_I32);
    wasm_valtype_vec_new(&params, count, types);
    wasm_valtype_vec_new(&results, returned, result);
    return wasm_functype_new(&params, &results);
}

wasmtime_error_t *wrt_wasi_define(wasmtime_linker_t *linker) {
    static const char module[] = "wasi_snapshot_preview1";
    wasmtime_error_t *error = NULL;
    for (size_t i = 0; !error && i < sizeof functions / sizeof *functions; i++) {
        const char *name = functions[i].type.name;
        wasm_functype_t *type = type_of(&functions[i].type);
        error = wasmtime_linker_define_func_unchecked(
            linker, module, sizeof module - 1, name, strlen(name), type, trampoline, (void *)(uintptr_t)&functions[i],
            NULL);
        wasm_functype_delete(type);
    }
    return error;
}
