/* Status of files: type, size, times. */
#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The C library and the kernel lay out `struct stat` alike on 64-bit machines. */
_Static_assert(sizeof(void *) == 8, "a 64-bit machine");

int wrt_fstat(int host, struct stat *status) { return (int)syscall(SYS_fstat, host, status); }

int wrt_fstatat(int folder, const char *name, struct stat *status, int flags) {
    return (int)syscall(SYS_newfstatat, folder, name, status, flags);
}

/* Device numbers of the host mean nothing to a program, which sees one device. */
uint64_t wrt_file_identity(uint64_t device, uint64_t number) {
    uint64_t x = number + device * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint8_t wrt_file_type(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG: return WASI_FILETYPE_REGULAR_FILE;
    case S_IFDIR: return WASI_FILETYPE_DIRECTORY;
    case S_IFLNK: return WASI_FILETYPE_SYMBOLIC_LINK;
    case S_IFCHR: return WASI_FILETYPE_CHARACTER_DEVICE;
    case S_IFBLK: return WASI_FILETYPE_BLOCK_DEVICE;
    default: return WASI_FILETYPE_UNKNOWN;
    }
}

/* Nanoseconds since 1970, or 0 for times before. */
static uint64_t nanoseconds(struct timespec time) {
    return time.tv_sec < 0 ? 0 : (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void wrt_write_filestat(const struct stat *status, uint8_t *out) {
    memset(out, 0, 64); /* no bytes of the host between the fields */
    put64(out, 1);
    put64(out + 8, wrt_file_identity(status->st_dev, status->st_ino));
    out[16] = wrt_file_type(status->st_mode);
    put64(out + 24, status->st_nlink);
    put64(out + 32, (uint64_t)status->st_size);
    put64(out + 40, nanoseconds(status->st_atim));
    put64(out + 48, nanoseconds(status->st_mtim));
    put64(out + 56, nanoseconds(status->st_ctim));
}

uint16_t wrt_files_fd_filestat_get(wrt_files_t *files, uint32_t fd, uint8_t *out) {
    const wrt_descriptor_t *found = wrt_files_find(files, fd);
    struct stat status;
    if (!found)
        return WASI_BADF;
    if (found->kind <= WRT_FILES_STDERR) {
        memset(out, 0, 64);
        out[16] = files->stream_types[found->kind];
        return WASI_SUCCESS;
    }
    if (wrt_fstat(found->host, &status) != 0)
        return wrt_wasi_errno(errno);
    wrt_write_filestat(&status, out);
    return WASI_SUCCESS;
}

/* ---- Setting times ---- */

static bool decode_time(uint64_t time, bool set, bool now, struct timespec *out) {
    *out = (struct timespec){.tv_nsec = now ? UTIME_NOW : UTIME_OMIT};
    if (set)
        *out = (struct timespec){(time_t)(time / 1000000000u), (long)(time % 1000000000u)};
    return !(set && now);
}

uint16_t wrt_decode_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec times[2]) {
    bool right = flags < 16 && decode_time(atim, flags & 1, flags & 2, &times[0]);
    return right && decode_time(mtim, flags & 4, flags & 8, &times[1]) ? WASI_SUCCESS : WASI_INVAL;
}

uint16_t wrt_files_fd_filestat_set_times(
    wrt_files_t *files, uint32_t fd, uint64_t atim, uint64_t mtim, uint32_t flags) {
    struct timespec times[2];
    uint16_t error = wrt_decode_times(atim, mtim, flags, times);
    if (error)
        return error;
    const wrt_descriptor_t *found = wrt_files_find(files, fd);
    if (!found || found->kind <= WRT_FILES_STDERR)
        return WASI_BADF;
    if (!found->changes)
        return WASI_PERM;
    return futimens(found->host, times) == 0 ? WASI_SUCCESS : wrt_wasi_errno(errno);
}
