/* The table of descriptors, for the files of this folder only. */
#ifndef WRT_WASI_TABLE_H
#define WRT_WASI_TABLE_H

#include "files.h"
#include "layout.h"
#include "paths.h"

#include <time.h>

enum { WASI_LOOKUP_FOLLOW = 1 };
enum { WASI_OPEN_CREAT = 1, WASI_OPEN_DIRECTORY = 2, WASI_OPEN_EXCL = 4, WASI_OPEN_TRUNC = 8 };
enum { WASI_FD_APPEND = 1, WASI_FD_DSYNC = 2, WASI_FD_NONBLOCK = 4, WASI_FD_RSYNC = 8, WASI_FD_SYNC = 16 };

/* Rights. They are reported to programs. Only read and write have an effect, when a path is opened. */
enum {
    WASI_RIGHT_READ = 1 << 1,
    WASI_RIGHT_SEEK = 1 << 2,
    WASI_RIGHT_WRITE = 1 << 6,
    WASI_RIGHT_READDIR = 1 << 14,
    WASI_RIGHTS = (1 << 30) - 1,
};

struct listing; /* see listing.c */

typedef struct wrt_descriptor {
    int kind;            /* WRT_FILES_* */
    int host;            /* the descriptor of the host, or -1 for a stream */
    bool reads, writes;  /* how a file was opened */
    bool changes;        /* whether the mount is writable */
    uint16_t flags;      /* WASI_FD_APPEND and WASI_FD_NONBLOCK */
    uint32_t name_length;
    char *name;          /* of a mount, or NULL */
    uint64_t position;   /* of a file */
    struct listing *listing;
} wrt_descriptor_t;

struct wrt_files {
    wrt_descriptor_t *table;
    uint32_t size, capacity; /* numbers below `size` were given out */
    wrt_files_limits_t limits;
    wrt_files_usage_t usage;
    uint8_t stream_types[3];
    bool (*look)(void *data);
    void *look_data;
};

/* The descriptor of that number, or NULL. */
wrt_descriptor_t *wrt_files_find(const wrt_files_t *files, uint32_t fd);
/* The same if it is of that kind. */
wrt_descriptor_t *wrt_files_find_kind(const wrt_files_t *files, uint32_t fd, int kind);
/* Whether the program may open one more: WASI_SUCCESS or WASI_MFILE. Notes what was hit. */
uint16_t wrt_files_room(wrt_files_t *files);
/* Whether the process has enough left, now that it got the number `host`. Notes what was hit. */
bool wrt_files_process_room(wrt_files_t *files, int host);
/* Gives `descriptor` a number, or closes it. */
uint16_t wrt_files_add(wrt_files_t *files, const wrt_descriptor_t *descriptor, uint32_t *fd);
/* Notes that a limit was hit. */
uint16_t wrt_files_over(wrt_files_t *files, uint32_t limit);
/* Error number of a negative result, and whether it was for the lack of descriptors is noted. */
uint16_t wrt_files_failed(wrt_files_t *files, int result);
void wrt_listing_free(struct listing *listing);

struct stat;
/* fstat(2) and fstatat(2). Of glibc, only 2.33 and newer have functions of these names. */
int wrt_fstat(int host, struct stat *status);
int wrt_fstatat(int folder, const char *name, struct stat *status, int flags);
/* Number of a file for the program: the same for links to one file, and different for different files. */
uint64_t wrt_file_identity(uint64_t device, uint64_t number);
uint8_t wrt_file_type(mode_t mode);
/* Writes a filestat of 64 bytes. */
void wrt_write_filestat(const struct stat *status, uint8_t *out);
/* Decodes times and their flags. */
uint16_t wrt_decode_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec times[2]);

#endif
