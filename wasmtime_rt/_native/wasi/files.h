/* The files of a WASI program: its descriptors, its mounts, and the functions of preview 1 on both.
 *
 * Plain C on Linux system calls. A `wrt_files_t` belongs to one store, and one thread uses it at a time.
 *
 * - A path is resolved beneath the folder whose descriptor the program gives. Neither `..` nor a link leaves it.
 * - Only regular files and folders are opened. A FIFO, a socket or a device gives WASI_ACCES. Opening never blocks.
 * - Nothing below a read-only mount is changed.
 * - Loops and allocations are bounded by constants and by the limits below, not by what the program asks for.
 *
 * A read, a write or a sync of a regular file waits for the file system. No time limit bounds a file system that
 * does not answer, such as a network mount whose server is gone.
 */
#ifndef WRT_WASI_FILES_H
#define WRT_WASI_FILES_H

#include "wasi_errno.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

typedef struct wrt_files wrt_files_t;

/* ---- Limits ---- */

/* Limits that made a call fail: bits of `wrt_files_usage_t.hit`. */
enum {
    WRT_FILES_HIT_DESCRIPTORS = 1, /* the program has `max_descriptors` open: WASI_MFILE */
    WRT_FILES_HIT_PROCESS = 2,     /* the process has too few descriptors left: WASI_MFILE */
    WRT_FILES_HIT_WRITTEN = 4,     /* `max_written` bytes were written: WASI_DQUOT */
    WRT_FILES_HIT_CREATED = 8,     /* `max_created` files, folders and links were created: WASI_DQUOT */
};

typedef struct wrt_files_limits {
    uint32_t max_descriptors; /* streams and mounts count, as they do for `ulimit -n` */
    uint64_t max_written;     /* bytes written to files, and bytes by which seeking and set_size make files larger */
    uint64_t max_created;     /* files, folders, hard and symbolic links; removing one does not give it back */
} wrt_files_limits_t;

typedef struct wrt_files_usage {
    uint64_t written, created;
    uint32_t descriptors; /* open now */
    uint32_t hit;         /* WRT_FILES_HIT_* */
} wrt_files_usage_t;

/* ---- Life ---- */

/* Descriptors 0, 1 and 2 are streams. `max_descriptors` is at least 3. NULL if there is no memory. */
wrt_files_t *wrt_files_new(const wrt_files_limits_t *limits);
/* Closes everything. Accepts NULL. */
void wrt_files_delete(wrt_files_t *files);
/* Makes the folder `directory`, a descriptor of the host that stays the caller's, the next preopened descriptor.
 * `name` (UTF-8, without NUL) is copied. Returns an error number of WASI: WASI_MFILE beyond `max_descriptors`.
 */
uint16_t wrt_files_mount(wrt_files_t *files, const char *name, size_t length, int directory, bool writable);
/* The counters since the beginning or the last `wrt_files_renew`. */
const wrt_files_usage_t *wrt_files_usage(const wrt_files_t *files);
/* Sets limits and begins to count anew. Descriptors stay open. */
void wrt_files_renew(wrt_files_t *files, const wrt_files_limits_t *limits);
/* Calls `look(data)` now and then during long calls. The call fails with WASI_INTR when it returns false. */
void wrt_files_set_look(wrt_files_t *files, bool (*look)(void *data), void *data);

/* ---- Streams ---- */

/* File types of WASI. */
enum {
    WASI_FILETYPE_UNKNOWN = 0,
    WASI_FILETYPE_BLOCK_DEVICE = 1,
    WASI_FILETYPE_CHARACTER_DEVICE = 2,
    WASI_FILETYPE_DIRECTORY = 3,
    WASI_FILETYPE_REGULAR_FILE = 4,
    WASI_FILETYPE_SYMBOLIC_LINK = 7,
};

/* The type that fdstat and filestat report for stream 0, 1 or 2: CHARACTER_DEVICE for a terminal, else UNKNOWN. */
void wrt_files_set_stream_type(wrt_files_t *files, int stream, uint8_t filetype);

/* What a descriptor is. */
enum {
    WRT_FILES_NONE = -1,
    WRT_FILES_STDIN = 0,
    WRT_FILES_STDOUT = 1,
    WRT_FILES_STDERR = 2,
    WRT_FILES_FILE = 3,
    WRT_FILES_DIRECTORY = 4,
};

int wrt_files_kind(const wrt_files_t *files, uint32_t fd);
/* The stream that `fd` is, after closing and renumbering: 0, 1 or 2. Otherwise -1. */
int wrt_files_stream(const wrt_files_t *files, uint32_t fd);
/* For poll_oneoff: the bytes between the position of a regular file and its end. WASI_BADF for anything else. */
uint16_t wrt_files_remaining(const wrt_files_t *files, uint32_t fd, uint64_t *bytes);

/* ---- Functions of preview 1, with arguments decoded and pointers checked by the caller ----
 *
 * Numbers come as the program gave them: flags, rights, `whence` and `advice` are checked here. A path is
 * `path` and `length`, not NUL-terminated, and may change meanwhile. Out-parameters are written on success only.
 */

