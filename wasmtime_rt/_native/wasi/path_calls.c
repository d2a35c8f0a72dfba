/* The functions of WASI on paths, except path_open. */
#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A path that a program gave: the folder that it is resolved in, and the text. */
struct place {
    const wrt_descriptor_t *folder;
    char path[WRT_PATH_SIZE];
    const char *name; /* the last component, after `open_parent` */
    int parent;       /* its folder */
};

/* Checks a descriptor and a path. `changes`: the path is for something that changes the mount. */
static uint16_t take(
    const wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length, bool changes, struct place *place) {
    place->folder = wrt_files_find_kind(files, fd, WRT_FILES_DIRECTORY);
    if (!place->folder)
        return WASI_BADF;
    uint16_t error = wrt_path_copy(place->path, path, length);
    if (error)
        return error;
    if (changes && !place->folder->changes)
        return WASI_PERM;
    return wrt_path_check(place->path, length);
}

/* Opens the folder of the last component. The caller closes `place->parent`. */
static uint16_t open_parent(wrt_files_t *files, struct place *place) {
    place->parent = wrt_open_parent(place->folder->host, place->path, &place->name);
    return place->parent < 0 ? wrt_files_failed(files, place->parent) : WASI_SUCCESS;
}

/* The error of a system call that returned `result`, after which `place->parent` is closed. */
static uint16_t close_parent(struct place *place, int result) {
    uint16_t error = result == 0 ? WASI_SUCCESS : wrt_wasi_errno(errno);
    close(place->parent);
    return error;
}

static uint16_t take_parent(
    wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length, struct place *place) {
    uint16_t error = take(files, fd, path, length, true, place);
    return error ? error : open_parent(files, place);
}

static uint16_t creation_room(wrt_files_t *files) {
    bool room = files->usage.created < files->limits.max_created;
    return room ? WASI_SUCCESS : wrt_files_over(files, WRT_FILES_HIT_CREATED);
}

static uint16_t created(wrt_files_t *files, uint16_t error) {
    files->usage.created += error == WASI_SUCCESS;
    return error;
}

/* ---- Changes to folders ---- */

uint16_t wrt_files_path_create_directory(wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length) {
    struct place place;
    uint16_t error = take_parent(files, fd, path, length, &place);
    if (error)
        return error;
    if ((error = creation_room(files))) {
        close(place.parent);
        return error;
    }
    return created(files, close_parent(&place, mkdirat(place.parent, place.name, 0777)));
}

uint16_t wrt_files_path_remove_directory(wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length) {
    struct place place;
    uint16_t error = take_parent(files, fd, path, length, &place);
    return error ? error : close_parent(&place, unlinkat(place.parent, place.name, AT_REMOVEDIR));
}

uint16_t wrt_files_path_unlink_file(wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length) {
    struct place place;
    uint16_t error = take_parent(files, fd, path, length, &place);
    return error ? error : close_parent(&place, unlinkat(place.parent, place.name, 0));
}

/* Checks and opens the two places of a rename or a hard link. */
static uint16_t take_two(
    wrt_files_t *files, uint32_t old_fd, uint32_t old_lookup, const uint8_t *old_path, uint32_t old_length,
    struct place *old, uint32_t new_fd, const uint8_t *new_path, uint32_t new_length, struct place *new) {
    bool folders = wrt_files_find_kind(files, old_fd, WRT_FILES_DIRECTORY) &&
        wrt_files_find_kind(files, new_fd, WRT_FILES_DIRECTORY);
    uint16_t error = folders ? take(files, old_fd, old_path, old_length, true, old) : WASI_BADF;
    if (!error)
        error = take(files, new_fd, new_path, new_length, true, new);
    if (!error && old_lookup)
        error = WASI_INVAL; /* as the engine: a link is not followed, but linked itself */
    if (!error)
        error = open_parent(files, old);
    if (!error && (error = open_parent(files, new)))
        close(old->parent);
    return error;
}

uint16_t wrt_files_path_rename(
    wrt_files_t *files, uint32_t old_fd, const uint8_t *old_path, uint32_t old_length, uint32_t new_fd,
    const uint8_t *new_path, uint32_t new_length) {
    struct place old, new;
    uint16_t error =
        take_two(files, old_fd, 0, old_path, old_length, &old, new_fd, new_path, new_length, &new);
    if (error)
        return error;
    error = close_parent(&new, renameat(old.parent, old.name, new.parent, new.name));
    close(old.parent);
    return error;
}

