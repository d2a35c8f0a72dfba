/* poll_oneoff: waiting for clocks and streams, in slices, so that limits and signals are looked at. */
#define _GNU_SOURCE
#include "context.h"

#include <poll.h>

enum { MAX_SUBSCRIPTIONS = 4096, SUBSCRIPTION = 48, EVENT = 32 };
enum { ON_CLOCK, ON_READ, ON_WRITE };
enum { HANGUP = 1 };

/* What a program asks for. */
struct subscription {
    uint64_t word;
    uint8_t kind;
    uint32_t subject; /* a clock or a descriptor */
    uint64_t timeout;
    uint16_t flags;
};

static struct subscription decode(const uint8_t *in) {
    return (struct subscription){get64(in), in[8], get32(in + 16), get64(in + 24), get16(in + 40)};
}

static void write_event(uint8_t *out, const struct subscription *asked, uint64_t bytes, uint16_t flags) {
    put64(out, asked->word);
    put16(out + 8, WASI_SUCCESS);
    out[10] = asked->kind;
    put64(out + 16, bytes);
    put16(out + 24, flags);
}

/* A look at all that a program asks for. Times are those of the monotonic clock. */
struct scan {
    uint64_t began, now, first; /* when the program asked, when one looks, and when the first clock is due */
    struct pollfd wait;         /* the last stream that is not ready; for others one looks again after a slice */
    uint32_t happened;
};

static uint16_t due(const wrt_wasi_t *wasi, const struct subscription *asked, const struct scan *scan, uint64_t *time) {
    uint64_t from = scan->began, timeout = asked->timeout;
    if (asked->subject > 1 || asked->flags > 1)
        return WASI_INVAL;
    if (asked->flags && asked->subject == 1) {
        from = wasi->began;
    } else if (asked->flags) {
        uint64_t now = wrt_wasi_now(wasi, 0);
        from = scan->now;
        timeout = timeout > now ? timeout - now : 0;
    }
    *time = timeout < NEVER - from ? from + timeout : NEVER;
    return WASI_SUCCESS;
}

/* Whether a descriptor can be read or written without waiting, what an event says of it, and what to wait for if not. */
static uint16_t look_at(
    const wrt_wasi_t *wasi, const struct subscription *asked, bool *ready, uint16_t *flags, struct pollfd *wait) {
    int kind = wrt_files_kind(wasi->files, asked->subject);
    bool reads = asked->kind == ON_READ;
    short events = reads ? POLLIN : POLLOUT;
    uint64_t left = 1;
    *flags = 0;
    if (kind == WRT_FILES_FILE) {
        *ready = true;
        uint16_t error = reads ? wrt_files_remaining(wasi->files, asked->subject, &left) : WASI_SUCCESS;
        *flags = left ? 0 : HANGUP;
        return error;
    }
    if (kind == WRT_FILES_DIRECTORY || kind == WRT_FILES_NONE || reads != (kind == WRT_FILES_STDIN))
        return WASI_BADF;
    *ready = wrt_stream_is_ready(&wasi->streams[kind], events);
    if (!*ready)
        *wait = (struct pollfd){.fd = wasi->streams[kind].descriptor, .events = events};
    return WASI_SUCCESS;
}

/* Writes what has happened to `out`, unless that is NULL. */
static uint16_t look_at_all(const wrt_wasi_t *wasi, const uint8_t *in, uint8_t *out, uint32_t count, struct scan *scan) {
    scan->now = wrt_monotonic();
    scan->first = NEVER;
    scan->wait = (struct pollfd){.fd = -1};
    scan->happened = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct subscription asked = decode(in + i * SUBSCRIPTION);
        uint16_t flags = 0, error = WASI_INVAL;
        uint64_t time;
        bool ready = false;
        if (asked.kind == ON_CLOCK) {
            error = due(wasi, &asked, scan, &time);
            ready = !error && time <= scan->now;
            scan->first = !error && time < scan->first ? time : scan->first;
        } else if (asked.kind <= ON_WRITE) {
            error = look_at(wasi, &asked, &ready, &flags, &scan->wait);
        }
        if (error)
            return error;
        if (ready && out)
            write_event(out + scan->happened * EVENT, &asked, asked.kind == ON_CLOCK ? 0 : 1, flags);
        scan->happened += ready;
    }
    return WASI_SUCCESS;
}

uint16_t wrt_poll_oneoff(struct call *call, uint32_t subscriptions, uint32_t events, uint32_t count, uint32_t *happened) {
    struct scan scan = {.began = wrt_monotonic()};
    if (count == 0 || count > MAX_SUBSCRIPTIONS)
        return WASI_INVAL;
    for (;;) {
        const uint8_t *in = wrt_call_memory(call, subscriptions, (uint64_t)count * SUBSCRIPTION, 8);
        uint8_t *out = wrt_call_memory(call, events, (uint64_t)count * EVENT, 8);
        if (!in || !out)
            return WASI_SUCCESS;
        uint16_t error = look_at_all(call->wasi, in, NULL, count, &scan); /* nothing is written before an error */
        if (!error && scan.happened) {
            error = look_at_all(call->wasi, in, out, count, &scan);
            *happened = scan.happened;
            return error;
        }
        if (error || !wrt_call_wait(call, scan.wait.fd, scan.wait.events, scan.first))
            return error;
    }
}
