/* The table of descriptors of a program, and the functions of WASI that need nothing but the table. */
#define _GNU_SOURCE
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIN_RESERVE = 64 };

wrt_descriptor_t *wrt_files_find(const wrt_files_t *files, uint32_t fd) {
    return fd < files->size && files->table[fd].kind != WRT_FILES_NONE ? &files->table[fd] : NULL;
}

wrt_descriptor_t *wrt_files_find_kind(const wrt_files_t *files, uint32_t fd, int kind) {
    wrt_descriptor_t *found = wrt_files_find(files, fd);
    return found && found->kind == kind ? found : NULL;
}

/* ---- Limits ---- */

uint16_t wrt_files_over(wrt_files_t *files, uint32_t limit) {
    files->usage.hit |= limit;
    return limit & (WRT_FILES_HIT_WRITTEN | WRT_FILES_HIT_CREATED) ? WASI_DQUOT : WASI_MFILE;
}

uint16_t wrt_files_room(wrt_files_t *files) {
    bool room = files->usage.descriptors < files->limits.max_descriptors;
    return room ? WASI_SUCCESS : wrt_files_over(files, WRT_FILES_HIT_DESCRIPTORS);
}

/* The system gives out the lowest free number. If that is within the reserve, all numbers below are taken, by whatever
 * part of the process.
 */
bool wrt_files_process_room(wrt_files_t *files, int host) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return true;
    rlim_t reserve = limit.rlim_cur / 4 > MIN_RESERVE ? limit.rlim_cur / 4 : MIN_RESERVE;
    if (host >= 0 && (rlim_t)host + reserve < limit.rlim_cur)
        return true;
    wrt_files_over(files, WRT_FILES_HIT_PROCESS);
    return false;
}

uint16_t wrt_files_failed(wrt_files_t *files, int result) {
    if (result == -EMFILE)
        wrt_files_over(files, WRT_FILES_HIT_PROCESS);
    return wrt_wasi_errno(-result);
}

/* ---- The table ---- */

static void release(wrt_descriptor_t *descriptor) {
    if (descriptor->host >= 0)
        close(descriptor->host);
    free(descriptor->name);
    wrt_listing_free(descriptor->listing);
    *descriptor = (wrt_descriptor_t){.kind = WRT_FILES_NONE, .host = -1};
}

static bool grow(wrt_files_t *files) {
    if (files->size < files->capacity)
        return true;
    uint32_t capacity = files->capacity ? 2 * files->capacity : 8;
    wrt_descriptor_t *table = realloc(files->table, capacity * sizeof *table);
    if (!table)
        return false;
    files->table = table;
    files->capacity = capacity;
    return true;
}

/* Gives out the highest number that was closed, or else the next number, as the engine does. */
uint16_t wrt_files_add(wrt_files_t *files, const wrt_descriptor_t *descriptor, uint32_t *fd) {
    uint32_t number = files->size;
    if (files->usage.descriptors < files->size) {
        while (files->table[--number].kind != WRT_FILES_NONE)
            ;
    } else if (!grow(files)) {
        wrt_descriptor_t lost = *descriptor;
        release(&lost);
        return WASI_NOMEM;
    } else {
        files->size++;
    }
    files->table[number] = *descriptor;
    files->usage.descriptors++;
    *fd = number;
    return WASI_SUCCESS;
}

wrt_files_t *wrt_files_new(const wrt_files_limits_t *limits) {
    wrt_files_t *files = calloc(1, sizeof *files);
    if (!files)
        return NULL;
    files->limits = *limits;
    for (int stream = 0; stream < 3; stream++) {
        uint32_t fd;
        wrt_descriptor_t descriptor = {.kind = stream, .host = -1};
        if (wrt_files_add(files, &descriptor, &fd)) {
            wrt_files_delete(files);
            return NULL;
        }
    }
    return files;
}

void wrt_files_delete(wrt_files_t *files) {
    if (!files)
        return;
    for (uint32_t fd = 0; fd < files->size; fd++)
        release(&files->table[fd]);
    free(files->table);
    free(files);
}

uint16_t wrt_files_mount(wrt_files_t *files, const char *name, size_t length, int directory, bool writable) {
    if (length >= WRT_PATH_SIZE)
        return WASI_NAMETOOLONG;
    uint16_t error = wrt_files_room(files);
    if (error)
        return error;
    /* A new opening of the folder, because openings that are shared share the position of a listing. */
    int host = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (host < 0)
        return wrt_files_failed(files, -errno);
    char *copy = malloc(length + 1);
    if (!copy) {
        close(host);
        return WASI_NOMEM;
    }
    memcpy(copy, name, length);
    copy[length] = 0;
    wrt_descriptor_t descriptor = {
        .kind = WRT_FILES_DIRECTORY, .host = host, .reads = true, .changes = writable, .name = copy,
        .name_length = (uint32_t)length};
    uint32_t fd;
    return wrt_files_add(files, &descriptor, &fd);
}

const wrt_files_usage_t *wrt_files_usage(const wrt_files_t *files) { return &files->usage; }

void wrt_files_renew(wrt_files_t *files, const wrt_files_limits_t *limits) {
    files->limits = *limits;
    files->usage = (wrt_files_usage_t){.descriptors = files->usage.descriptors};
}

void wrt_files_set_look(wrt_files_t *files, bool (*look)(void *data), void *data) {
    files->look = look;
    files->look_data = data;
}

void wrt_files_set_stream_type(wrt_files_t *files, int stream, uint8_t filetype) {
    files->stream_types[stream] = filetype;
}

