/* The function path_open: which files a program may open, and how they are opened. */
#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { MAX_TRIES = 8 };

struct opening {
    int directory;
    char path[WRT_PATH_SIZE];
    int access; /* O_RDONLY, O_WRONLY or O_RDWR, and O_NOFOLLOW */
    uint32_t oflags;
};

static int close_and(int host, int result) {
    close(host);
    return result;
}

/* Opens a file that does not exist yet. */
static int create(wrt_files_t *files, const struct opening *opening, struct stat *status) {
    if (files->usage.created >= files->limits.max_created) {
        wrt_files_over(files, WRT_FILES_HIT_CREATED);
        return -EDQUOT;
    }
    /* The number that the file will get, looked at before anything is created. */
    int number = fcntl(opening->directory, F_DUPFD_CLOEXEC, 0);
    bool room = wrt_files_process_room(files, number);
    if (number >= 0)
        close(number);
    if (!room)
        return -EMFILE;
    int flags = O_CREAT | (opening->oflags & WASI_OPEN_EXCL ? O_EXCL : 0) | opening->access;
    int host = wrt_open_beneath(opening->directory, opening->path, flags, 0666);
    if (host < 0)
        return host;
    files->usage.created++;
    if (wrt_fstat(host, status) != 0)
        return close_and(host, -errno);
    return S_ISREG(status->st_mode) ? host : close_and(host, -EACCES); /* another process was faster */
}

/* Whether a file is in /proc: a mount of / shows it, and /proc/self/mem is the memory of this process. */
static bool on_proc(int known) {
    struct statfs where;
    return fstatfs(known, &where) == 0 && where.f_type == PROC_SUPER_MAGIC;
}

/* Opens the file whose status, taken through an O_PATH descriptor, is `known`. Returns -EAGAIN if another file has
 * taken its place.
 */
static int open_known(wrt_files_t *files, const struct opening *opening, const struct stat *known) {
    bool directory = S_ISDIR(known->st_mode), wants = opening->oflags & WASI_OPEN_DIRECTORY;
    struct stat status;
    if (opening->oflags & WASI_OPEN_CREAT && opening->oflags & WASI_OPEN_EXCL)
        return -EEXIST;
    if (S_ISLNK(known->st_mode))
        return -ELOOP;
    if (wants && !directory)
        return -ENOTDIR;
    if (!directory && !S_ISREG(known->st_mode))
        return -EACCES;
    if (directory && (opening->access & O_ACCMODE) != O_RDONLY)
        return -EISDIR;
    int flags = opening->access | (directory ? O_DIRECTORY : 0);
    int host = wrt_open_beneath(opening->directory, opening->path, flags, 0);
    if (host < 0)
        return host;
    if (wrt_fstat(host, &status) != 0)
        return close_and(host, -errno);
    if (status.st_dev != known->st_dev || status.st_ino != known->st_ino)
        return close_and(host, -EAGAIN);
    if (!wrt_files_process_room(files, host))
        return close_and(host, -EMFILE);
    if (opening->oflags & WASI_OPEN_TRUNC && ftruncate(host, 0) != 0)
        return close_and(host, -errno);
    return host;
}

/* Opens a regular file or a folder.
 *
 * Opening a FIFO or a device can block or have effects. So the path is first resolved to an O_PATH descriptor, which
 * opens nothing. If that is a regular file or a folder, the path is opened, and both descriptors must be of the same
 * file. Opening the link in /proc/self/fd would need no comparison, but not every process has /proc. A device that is
 * swapped in between the two calls is opened with O_NONBLOCK and O_NOCTTY, and closed again.
 */
static int open_checked(wrt_files_t *files, const struct opening *opening, struct stat *status) {
    int result = -EAGAIN;
    for (int tries = 0; result == -EAGAIN && tries < MAX_TRIES; tries++) {
        int known = wrt_open_beneath(opening->directory, opening->path, O_PATH | (opening->access & O_NOFOLLOW), 0);
        if (known == -ENOENT && opening->oflags & WASI_OPEN_CREAT)
            return create(files, opening, status);
        if (known < 0)
            return known;
        result = wrt_fstat(known, status) != 0 ? -errno : on_proc(known) ? -EACCES : open_known(files, opening, status);
        close(known); /* after the comparison: an open file keeps its inode number */
    }
    return result;
}

uint16_t wrt_files_path_open(
    wrt_files_t *files, uint32_t fd, uint32_t lookup, const uint8_t *path, uint32_t length, uint32_t oflags,
    uint64_t base, uint64_t inheriting, uint32_t fdflags, uint32_t *opened) {
    struct opening opening;
    struct stat status;
    if (lookup > 1 || oflags > 15 || fdflags > 31 || (base | inheriting) & ~(uint64_t)WASI_RIGHTS)
        return WASI_INVAL;
    uint16_t error = wrt_path_copy(opening.path, path, length);
    if (error)
        return error;
    const wrt_descriptor_t *folder = wrt_files_find(files, fd);
    if (!folder || folder->kind <= WRT_FILES_STDERR)
        return WASI_BADF;
    if (folder->kind == WRT_FILES_FILE)
        return WASI_NOTDIR;
    if (fdflags & (WASI_FD_DSYNC | WASI_FD_RSYNC | WASI_FD_SYNC))
        return WASI_NOTSUP;
    if (oflags & WASI_OPEN_DIRECTORY && oflags & ~(uint32_t)WASI_OPEN_DIRECTORY)
        return WASI_INVAL;
    bool reads = base & WASI_RIGHT_READ || !(base & WASI_RIGHT_WRITE);
    bool writes = base & WASI_RIGHT_WRITE || oflags & (WASI_OPEN_CREAT | WASI_OPEN_TRUNC), changes = folder->changes;
    if (writes && !changes)
        return WASI_PERM;
    error = wrt_path_check(opening.path, length);
    if (!error)
        error = wrt_files_room(files);
    if (error)
        return error;
    opening.directory = folder->host;
    opening.oflags = oflags;
    bool anew = oflags & WASI_OPEN_CREAT && oflags & WASI_OPEN_EXCL; /* then a link is something that exists */
    bool follow = lookup & WASI_LOOKUP_FOLLOW && !anew;
    opening.access = (writes ? reads ? O_RDWR : O_WRONLY : O_RDONLY) | (follow ? 0 : O_NOFOLLOW) |
        (fdflags & WASI_FD_APPEND ? O_APPEND : 0);
    int host = open_checked(files, &opening, &status);
    if (host < 0)
        return wrt_files_failed(files, host);
    wrt_descriptor_t descriptor = {
        .kind = S_ISDIR(status.st_mode) ? WRT_FILES_DIRECTORY : WRT_FILES_FILE, .host = host, .reads = reads,
        .writes = writes, .changes = changes, .flags = fdflags & (WASI_FD_APPEND | WASI_FD_NONBLOCK)};
    if (descriptor.kind == WRT_FILES_DIRECTORY)
        descriptor.flags = 0;
    return wrt_files_add(files, &descriptor, opened);
}
