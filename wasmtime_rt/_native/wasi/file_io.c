/* The functions of WASI on open files: data, position, size. */
#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MAX_BUFFERS = 1024,
    MAX_TRANSFER = 1 << 20, /* bytes of one read or write, so that limits are looked at in between */
};

/* ---- Data ---- */

/* Cuts the buffers to `most` bytes. Returns how many buffers and sets how many bytes are left. */
static int cut(struct iovec *buffers, size_t count, uint64_t most, size_t *total) {
    size_t kept = 0;
    *total = 0;
    for (; kept < count && kept < MAX_BUFFERS && *total < most; kept++) {
        if (buffers[kept].iov_len > most - *total)
            buffers[kept].iov_len = (size_t)(most - *total);
        *total += buffers[kept].iov_len;
    }
    return (int)kept;
}

/* Whether to repeat a call that failed: a signal interrupted it, and no limit ends the program. */
static bool again(const wrt_files_t *files) { return errno == EINTR && files->look && files->look(files->look_data); }

static uint16_t read_at(
    wrt_files_t *files, const wrt_descriptor_t *file, struct iovec *buffers, size_t count, uint64_t offset,
    uint32_t *done) {
    size_t total;
    int kept = cut(buffers, count, MAX_TRANSFER, &total);
    if (offset > INT64_MAX)
        return WASI_INVAL;
    ssize_t result;
    do
        result = preadv(file->host, buffers, kept, (off_t)offset);
    while (result < 0 && again(files));
    if (result < 0)
        return wrt_wasi_errno(errno);
    *done = (uint32_t)result;
    return WASI_SUCCESS;
}

/* Bytes between the end of a file and `offset`, which a file system may have to store. */
static uint16_t hole(const wrt_files_t *files, const wrt_descriptor_t *file, uint64_t offset, uint64_t *size) {
    struct stat status;
    *size = 0;
    if (!offset || file->flags & WASI_FD_APPEND || files->limits.max_written == UINT64_MAX)
        return WASI_SUCCESS;
    if (wrt_fstat(file->host, &status) != 0)
        return wrt_wasi_errno(errno);
    if (offset > (uint64_t)status.st_size)
        *size = offset - (uint64_t)status.st_size;
    return WASI_SUCCESS;
}

static uint16_t write_at(
    wrt_files_t *files, const wrt_descriptor_t *file, struct iovec *buffers, size_t count, uint64_t offset,
    uint32_t *done) {
    size_t wanted, total;
    uint64_t left = files->limits.max_written - files->usage.written, before;
    int kept = cut(buffers, count, MAX_TRANSFER, &wanted);
    if (!file->writes)
        return WASI_BADF;
    if (offset > INT64_MAX)
        return WASI_INVAL;
    uint16_t error = hole(files, file, offset, &before);
    if (error)
        return error;
    if (wanted && left <= before)
        return wrt_files_over(files, WRT_FILES_HIT_WRITTEN);
    kept = cut(buffers, (size_t)kept, wanted ? left - before : 0, &total);
    ssize_t result;
    do
        result = pwritev(file->host, buffers, kept, (off_t)offset);
    while (result < 0 && again(files));
    if (result < 0)
        return wrt_wasi_errno(errno);
    files->usage.written += result ? before + (uint64_t)result : 0;
    *done = (uint32_t)result;
    return WASI_SUCCESS;
}

uint16_t wrt_files_fd_read(wrt_files_t *files, uint32_t fd, struct iovec *buffers, size_t count, uint32_t *done) {
    wrt_descriptor_t *file = wrt_files_find_kind(files, fd, WRT_FILES_FILE);
    if (!file)
        return WASI_BADF;
    uint16_t error = read_at(files, file, buffers, count, file->position, done);
    if (!error)
        file->position += *done;
    return error;
}

uint16_t wrt_files_fd_pread(
    wrt_files_t *files, uint32_t fd, struct iovec *buffers, size_t count, uint64_t offset, uint32_t *done) {
    const wrt_descriptor_t *found = wrt_files_find(files, fd);
    if (found && found->kind == WRT_FILES_STDIN)
        return WASI_SPIPE;
    if (!found || found->kind != WRT_FILES_FILE)
        return WASI_BADF;
    return read_at(files, found, buffers, count, offset, done);
}

uint16_t wrt_files_fd_write(wrt_files_t *files, uint32_t fd, struct iovec *buffers, size_t count, uint32_t *done) {
    wrt_descriptor_t *file = wrt_files_find_kind(files, fd, WRT_FILES_FILE);
    if (!file)
        return WASI_BADF;
    uint64_t position = file->flags & WASI_FD_APPEND ? 0 : file->position; /* the system ignores it when appending */
    uint16_t error = write_at(files, file, buffers, count, position, done);
    struct stat status;
    if (error)
        return error;
    if (!(file->flags & WASI_FD_APPEND))
        file->position += *done;
    else if (wrt_fstat(file->host, &status) == 0)
        file->position = (uint64_t)status.st_size;
    return WASI_SUCCESS;
}