int wrt_files_kind(const wrt_files_t *files, uint32_t fd) {
    const wrt_descriptor_t *found = wrt_files_find(files, fd);
    return found ? found->kind : WRT_FILES_NONE;
}

int wrt_files_stream(const wrt_files_t *files, uint32_t fd) {
    int kind = wrt_files_kind(files, fd);
    return kind <= WRT_FILES_STDERR ? kind : -1;
}

/* ---- Functions of WASI on the table ---- */

uint16_t wrt_files_fd_close(wrt_files_t *files, uint32_t fd) {
    wrt_descriptor_t *found = wrt_files_find(files, fd);
    if (!found)
        return WASI_BADF;
    release(found);
    files->usage.descriptors--;
    return WASI_SUCCESS;
}

uint16_t wrt_files_fd_renumber(wrt_files_t *files, uint32_t from, uint32_t to) {
    wrt_descriptor_t *source = wrt_files_find(files, from), *target = wrt_files_find(files, to);
    if (!source || !target)
        return WASI_BADF;
    if (source != target) {
        release(target);
        *target = *source;
        *source = (wrt_descriptor_t){.kind = WRT_FILES_NONE, .host = -1};
        files->usage.descriptors--;
    }
    return WASI_SUCCESS;
}

/* The rights that the engine reports for mounts, and that C libraries expect. */
static const uint64_t MOUNT_RIGHTS = 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12 | 1 << 13 | 1 << 14 | 1 << 15 | 1 << 16 |
    1 << 17 | 1 << 18 | 1 << 20 | 1 << 21 | 1 << 23 | 1 << 24 | 1 << 25 | 1 << 26;
static const uint64_t FILE_RIGHTS = 0x1ff | 1 << 21 | 1 << 22 | 1 << 23 | 1 << 27;
static const uint64_t NOT_OF_FOLDERS = WASI_RIGHT_SEEK | WASI_RIGHT_WRITE | 1 << 19 | 1 << 22;

uint16_t wrt_files_fd_fdstat_get(wrt_files_t *files, uint32_t fd, uint8_t *out) {
    const wrt_descriptor_t *found = wrt_files_find(files, fd);
    if (!found)
        return WASI_BADF;
    uint8_t type;
    uint64_t rights, inheriting;
    if (found->kind <= WRT_FILES_STDERR) {
        type = files->stream_types[found->kind];
        inheriting = rights = found->kind == WRT_FILES_STDIN ? WASI_RIGHT_READ : WASI_RIGHT_WRITE;
    } else if (found->kind == WRT_FILES_DIRECTORY) {
        type = WASI_FILETYPE_DIRECTORY;
        rights = found->name ? MOUNT_RIGHTS : WASI_RIGHTS & ~NOT_OF_FOLDERS;
        inheriting = found->name ? MOUNT_RIGHTS | FILE_RIGHTS : rights;
    } else {
        type = WASI_FILETYPE_REGULAR_FILE;
        rights = WASI_RIGHTS & ~(found->reads ? 0ull : WASI_RIGHT_READ | WASI_RIGHT_READDIR);
        rights &= ~(found->writes ? 0ull : WASI_RIGHT_WRITE);
        inheriting = rights;
    }
    memset(out, 0, 24); /* no bytes of the host between the fields */
    out[0] = type;
    put16(out + 2, found->flags);
    put64(out + 8, rights);
    put64(out + 16, inheriting);
    return WASI_SUCCESS;
}

uint16_t wrt_files_fd_fdstat_set_flags(wrt_files_t *files, uint32_t fd, uint32_t flags) {
    wrt_descriptor_t *file = wrt_files_find_kind(files, fd, WRT_FILES_FILE);
    if (flags > 0x1f)
        return WASI_INVAL;
    if (!file)
        return WASI_BADF;
    if (flags & (WASI_FD_DSYNC | WASI_FD_RSYNC | WASI_FD_SYNC))
        return WASI_INVAL;
    if (fcntl(file->host, F_SETFL, O_NONBLOCK | (flags & WASI_FD_APPEND ? O_APPEND : 0)) != 0)
        return wrt_wasi_errno(errno);
    file->flags = (uint16_t)flags;
    return WASI_SUCCESS;
}

uint16_t wrt_files_fd_fdstat_set_rights(wrt_files_t *files, uint32_t fd, uint64_t base, uint64_t inheriting) {
    if ((base | inheriting) & ~(uint64_t)WASI_RIGHTS)
        return WASI_INVAL;
    return wrt_files_kind(files, fd) > WRT_FILES_STDERR ? WASI_NOTSUP : WASI_BADF;
}

uint16_t wrt_files_fd_prestat_get(wrt_files_t *files, uint32_t fd, uint8_t *out) {
    const wrt_descriptor_t *found = wrt_files_find(files, fd);
    if (!found || !found->name)
        return WASI_BADF;
    put32(out, 0); /* the tag of a folder */
    put32(out + 4, found->name_length);
    return WASI_SUCCESS;
}

uint16_t wrt_files_fd_prestat_dir_name(wrt_files_t *files, uint32_t fd, uint8_t *out, uint32_t size) {
    const wrt_descriptor_t *found = wrt_files_find(files, fd);
    if (!found)
        return WASI_BADF;
    if (!found->name)
        return WASI_NOTDIR;
    if (found->name_length > size)
        return WASI_NAMETOOLONG;
    memcpy(out, found->name, found->name_length);
    return WASI_SUCCESS;
}
