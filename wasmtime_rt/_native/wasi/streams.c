/* Standard input, output and errors of a program.
 *
 * What Python reads or writes is kept here: input is copied before the program starts, output is kept in pieces that
 * Python takes when the call ends. What is inherited is waited for in slices, so that limits end the wait.
 */
#define _GNU_SOURCE
#include "context.h"
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- Making them ---- */

static void set_type(wrt_wasi_t *wasi, int stream) {
    bool terminal = wasi->streams[stream].descriptor >= 0 && isatty(wasi->streams[stream].descriptor);
    wrt_files_set_stream_type(
        wasi->files, stream, terminal ? WASI_FILETYPE_CHARACTER_DEVICE : WASI_FILETYPE_UNKNOWN);
}

bool wrt_wasi_input(wrt_wasi_t *wasi, const char *bytes, size_t size) {
    struct stream *stream = &wasi->streams[0];
    if (!(stream->bytes = malloc(size + 1)))
        return false;
    memcpy(stream->bytes, bytes, size);
    stream->size = size;
    stream->kind = STREAM_BYTES;
    return true;
}

void wrt_wasi_capture(wrt_wasi_t *wasi, int stream) { wasi->streams[stream].kind = STREAM_CAPTURE; }

void wrt_wasi_file(wrt_wasi_t *wasi, int stream, int descriptor) {
    wasi->streams[stream].kind = STREAM_FILE;
    wasi->streams[stream].descriptor = descriptor;
}

void wrt_wasi_inherit(wrt_wasi_t *wasi, int stream) {
    wasi->streams[stream].kind = STREAM_INHERIT;
    wasi->streams[stream].descriptor = stream;
    set_type(wasi, stream);
}

void wrt_stream_end(struct stream *stream) {
    for (wrt_piece_t *piece; (piece = stream->oldest);) {
        stream->oldest = piece->next;
        free(piece);
    }
    if (stream->kind == STREAM_FILE)
        close(stream->descriptor);
    free(stream->bytes);
}

/* ---- Captured output ---- */

enum { SMALL_PIECE = 4 << 10, LARGE_PIECE = 1 << 20 };

/* A new piece behind the newest: the more there is, the larger. */
static wrt_piece_t *add_piece(struct stream *stream) {
    wrt_piece_t *newest = stream->newest;
    size_t capacity = newest ? 2 * newest->capacity : SMALL_PIECE;
    if (capacity > LARGE_PIECE)
        capacity = LARGE_PIECE;
    wrt_piece_t *piece = malloc(sizeof *piece + capacity);
    if (!piece)
        return NULL;
    *piece = (wrt_piece_t){NULL, (uint8_t *)(piece + 1), 0, capacity};
    *(newest ? &newest->next : &stream->oldest) = piece;
    stream->newest = piece;
    return piece;
}

static uint16_t keep(struct stream *stream, const uint8_t *bytes, size_t length) {
    while (length) {
        wrt_piece_t *piece = stream->newest;
        if ((!piece || piece->size == piece->capacity) && !(piece = add_piece(stream)))
            return WASI_NOMEM;
        size_t count = piece->capacity - piece->size;
        if (count > length)
            count = length;
        memcpy(piece->data + piece->size, bytes, count);
        piece->size += count;
        bytes += count;
        length -= count;
    }
    return WASI_SUCCESS;
}

wrt_piece_t *wrt_wasi_take(wrt_wasi_t *wasi, int number) {
    struct stream *stream = &wasi->streams[number];
    wrt_piece_t *piece = stream->oldest;
    if (piece && !(stream->oldest = piece->next))
        stream->newest = NULL;
    return piece;
}

void wrt_piece_free(wrt_piece_t *piece) { free(piece); }

bool wrt_wasi_truncated(const wrt_wasi_t *wasi, int stream) { return wasi->streams[stream].truncated; }

/* ---- Descriptors of the host ---- */

static bool is_ready_now(int descriptor, short events) {
    struct pollfd one = {.fd = descriptor, .events = events};
    return poll(&one, 1, 0) != 0; /* an error comes out of the read or write */
}

bool wrt_stream_is_ready(const struct stream *stream, short events) {
    return stream->kind != STREAM_INHERIT || is_ready_now(stream->descriptor, events);
}

/* A descriptor for one read or write that does not wait.
 *
 * poll(2) does not prevent waiting: what is inherited belongs to other threads and processes too, and one of them may
 * take the input, or fill the pipe, right after it. O_NONBLOCK on the inherited descriptor would change it for all of
 * them. So a pipe or a terminal is opened again. That fails without /proc, without free descriptors, or after a
 * change of the user. Then poll(2) and small writes are what is left.
 */
struct host {
    int descriptor;
    bool again, socket;
    size_t most; /* bytes of one write */
};

