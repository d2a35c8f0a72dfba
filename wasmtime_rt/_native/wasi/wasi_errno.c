#include "wasi_errno.h"

#include <errno.h>

uint16_t wrt_wasi_errno(int error) {
    switch (error) {
    case 0: return WASI_SUCCESS;
    case E2BIG: return WASI_2BIG;
    case EACCES: return WASI_ACCES;
    case EAGAIN: return WASI_AGAIN;
    case EBADF: return WASI_BADF;
    case EBUSY: return WASI_BUSY;
    case EDQUOT: return WASI_DQUOT;
    case EEXIST: return WASI_EXIST;
    case EFAULT: return WASI_FAULT;
    case EFBIG: return WASI_FBIG;
    case EILSEQ: return WASI_ILSEQ;
    case EINTR: return WASI_INTR;
    case EINVAL: return WASI_INVAL;
    case EISDIR: return WASI_ISDIR;
    case ELOOP: return WASI_LOOP;
    case EMFILE: return WASI_MFILE;
    case EMLINK: return WASI_MLINK;
    case ENAMETOOLONG: return WASI_NAMETOOLONG;
    case ENFILE: return WASI_NFILE;
    case ENODEV: return WASI_NODEV;
    case ENOENT: return WASI_NOENT;
    case ENOLCK: return WASI_NOLCK;
    case ENOMEM: return WASI_NOMEM;
    case ENOSPC: return WASI_NOSPC;
    case ENOSYS: return WASI_NOSYS;
    case ENOTDIR: return WASI_NOTDIR;
    case ENOTEMPTY: return WASI_NOTEMPTY;
    case ENOTSOCK: return WASI_NOTSOCK;
    case EOPNOTSUPP: return WASI_NOTSUP;
    case ENOTTY: return WASI_NOTTY;
    case ENXIO: return WASI_NXIO;
    case EOVERFLOW: return WASI_OVERFLOW;
    case EPERM: return WASI_PERM;
    case EPIPE: return WASI_PIPE;
    case ERANGE: return WASI_RANGE;
    case EROFS: return WASI_ROFS;
    case ESPIPE: return WASI_SPIPE;
    case ESTALE: return WASI_STALE;
    case ETIMEDOUT: return WASI_TIMEDOUT;
    case ETXTBSY: return WASI_TXTBSY;
    case EXDEV: return WASI_XDEV;
    default: return WASI_IO;
    }
}
