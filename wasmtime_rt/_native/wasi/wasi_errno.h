/* Error numbers of WASI preview 1. Every function of WASI returns one of them. */
#ifndef WRT_WASI_ERRNO_H
#define WRT_WASI_ERRNO_H

#include <stdint.h>

enum {
    WASI_SUCCESS = 0,
    WASI_2BIG = 1,
    WASI_ACCES = 2,
    WASI_AGAIN = 6,
    WASI_BADF = 8,
    WASI_BUSY = 10,
    WASI_DQUOT = 19,
    WASI_EXIST = 20,
    WASI_FAULT = 21,
    WASI_FBIG = 22,
    WASI_ILSEQ = 25,
    WASI_INTR = 27,
    WASI_INVAL = 28,
    WASI_IO = 29,
    WASI_ISDIR = 31,
    WASI_LOOP = 32,
    WASI_MFILE = 33,
    WASI_MLINK = 34,
    WASI_NAMETOOLONG = 37,
    WASI_NFILE = 41,
    WASI_NODEV = 43,
    WASI_NOENT = 44,
    WASI_NOLCK = 46,
    WASI_NOMEM = 48,
    WASI_NOSPC = 51,
    WASI_NOSYS = 52,
    WASI_NOTDIR = 54,
    WASI_NOTEMPTY = 55,
    WASI_NOTSOCK = 57,
    WASI_NOTSUP = 58,
    WASI_NOTTY = 59,
    WASI_NXIO = 60,
    WASI_OVERFLOW = 61,
    WASI_PERM = 63,
    WASI_PIPE = 64,
    WASI_RANGE = 68,
    WASI_ROFS = 69,
    WASI_SPIPE = 70,
    WASI_STALE = 72,
    WASI_TIMEDOUT = 73,
    WASI_TXTBSY = 74,
    WASI_XDEV = 75,
    WASI_NOTCAPABLE = 76,
};

/* The number of WASI for an `errno` of the system. WASI_IO for one that has no counterpart. */
uint16_t wrt_wasi_errno(int error);

#endif
