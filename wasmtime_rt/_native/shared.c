/* What both extensions need, compiled into each: the stack that is left, host objects in externrefs. */
#define _GNU_SOURCE
#include "native.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Bind to the oldest version of what newer C libraries moved, so that a wheel built anywhere runs
 * wherever the engine's library does (glibc 2.28).
 */
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver pthread_getattr_np,pthread_getattr_np@GLIBC_2.2.5");
__asm__(".symver pthread_attr_getstack,pthread_attr_getstack@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver pthread_getattr_np,pthread_getattr_np@GLIBC_2.17");
__asm__(".symver pthread_attr_getstack,pthread_attr_getstack@GLIBC_2.17");
#endif

/* ---- Stack ---- */

/* Where there is no limit, and what is not counted on above it. */
#define USUAL_STACK (8u << 20)
/* What is counted on where there is no limit, but the C library knows how much room there is. */
#define MOST_STACK (64u << 20)
/* Steps in which it is found out how far the stack can grow. */
#define STACK_STEP (64u << 10)
#define STACK_UNUSED (64u << 10)

/* Of the first thread, whose stack grows when it is used, and ends where its limit says: the C library reads that in
 * a file, for which there may be no descriptor. The name of the program lies at the stack's very beginning. */
static uintptr_t lowest_of_first_thread(uintptr_t here) {
    struct rlimit limit;
    uintptr_t top = getauxval(AT_EXECFN);
    if (!top || getrlimit(RLIMIT_STACK, &limit) != 0)
        return 0;
    size_t size = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > top / 2 ? USUAL_STACK : limit.rlim_cur;
    return here < top && top - here < size ? top - size + STACK_UNUSED : 0;
}

/* Whether the system can write there: it grows the stack for that, as for an instruction, but does not end the process
 * where the stack cannot grow. What it writes is the signal mask. */
static bool reach(uintptr_t address) {
#ifdef SYS_rt_sigprocmask
    return syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, (void *)address, 8) == 0;
#else
    (void)address;
    return true;
#endif
}

/* Let the first thread's stack grow to `lowest` now, and return how far it came. Its limit may be lower tomorrow, there may
 * be a mapping in the way, or no address space left: whatever is grown stays. That takes a page of memory. */
static uintptr_t grow_to(uintptr_t lowest, uintptr_t here) {
    uintptr_t room = here > lowest ? (here - lowest) / STACK_STEP : 0, most = room, least = 0;
    if (room == 0 || reach(lowest))
        return lowest;
    while (least + 1 < most) { /* here - least steps can be reached, here - most cannot */
        uintptr_t middle = least + (most - least) / 2;
        if (reach(here - middle * STACK_STEP))
            least = middle;
        else
            most = middle;
    }
    return here - least * STACK_STEP;
}

size_t wrt_stack_left(void) {
    static __thread uintptr_t lowest;
    char here;
    if (!lowest) {
        pthread_attr_t attributes;
        void *start = NULL;
        size_t size = 0;
        if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
            pthread_attr_getstack(&attributes, &start, &size);
            pthread_attr_destroy(&attributes);
            lowest = (uintptr_t)start;
        } else if (!(lowest = lowest_of_first_thread((uintptr_t)&here))) {
            return SIZE_MAX;
        }
        if (getpid() == syscall(SYS_gettid)) {
            struct rlimit limit;
            uintptr_t at = (uintptr_t)&here;
            bool limited = getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
            if (!limited && at > lowest && at - lowest > MOST_STACK)
                lowest = at - MOST_STACK;
            lowest = grow_to(lowest, at);
        }
    }
    return (uintptr_t)&here > lowest ? (uintptr_t)&here - lowest : 0;
}

/* ---- Host objects inside externrefs ---- */

struct wrt_host_ref {
    wrt_host_refs_t *owner;
    uint64_t key;
    struct wrt_host_ref *next;
};

wrt_host_refs_t *wrt_host_refs_new(void) { return calloc(1, sizeof(wrt_host_refs_t)); }

void wrt_host_refs_delete(wrt_host_refs_t *refs) {
    uint64_t key;
    while (wrt_host_refs_dropped(refs, &key, 1))
        ;
    free(refs);
}

bool wrt_host_refs_any(const wrt_host_refs_t *refs) {
    return __atomic_load_n(&refs->dropped, __ATOMIC_RELAXED) != NULL;
}

static void drop_host_ref(void *data) {
    struct wrt_host_ref *ref = data;
    struct wrt_host_ref **head = &ref->owner->dropped;
    ref->next = __atomic_load_n(head, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(head, &ref->next, ref, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

bool wrt_host_ref_new(
    wasmtime_context_t *context, wrt_host_refs_t *refs, uint64_t key, wasmtime_externref_t *out) {
    struct wrt_host_ref *ref = malloc(sizeof *ref);
    if (!ref)
        return false;
    *ref = (struct wrt_host_ref){refs, key, NULL};
    return wasmtime_externref_new(context, ref, drop_host_ref, out);
}

uint64_t wrt_host_ref_key(wasmtime_context_t *context, const wasmtime_externref_t *ref) {
    const struct wrt_host_ref *host = wasmtime_externref_data(context, ref);
    return host ? host->key : 0;
}

size_t wrt_host_refs_dropped(wrt_host_refs_t *refs, uint64_t *keys, size_t max) {
    size_t count = 0;
    while (count < max) {
        /* Only the owner of the store takes, so the head that we read cannot be freed under us. */
        struct wrt_host_ref *ref = __atomic_load_n(&refs->dropped, __ATOMIC_ACQUIRE);
        while (ref && !__atomic_compare_exchange_n(
                          &refs->dropped, &ref, ref->next, true, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
            ;
        if (!ref)
            break;
        keys[count++] = ref->key;
        free(ref);
    }
    return count;
}