/* A file that appends does so at any offset, as on Linux. */
uint16_t wrt_files_fd_pwrite(
    wrt_files_t *files, uint32_t fd, struct iovec *buffers, size_t count, uint64_t offset, uint32_t *done) {
    const wrt_descriptor_t *found = wrt_files_find(files, fd);
    if (found && (found->kind == WRT_FILES_STDOUT || found->kind == WRT_FILES_STDERR))
        return WASI_SPIPE;
    if (!found || found->kind != WRT_FILES_FILE)
        return WASI_BADF;
    return write_at(files, found, buffers, count, offset, done);
}

/* ---- Position ---- */

static uint16_t find_seekable(const wrt_files_t *files, uint32_t fd, wrt_descriptor_t **file) {
    *file = wrt_files_find(files, fd);
    if (!*file || (*file)->kind == WRT_FILES_DIRECTORY)
        return WASI_BADF;
    return (*file)->kind == WRT_FILES_FILE ? WASI_SUCCESS : WASI_SPIPE;
}

uint16_t wrt_files_fd_seek(wrt_files_t *files, uint32_t fd, int64_t offset, uint32_t whence, uint64_t *position) {
    wrt_descriptor_t *file;
    struct stat status;
    if (whence > 2)
        return WASI_INVAL;
    uint16_t error = find_seekable(files, fd, &file);
    if (error)
        return error;
    uint64_t from = 0;
    if (whence == 1)
        from = file->position;
    if (whence == 2) {
        if (wrt_fstat(file->host, &status) != 0)
            return wrt_wasi_errno(errno);
        from = (uint64_t)status.st_size;
    }
    uint64_t to = from + (uint64_t)offset;
    if (offset < 0 ? to > from : to < from)
        return WASI_INVAL;
    *position = file->position = to;
    return WASI_SUCCESS;
}

uint16_t wrt_files_fd_tell(wrt_files_t *files, uint32_t fd, uint64_t *position) {
    wrt_descriptor_t *file;
    uint16_t error = find_seekable(files, fd, &file);
    if (!error)
        *position = file->position;
    return error;
}

uint16_t wrt_files_remaining(const wrt_files_t *files, uint32_t fd, uint64_t *bytes) {
    const wrt_descriptor_t *file = wrt_files_find_kind(files, fd, WRT_FILES_FILE);
    struct stat status;
    if (!file)
        return WASI_BADF;
    if (wrt_fstat(file->host, &status) != 0)
        return wrt_wasi_errno(errno);
    uint64_t size = (uint64_t)status.st_size;
    *bytes = size > file->position ? size - file->position : 0;
    return WASI_SUCCESS;
}

/* ---- Size, storage ---- */

uint16_t wrt_files_fd_filestat_set_size(wrt_files_t *files, uint32_t fd, uint64_t size) {
    const wrt_descriptor_t *file = wrt_files_find_kind(files, fd, WRT_FILES_FILE);
    struct stat status;
    if (!file)
        return WASI_BADF;
    if (!file->changes)
        return WASI_PERM;
    if (!file->writes || size > INT64_MAX)
        return WASI_INVAL;
    if (wrt_fstat(file->host, &status) != 0)
        return wrt_wasi_errno(errno);
    uint64_t before = (uint64_t)status.st_size, growth = size > before ? size - before : 0;
    if (growth > files->limits.max_written - files->usage.written)
        return wrt_files_over(files, WRT_FILES_HIT_WRITTEN);
    if (ftruncate(file->host, (off_t)size) != 0)
        return wrt_wasi_errno(errno);
    files->usage.written += growth;
    return WASI_SUCCESS;
}

/* As the engine: storage is allocated when data is written. */
uint16_t wrt_files_fd_allocate(wrt_files_t *files, uint32_t fd, uint64_t offset, uint64_t length) {
    (void)offset, (void)length;
    return wrt_files_find_kind(files, fd, WRT_FILES_FILE) ? WASI_NOTSUP : WASI_BADF;
}

uint16_t wrt_files_fd_advise(wrt_files_t *files, uint32_t fd, uint64_t offset, uint64_t length, uint32_t advice) {
    static const int advices[] = {
        POSIX_FADV_NORMAL, POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
        POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE};
    if (advice >= sizeof advices / sizeof *advices)
        return WASI_INVAL;
    const wrt_descriptor_t *file = wrt_files_find_kind(files, fd, WRT_FILES_FILE);
    if (!file)
        return WASI_BADF;
    if (offset > INT64_MAX || length > INT64_MAX)
        return WASI_INVAL;
    if (advices[advice] == POSIX_FADV_WILLNEED && (!length || length > MAX_TRANSFER))
        length = MAX_TRANSFER; /* the system reads ahead as much as it is asked for */
    return wrt_wasi_errno(posix_fadvise(file->host, (off_t)offset, (off_t)length, advices[advice]));
}

static uint16_t synchronize(wrt_files_t *files, uint32_t fd, int (*call)(int)) {
    const wrt_descriptor_t *file = wrt_files_find_kind(files, fd, WRT_FILES_FILE);
    if (!file)
        return WASI_BADF;
    return call(file->host) == 0 ? WASI_SUCCESS : wrt_wasi_errno(errno);
}

uint16_t wrt_files_fd_datasync(wrt_files_t *files, uint32_t fd) { return synchronize(files, fd, fdatasync); }

uint16_t wrt_files_fd_sync(wrt_files_t *files, uint32_t fd) { return synchronize(files, fd, fsync); }
