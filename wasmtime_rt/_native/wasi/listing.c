/* The function fd_readdir.
 *
 * A listing keeps the last block of entries that the system returned, so that the next call continues in it. A cookie
 * is the system's position plus 3: 0 is the beginning, 1 stands after `.`, 2 and 3 stand after `..`. Removing files
 * during a listing does not make the program miss others, and a program can return to any position.
 */
#define _GNU_SOURCE
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FIRST = 3, ENTRY_SIZE = 24 };

/* An entry, as getdents64(2) writes it. */
struct record {
    uint64_t number;
    int64_t next;
    unsigned short size;
    unsigned char type;
    char name[];
};

struct listing {
    uint64_t cookie;    /* of the first entry in the block */
    size_t filled;      /* bytes in the block */
    _Alignas(8) char block[16 << 10];
};

void wrt_listing_free(struct listing *listing) { free(listing); }

/* ---- Entries for the program ---- */

struct out {
    uint8_t *at;
    size_t left;
};

static void put_bytes(struct out *out, const void *bytes, size_t length) {
    if (length > out->left)
        length = out->left;
    memcpy(out->at, bytes, length);
    out->at += length;
    out->left -= length;
}

static void put_entry(struct out *out, uint64_t next, uint64_t number, uint8_t type, const char *name) {
    uint8_t entry[ENTRY_SIZE] = {0};
    put64(entry, next);
    put64(entry + 8, number);
    put32(entry + 16, (uint32_t)strlen(name));
    entry[20] = type;
    put_bytes(out, entry, sizeof entry);
    put_bytes(out, name, strlen(name));
}

static uint16_t put_record(int folder, const struct record *record, struct out *out) {
    struct stat status = {.st_mode = DTTOIF(record->type), .st_ino = record->number};
    if (!strcmp(record->name, ".") || !strcmp(record->name, ".."))
        return WASI_SUCCESS;
    if (!wrt_is_utf8((const uint8_t *)record->name, strlen(record->name)))
        return WASI_ILSEQ; /* as the engine: the listing fails instead of lacking files */
    /* The number in the record can differ from that of the file, for mount points and layered file systems. */
    wrt_fstatat(folder, record->name, &status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT);
    put_entry(
        out, (uint64_t)record->next + FIRST, wrt_file_identity(status.st_dev, status.st_ino),
        wrt_file_type(status.st_mode), record->name);
    return WASI_SUCCESS;
}

static uint16_t put_dots(int folder, uint64_t cookie, struct out *out) {
    struct stat status;
    if (wrt_fstat(folder, &status) != 0)
        return wrt_wasi_errno(errno);
    uint64_t number = wrt_file_identity(status.st_dev, status.st_ino);
    if (cookie == 0)
        put_entry(out, 1, number, WASI_FILETYPE_DIRECTORY, ".");
    put_entry(out, 2, number, WASI_FILETYPE_DIRECTORY, "..");
    return WASI_SUCCESS;
}

/* ---- Entries from the system ---- */

/* The position is set each time: a forked child shares it, and may list the same folder. */
static uint16_t fill(int folder, struct listing *listing, uint64_t cookie) {
    listing->cookie = cookie;
    listing->filled = 0;
    if (lseek(folder, (off_t)(cookie - FIRST), SEEK_SET) < 0) /* as the engine: an unknown position is the end */
        return errno == EINVAL ? WASI_SUCCESS : wrt_wasi_errno(errno);
    long filled = syscall(SYS_getdents64, folder, listing->block, sizeof listing->block);
    listing->filled = filled < 0 ? 0 : (size_t)filled;
    return filled < 0 && errno != ENOENT ? wrt_wasi_errno(errno) : WASI_SUCCESS; /* ENOENT: the folder was removed */
}

static const struct record *record_at(const struct listing *listing, size_t at) {
    return (const struct record *)(listing->block + at);
}

/* Finds where the entries after `cookie` begin: in the block, right behind it, or in a new one. */
static uint16_t find(int folder, struct listing *listing, uint64_t cookie, size_t *at) {
    uint64_t here = listing->cookie;
    *at = 0;
    while (cookie > FIRST && here != cookie && *at < listing->filled) {
        const struct record *record = record_at(listing, *at);
        here = (uint64_t)record->next + FIRST;
        *at += record->size;
    }
    if (cookie > FIRST && here == cookie && listing->filled)
        return WASI_SUCCESS;
    *at = 0;
    return fill(folder, listing, cookie);
}

uint16_t wrt_files_fd_readdir(
    wrt_files_t *files, uint32_t fd, uint8_t *out, uint32_t size, uint64_t cookie, uint32_t *used) {
    wrt_descriptor_t *folder = wrt_files_find_kind(files, fd, WRT_FILES_DIRECTORY);
    struct out rest = {out, size};
    uint16_t error = WASI_SUCCESS;
    size_t at;
    if (!folder)
        return WASI_BADF;
    if (!folder->listing && !(folder->listing = calloc(1, sizeof *folder->listing)))
        return WASI_NOMEM;
    struct listing *listing = folder->listing;
    if (cookie < 2)
        error = put_dots(folder->host, cookie, &rest);
    if (!error && rest.left)
        error = find(folder->host, listing, cookie < FIRST ? FIRST : cookie, &at);
    while (!error && rest.left && listing->filled) {
        if (at < listing->filled) {
            const struct record *record = record_at(listing, at);
            error = put_record(folder->host, record, &rest);
            cookie = (uint64_t)record->next + FIRST;
            at += record->size;
        } else if (files->look && !files->look(files->look_data)) {
            error = WASI_INTR;
        } else {
            error = fill(folder->host, listing, cookie);
            at = 0;
        }
    }
    if (!error)
        *used = size - (uint32_t)rest.left;
    return error;
}