uint16_t wrt_files_fd_advise(wrt_files_t *files, uint32_t fd, uint64_t offset, uint64_t length, uint32_t advice);
uint16_t wrt_files_fd_allocate(wrt_files_t *files, uint32_t fd, uint64_t offset, uint64_t length);
uint16_t wrt_files_fd_close(wrt_files_t *files, uint32_t fd);
uint16_t wrt_files_fd_datasync(wrt_files_t *files, uint32_t fd);
/* 24 bytes at `out`. */
uint16_t wrt_files_fd_fdstat_get(wrt_files_t *files, uint32_t fd, uint8_t *out);
uint16_t wrt_files_fd_fdstat_set_flags(wrt_files_t *files, uint32_t fd, uint32_t flags);
uint16_t wrt_files_fd_fdstat_set_rights(wrt_files_t *files, uint32_t fd, uint64_t base, uint64_t inheriting);
/* 64 bytes at `out`. */
uint16_t wrt_files_fd_filestat_get(wrt_files_t *files, uint32_t fd, uint8_t *out);
uint16_t wrt_files_fd_filestat_set_size(wrt_files_t *files, uint32_t fd, uint64_t size);
uint16_t wrt_files_fd_filestat_set_times(
    wrt_files_t *files, uint32_t fd, uint64_t atim, uint64_t mtim, uint32_t flags);
/* Reads and writes take the first 1024 buffers and the first MiB. `buffers` may be changed. They refuse streams:
 * WASI_BADF, or WASI_SPIPE where there is an offset. The caller reads and writes streams itself.
 */
uint16_t wrt_files_fd_pread(
    wrt_files_t *files, uint32_t fd, struct iovec *buffers, size_t count, uint64_t offset, uint32_t *done);
uint16_t wrt_files_fd_pwrite(
    wrt_files_t *files, uint32_t fd, struct iovec *buffers, size_t count, uint64_t offset, uint32_t *done);
uint16_t wrt_files_fd_read(wrt_files_t *files, uint32_t fd, struct iovec *buffers, size_t count, uint32_t *done);
uint16_t wrt_files_fd_write(wrt_files_t *files, uint32_t fd, struct iovec *buffers, size_t count, uint32_t *done);
/* 8 bytes at `out`. */
uint16_t wrt_files_fd_prestat_get(wrt_files_t *files, uint32_t fd, uint8_t *out);
uint16_t wrt_files_fd_prestat_dir_name(wrt_files_t *files, uint32_t fd, uint8_t *out, uint32_t size);
/* Fills `out` as WASI says: an entry that does not fit is cut, and `used == size` means that there is more. */
uint16_t wrt_files_fd_readdir(
    wrt_files_t *files, uint32_t fd, uint8_t *out, uint32_t size, uint64_t cookie, uint32_t *used);
uint16_t wrt_files_fd_renumber(wrt_files_t *files, uint32_t from, uint32_t to);
uint16_t wrt_files_fd_seek(wrt_files_t *files, uint32_t fd, int64_t offset, uint32_t whence, uint64_t *position);
uint16_t wrt_files_fd_sync(wrt_files_t *files, uint32_t fd);
uint16_t wrt_files_fd_tell(wrt_files_t *files, uint32_t fd, uint64_t *position);

uint16_t wrt_files_path_create_directory(wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length);
/* 64 bytes at `out`. */
uint16_t wrt_files_path_filestat_get(
    wrt_files_t *files, uint32_t fd, uint32_t lookup, const uint8_t *path, uint32_t length, uint8_t *out);
uint16_t wrt_files_path_filestat_set_times(
    wrt_files_t *files, uint32_t fd, uint32_t lookup, const uint8_t *path, uint32_t length, uint64_t atim,
    uint64_t mtim, uint32_t flags);
uint16_t wrt_files_path_link(
    wrt_files_t *files, uint32_t old_fd, uint32_t old_lookup, const uint8_t *old_path, uint32_t old_length,
    uint32_t new_fd, const uint8_t *new_path, uint32_t new_length);
uint16_t wrt_files_path_open(
    wrt_files_t *files, uint32_t fd, uint32_t lookup, const uint8_t *path, uint32_t length, uint32_t oflags,
    uint64_t base, uint64_t inheriting, uint32_t fdflags, uint32_t *opened);
uint16_t wrt_files_path_readlink(
    wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length, uint8_t *out, uint32_t size,
    uint32_t *used);
uint16_t wrt_files_path_remove_directory(wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length);
uint16_t wrt_files_path_rename(
    wrt_files_t *files, uint32_t old_fd, const uint8_t *old_path, uint32_t old_length, uint32_t new_fd,
    const uint8_t *new_path, uint32_t new_length);
uint16_t wrt_files_path_symlink(
    wrt_files_t *files, const uint8_t *old_path, uint32_t old_length, uint32_t fd, const uint8_t *new_path,
    uint32_t new_length);
uint16_t wrt_files_path_unlink_file(wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length);

#endif
