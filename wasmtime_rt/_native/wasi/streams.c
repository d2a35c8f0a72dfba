/* Standard input, output and errors of a program.
 *
 * What Python reads or writes is kept here: input is copied before the program starts, output is kept in pieces that
 * Python takes when the call ends. What is inherited is waited for in slices, so that limits end the wait.
 */
#define _GNU_SOURCE
#include "context.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
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

/* Only for the time between the look whether there is input and the read, so that two programs do not see what is
 * there for one. Nothing that may run Python is called meanwhile.
 */
static pthread_mutex_t input = PTHREAD_MUTEX_INITIALIZER;

static void lock_input(void) { pthread_mutex_lock(&input); }
static void unlock_input(void) { pthread_mutex_unlock(&input); }

__attribute__((constructor)) static void prepare(void) { pthread_atfork(lock_input, unlock_input, unlock_input); }

static bool is_ready_now(int descriptor, short events) {
    struct pollfd one = {.fd = descriptor, .events = events};
    return poll(&one, 1, 0) != 0; /* an error comes out of the read or write */
}

bool wrt_stream_is_ready(const struct stream *stream, short events) {
    return stream->kind != STREAM_INHERIT || is_ready_now(stream->descriptor, events);
}

static ssize_t read_some(int descriptor, const struct iovec *buffers, int count) {
    ssize_t result;
    do
        result = readv(descriptor, buffers, count);
    while (result < 0 && errno == EINTR);
    return result;
}

static ssize_t write_some(int descriptor, const uint8_t *bytes, size_t length, bool socket) {
    ssize_t result;
    do
        result = socket ? send(descriptor, bytes, length, MSG_DONTWAIT) : write(descriptor, bytes, length);
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
static uint16_t read_host(const struct stream *stream, const struct iovec *buffers, int count, ssize_t *done) {
    bool shared = stream->kind == STREAM_INHERIT;
    int error = EAGAIN;
    *done = -1;
    if (shared)
        lock_input();
    if (!shared || is_ready_now(stream->descriptor, POLLIN)) {
        *done = read_some(stream->descriptor, buffers, count);
        error = errno;
    }
    if (shared)
        unlock_input();
    return *done >= 0 || (shared && error == EAGAIN) ? WASI_SUCCESS : wrt_wasi_errno(error);
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
    struct stat status;
    mode_t kind = fstat(stream->descriptor, &status) == 0 ? status.st_mode & S_IFMT : 0;
    /* What fits at once if poll(2) says that something does; the last is for a terminal. */
    size_t most = kind == S_IFREG || kind == S_IFSOCK ? MAX_TRANSFER : kind == S_IFIFO ? PIPE_BUF : 256;
    for (int i = 0; i < count; i++)
        for (size_t at = 0; at < buffers[i].iov_len;) {
            size_t left = buffers[i].iov_len - at;
            if (!is_ready_now(stream->descriptor, POLLOUT))
                return WASI_SUCCESS;
            ssize_t written = write_some(
                stream->descriptor, (uint8_t *)buffers[i].iov_base + at, left < most ? left : most, kind == S_IFSOCK);
            if (written < 0)
                return *done || errno == EAGAIN ? WASI_SUCCESS : wrt_wasi_errno(errno);
            at += (size_t)written;
            *done += (uint32_t)written;
        }
    return WASI_SUCCESS;
}

static uint16_t write_file(struct stream *stream, const uint8_t *bytes, size_t length) {
    while (length) {
        ssize_t written = write_some(stream->descriptor, bytes, length, false);
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
