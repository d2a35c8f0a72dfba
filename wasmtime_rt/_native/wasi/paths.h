/* Paths of a program, resolved beneath a folder of the host. */
#ifndef WRT_WASI_PATHS_H
#define WRT_WASI_PATHS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    WRT_PATH_SIZE = 4096, /* the system's limit, with the NUL at the end */
};

bool wrt_is_utf8(const uint8_t *text, size_t length);

/* Copies a path, or nothing if it is too long. Returns WASI_SUCCESS, or WASI_ILSEQ if it is not UTF-8. */
uint16_t wrt_path_copy(char text[WRT_PATH_SIZE], const uint8_t *path, size_t length);

/* Checks a copy: WASI_SUCCESS, WASI_NAMETOOLONG, WASI_NOENT for an empty path, WASI_PERM for an absolute one, or
 * WASI_INVAL for one with a NUL.
 */
uint16_t wrt_path_check(const char text[WRT_PATH_SIZE], size_t length);

/* Opens `path` beneath `directory`, as openat(2) does with these flags, but never blocks. What would leave
 * `directory` is EPERM. Returns a descriptor, or an `errno` of the system as a negative number.
 */
int wrt_open_beneath(int directory, const char *path, int flags, mode_t mode);

/* Opens the folder of the last component of `path`, and sets `*name` to that component inside `path`, which is
 * changed. One slash may follow it. Only for system calls that do not follow links in the last component, such as
 * unlinkat(2). Returns as `wrt_open_beneath`.
 */
int wrt_open_parent(int directory, char *path, const char **name);

#endif
