/* What a store's WASI is made of, its clocks and its random bytes. */
#define _GNU_SOURCE
#include "context.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static uint64_t nanoseconds(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t wrt_monotonic(void) { return nanoseconds(CLOCK_MONOTONIC); }

uint64_t wrt_wasi_now(const wrt_wasi_t *wasi, uint32_t clock) {
    uint64_t now = clock == 0 ? nanoseconds(CLOCK_REALTIME) : wrt_monotonic() - wasi->began;
    return wasi->options.clock_resolution > 1 ? now - now % wasi->options.clock_resolution : now;
}

/* ---- Random bytes ---- */

static unsigned forks; /* how many lie between the first process and this one */

static void in_forked_child(void) { forks++; }

__attribute__((constructor)) static void prepare(void) { pthread_atfork(NULL, NULL, in_forked_child); }

/* SplitMix64: the same bytes for the same seed, on every machine. */
static void follow_seed(struct randomness *random, uint8_t *out, size_t size) {
    while (size) {
        uint64_t bits = random->state += 0x9e3779b97f4a7c15;
        bits = (bits ^ bits >> 30) * 0xbf58476d1ce4e5b9;
        bits = (bits ^ bits >> 27) * 0x94d049bb133111eb;
        bits ^= bits >> 31;
        size_t count = size < sizeof bits ? size : sizeof bits;
        memcpy(out, &bits, count);
        out += count;
        size -= count;
    }
}

static uint16_t ask_system(uint8_t *out, size_t size) {
    while (size) {
        ssize_t count = getrandom(out, size, 0);
        if (count < 0 && errno != EINTR)
            return wrt_wasi_errno(errno);
        if (count > 0) {
            out += count;
            size -= (size_t)count;
        }
    }
    return WASI_SUCCESS;
}

/* A call of the system takes several times as long as what programs ask for at once, hence the pool. */
uint16_t wrt_random_fill(wrt_wasi_t *wasi, uint8_t *out, size_t size) {
    struct randomness *random = &wasi->random;
    if (wasi->options.seeded) {
        follow_seed(random, out, size);
        return WASI_SUCCESS;
    }
    if (size > sizeof random->pool / 4)
        return ask_system(out, size);
    if (random->left < size || random->forks != forks) { /* a forked child must not have its parent's */
        random->left = 0;
        uint16_t error = ask_system(random->pool, sizeof random->pool);
        if (error)
            return error;
        random->left = sizeof random->pool;
        random->forks = forks;
    }
    uint8_t *next = random->pool + sizeof random->pool - random->left;
    memcpy(out, next, size);
    memset(next, 0, size);
    random->left -= size;
    return WASI_SUCCESS;
}

/* ---- Life ---- */

/* For files.c, in the middle of what takes long: Python does not run here, so memory stays where it is. */
static bool may_go_on(void *data) {
    return wrt_monotonic() < wrt_limits_end(((const wrt_wasi_t *)data)->epochs);
}

static wrt_files_limits_t limits_of_files(const wrt_wasi_t *wasi) {
    const wrt_wasi_options_t *options = &wasi->options;
    return (wrt_files_limits_t){options->max_descriptors, options->max_written, options->max_created};
}

wrt_wasi_t *wrt_wasi_new(const wrt_wasi_options_t *options) {
    wrt_wasi_t *wasi = calloc(1, sizeof *wasi);
    if (!wasi)
        return NULL;
    wasi->options = *options;
    wrt_files_limits_t limits = limits_of_files(wasi);
    if (!(wasi->files = wrt_files_new(&limits))) {
        free(wasi);
        return NULL;
    }
    for (int i = 0; i < 3; i++)
        wasi->streams[i] = (struct stream){.descriptor = -1, .room = options->max_output};
    wrt_files_set_look(wasi->files, may_go_on, wasi);
    wasi->random.state = options->seed;
    wasi->began = wrt_monotonic();
    return wasi;
}

void wrt_wasi_delete(wrt_wasi_t *wasi) {
    for (int i = 0; i < 3; i++)
        wrt_stream_end(&wasi->streams[i]);
    wrt_files_delete(wasi->files);
    free(wasi->arguments.data);
    free(wasi->environment.data);
    free(wasi);
}

static bool set_strings(struct strings *strings, const char *data, size_t size, size_t count) {
    char *copy = size <= UINT32_MAX ? malloc(size + 1) : NULL;
    if (!copy)
        return false;
    memcpy(copy, data, size);
    free(strings->data);
    *strings = (struct strings){copy, (uint32_t)size, (uint32_t)count};
    return true;
}

bool wrt_wasi_set_arguments(wrt_wasi_t *wasi, const char *strings, size_t size, size_t count) {
    return set_strings(&wasi->arguments, strings, size, count);
}

bool wrt_wasi_set_environment(wrt_wasi_t *wasi, const char *strings, size_t size, size_t count) {
    return set_strings(&wasi->environment, strings, size, count);
}

int wrt_wasi_mount(wrt_wasi_t *wasi, const char *name, size_t length, int directory, bool writable) {
    return wrt_files_mount(wasi->files, name, length, directory, writable);
}

unsigned wrt_wasi_limits_hit(const wrt_wasi_t *wasi) { return wrt_files_usage(wasi->files)->hit; }

void wrt_wasi_renew(wrt_wasi_t *wasi) {
    for (int i = 0; i < 3; i++) {
        wasi->streams[i].room = wasi->options.max_output;
        wasi->streams[i].truncated = false;
    }
    wrt_files_limits_t limits = limits_of_files(wasi);
    wrt_files_renew(wasi->files, &limits);
}