static struct host begin(const struct stream *stream, int access) {
    struct stat status;
    struct host host = {.descriptor = stream->descriptor, .most = MAX_TRANSFER};
    mode_t kind = wrt_fstat(stream->descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0;
    host.socket = kind == S_IFSOCK;
    if (kind == S_IFREG || kind == S_IFSOCK)
        return host;
    if (kind == S_IFIFO || isatty(stream->descriptor)) {
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", stream->descriptor);
        int opened = open(path, access | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        host.again = opened >= 0;
        host.descriptor = host.again ? opened : stream->descriptor;
    }
    if (!host.again) /* what fits at once if poll(2) says that something does; the last is for a terminal */
        host.most = kind == S_IFIFO ? PIPE_BUF : 256;
    return host;
}

/* Keeps errno. */
static void end(const struct host *host) {
    int error = errno;
    if (host->again)
        close(host->descriptor);
    errno = error;
}

static ssize_t read_some(const struct host *host, struct iovec *buffers, int count) {
    struct msghdr message = {.msg_iov = buffers, .msg_iovlen = (size_t)count};
    ssize_t result;
    do
        result = host->socket ? recvmsg(host->descriptor, &message, MSG_DONTWAIT)
                              : readv(host->descriptor, buffers, count);
    while (result < 0 && errno == EINTR);
    return result;
}

static ssize_t write_some(const struct host *host, const uint8_t *bytes, size_t length) {
    ssize_t result;
    if (length > host->most)
        length = host->most;
    do
        result = host->socket ? send(host->descriptor, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL)
                              : write(host->descriptor, bytes, length);
    while (result < 0 && errno == EINTR);
    return result;
}

/* ---- Reading ---- */

static uint32_t read_bytes(struct stream *stream, const struct iovec *buffers, int count) {
    uint32_t done = 0;
    for (int i = 0; i < count; i++) {
        size_t left = stream->size - stream->position, length = buffers[i].iov_len;
        if (length > left)
            length = left;
        memcpy(buffers[i].iov_base, stream->bytes + stream->position, length);
        stream->position += length;
        done += (uint32_t)length;
    }
    return done;
}

/* Reads what is there. `*done` is -1 if there is nothing yet. */
static uint16_t read_host(const struct stream *stream, struct iovec *buffers, int count, ssize_t *done) {
    *done = -1;
    if (!wrt_stream_is_ready(stream, POLLIN))
        return WASI_SUCCESS;
    struct host host = begin(stream, O_RDONLY);
    *done = read_some(&host, buffers, count);
    end(&host);
    return *done >= 0 || errno == EAGAIN ? WASI_SUCCESS : wrt_wasi_errno(errno);
}

uint16_t wrt_stream_read(struct call *call, struct stream *stream, uint32_t address, uint32_t count, uint32_t *done) {
    struct iovec buffers[MAX_BUFFERS];
    for (;;) {
        int found = wrt_call_buffers(call, address, count, buffers);
        *done = 0;
        if (found <= 0 || stream->kind == STREAM_NULL) /* a trap, or nothing to read */
            return WASI_SUCCESS;
        if (stream->kind == STREAM_BYTES) {
            *done = read_bytes(stream, buffers, found);
            return WASI_SUCCESS;
        }
        ssize_t result;
        uint16_t error = read_host(stream, buffers, found, &result);
        if (error || result >= 0) {
            *done = (uint32_t)result;
            return error;
        }
        if (!wrt_call_wait(call, stream->descriptor, POLLIN, NEVER))
            return WASI_SUCCESS;
    }
}

/* ---- Writing ---- */

/* Writes what the host takes without waiting. */
static uint16_t write_inherited(const struct stream *stream, const struct iovec *buffers, int count, uint32_t *done) {
    struct host host = begin(stream, O_WRONLY);
    ssize_t written = 0;
    for (int i = 0; i < count && written >= 0; i++)
        for (size_t at = 0; at < buffers[i].iov_len && written >= 0; at += (size_t)written) {
            errno = EAGAIN;
            written = -1;
            if (is_ready_now(stream->descriptor, POLLOUT))
                written = write_some(&host, (uint8_t *)buffers[i].iov_base + at, buffers[i].iov_len - at);
            if (written >= 0)
                *done += (uint32_t)written;
        }
    end(&host);
    return written >= 0 || *done || errno == EAGAIN ? WASI_SUCCESS : wrt_wasi_errno(errno);
}

static uint16_t write_file(struct stream *stream, const uint8_t *bytes, size_t length) {
    const struct host host = {.descriptor = stream->descriptor, .most = MAX_TRANSFER};
    while (length) {
        ssize_t written = write_some(&host, bytes, length);
        if (written < 0)
            return wrt_wasi_errno(errno);
        bytes += written;
        length -= (size_t)written;
    }
    return WASI_SUCCESS;
}

/* What goes beyond the limit is dropped, and the program not told. */
static uint16_t write_limited(struct stream *stream, const struct iovec *buffers, int count, uint32_t *done) {
    for (int i = 0; i < count; i++) {
        size_t length = buffers[i].iov_len, taken = length;
        if (length > stream->room) {
            taken = (size_t)stream->room;
            stream->truncated = true;
        }
        uint16_t error = (stream->kind == STREAM_CAPTURE ? keep : write_file)(stream, buffers[i].iov_base, taken);
        if (error)
            return error;
        stream->room -= taken;
        *done += (uint32_t)length;
    }
    return WASI_SUCCESS;
}

uint16_t wrt_stream_write(
    struct call *call, struct stream *stream, uint32_t address, uint32_t count, uint32_t *done) {
    struct iovec buffers[MAX_BUFFERS];
    for (;;) {
        int found = wrt_call_buffers(call, address, count, buffers);
        *done = 0;
        if (found <= 0)
            return WASI_SUCCESS;
        if (stream->kind == STREAM_CAPTURE || stream->kind == STREAM_FILE)
            return write_limited(stream, buffers, found, done);
        if (stream->kind == STREAM_NULL) {
            for (int i = 0; i < found; i++)
                *done += (uint32_t)buffers[i].iov_len;
            return WASI_SUCCESS;
        }
        uint16_t error = write_inherited(stream, buffers, found, done);
        if (error || *done)
            return error;
        if (!wrt_call_wait(call, stream->descriptor, POLLOUT, NEVER))
            return WASI_SUCCESS;
    }
}