/* Creates a hard link. The system would follow a symbolic link if a slash stood after the old name. */
static int link_named(const struct place *old, const struct place *new) {
    struct stat status;
    if (strchr(old->name, '/')) {
        char name[NAME_MAX + 1];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(old->name, "/"), old->name);
        if (wrt_fstatat(old->parent, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
            errno = S_ISDIR(status.st_mode) ? EPERM : ENOTDIR;
        return -1;
    }
    return linkat(old->parent, old->name, new->parent, new->name, 0);
}

uint16_t wrt_files_path_link(
    wrt_files_t *files, uint32_t old_fd, uint32_t old_lookup, const uint8_t *old_path, uint32_t old_length,
    uint32_t new_fd, const uint8_t *new_path, uint32_t new_length) {
    struct place old, new;
    if (old_lookup > WASI_LOOKUP_FOLLOW)
        return WASI_INVAL;
    uint16_t error =
        take_two(files, old_fd, old_lookup, old_path, old_length, &old, new_fd, new_path, new_length, &new);
    if (error)
        return error;
    if ((error = creation_room(files)))
        close(new.parent);
    else
        error = created(files, close_parent(&new, link_named(&old, &new)));
    close(old.parent);
    return error;
}

uint16_t wrt_files_path_symlink(
    wrt_files_t *files, const uint8_t *old_path, uint32_t old_length, uint32_t fd, const uint8_t *new_path,
    uint32_t new_length) {
    struct place place;
    char target[WRT_PATH_SIZE];
    uint16_t error = take(files, fd, new_path, new_length, true, &place);
    if (!error)
        error = wrt_path_copy(target, old_path, old_length);
    if (!error)
        error = wrt_path_check(target, old_length); /* no program could follow an absolute one */
    if (!error)
        error = open_parent(files, &place);
    if (error)
        return error;
    if ((error = creation_room(files))) {
        close(place.parent);
        return error;
    }
    return created(files, close_parent(&place, symlinkat(target, place.parent, place.name)));
}

/* ---- Status and links ---- */

/* Opens an O_PATH descriptor of what a path names. */
static uint16_t open_place(wrt_files_t *files, struct place *place, bool follow, int *opened) {
    *opened = wrt_open_beneath(place->folder->host, place->path, O_PATH | (follow ? 0 : O_NOFOLLOW), 0);
    return *opened < 0 ? wrt_files_failed(files, *opened) : WASI_SUCCESS;
}

uint16_t wrt_files_path_filestat_get(
    wrt_files_t *files, uint32_t fd, uint32_t lookup, const uint8_t *path, uint32_t length, uint8_t *out) {
    struct place place;
    struct stat status;
    int opened;
    if (lookup > WASI_LOOKUP_FOLLOW)
        return WASI_INVAL;
    uint16_t error = take(files, fd, path, length, false, &place);
    if (!error)
        error = open_place(files, &place, lookup, &opened);
    if (error)
        return error;
    if (wrt_fstat(opened, &status) == 0)
        wrt_write_filestat(&status, out);
    else
        error = wrt_wasi_errno(errno);
    close(opened);
    return error;
}

/* Sets the times of the file of an O_PATH descriptor. Linux before 5.8 can do that only through /proc. */
static int set_times(int opened, const struct timespec times[2]) {
    char link[32];
    if (utimensat(opened, "", times, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != EINVAL)
        return -1;
    snprintf(link, sizeof link, "/proc/self/fd/%d", opened);
    struct stat status;
    if (wrt_fstat(opened, &status) != 0 || S_ISLNK(status.st_mode)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return utimensat(AT_FDCWD, link, times, 0);
}

uint16_t wrt_files_path_filestat_set_times(
    wrt_files_t *files, uint32_t fd, uint32_t lookup, const uint8_t *path, uint32_t length, uint64_t atim,
    uint64_t mtim, uint32_t flags) {
    struct place place;
    struct timespec times[2];
    int opened;
    uint16_t error = lookup > WASI_LOOKUP_FOLLOW ? WASI_INVAL : wrt_decode_times(atim, mtim, flags, times);
    if (!error)
        error = take(files, fd, path, length, true, &place);
    if (!error)
        error = open_place(files, &place, lookup, &opened);
    if (error)
        return error;
    if (set_times(opened, times) != 0)
        error = wrt_wasi_errno(errno);
    close(opened);
    return error;
}

uint16_t wrt_files_path_readlink(
    wrt_files_t *files, uint32_t fd, const uint8_t *path, uint32_t length, uint8_t *out, uint32_t size,
    uint32_t *used) {
    struct place place;
    char target[WRT_PATH_SIZE];
    struct stat status;
    int opened;
    uint16_t error = take(files, fd, path, length, false, &place);
    if (!error)
        error = open_place(files, &place, false, &opened);
    if (error)
        return error;
    ssize_t found = -1;
    errno = EINVAL;
    if (wrt_fstat(opened, &status) == 0 && S_ISLNK(status.st_mode))
        found = readlinkat(opened, "", target, sizeof target);
    error = found < 0 ? wrt_wasi_errno(errno) : WASI_SUCCESS;
    close(opened);
    if (error)
        return error;
    if (found && target[0] == '/')
        return WASI_PERM; /* it would show paths of the host */
    if (!wrt_is_utf8((const uint8_t *)target, (size_t)found))
        return WASI_ILSEQ;
    *used = (size_t)found < size ? (uint32_t)found : size;
    memcpy(out, target, *used);
    return WASI_SUCCESS;
}
