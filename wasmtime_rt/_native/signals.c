/* Signal handlers: the engine's stay in front, and what the program installs comes next.
 *
 * The engine notices traps by the processor's faults: it installs handlers for SIGSEGV, SIGILL and SIGFPE when
 * its first instance is made, and hands faults that are not its own to the handlers that were there before. A
 * program that installs one later puts it in front of the engine's, and the next trap is a crash or, where that
 * handler returns, a loop.
 *
 * So a handler of ours, `last`, is installed just before the engine's own: the engine takes it for what was there
 * before. Another, `front`, is installed afterwards and calls the engine's. `wrt_signals_restore` looks whether it
 * is still in front: called by Python's own functions that install handlers (`accel/handlers.c`), and once in a while
 * for the sake of others. A foreign one is remembered, ours is installed again, and `last` calls what was remembered.
 * Real crashes thus reach it as before, after the engine has said that they are not its own.
 *
 * What runs in a handler here reads tables that only grow, and calls nothing that is not async-signal-safe.
 */
#define _GNU_SOURCE
#include "native.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <sys/syscall.h>

static const int SIGNALS[] = {SIGSEGV, SIGILL, SIGFPE};
#define COUNT ((int)(sizeof SIGNALS / sizeof *SIGNALS))

/* Faults of one instruction at one address, one after the other, until a handler that returns is believed to
 * repair nothing. */
#define PATIENCE 1000
/* Handlers that were remembered are never overwritten while ours could be reading them: not for so many. */
#define REMEMBERED 64

/* Bits of an edition, as signals that the handler blocks while it runs. */
#define EDITION_BITS 16

struct chain {
    struct sigaction before; /* what was there before the engine */
    struct sigaction engine; /* what the engine installed */
    unsigned edition;        /* how often `front` was installed: the current one bears this number */
    struct sigaction remembered[REMEMBERED];
    unsigned count;
    struct sigaction *foreign; /* what was found in front of the engine's, or NULL */
    bool hooked;
};

static struct chain chains[COUNT];
static bool installed, busy;
static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER; /* held while the first engine is made, */
static __thread bool locked __attribute__((tls_model("initial-exec"))); /* by the thread that makes it */

/* Of this thread. In the static block, where no memory has to be had to find it. */
static __thread struct {
    int depth;         /* how far down the chain this thread is */
    int signal;        /* the fault that was seen last */
    uintptr_t pc, address;
    unsigned repeated; /* how often in a row */
} here __attribute__((tls_model("initial-exec")));

#if defined(__x86_64__)
#define PC(state) ((state)->uc_mcontext.gregs[REG_RIP])
#define SP(state) ((state)->uc_mcontext.gregs[REG_RSP])
#elif defined(__aarch64__)
#define PC(state) ((state)->uc_mcontext.pc)
#define SP(state) ((state)->uc_mcontext.sp)
#else
#error "which registers are the program counter and the stack pointer here?"
#endif

/* End as if there were no handler: by the instruction, which faults again, or by the signal, which somebody sent. */
static void die(int signal, const siginfo_t *info) {
    struct sigaction standard = {.sa_handler = SIG_DFL};
    sigaction(signal, &standard, NULL);
    if (info->si_code <= 0) {
        sigset_t just;
        sigemptyset(&just);
        sigaddset(&just, signal);
        sigprocmask(SIG_UNBLOCK, &just, NULL);
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), signal);
    }
}

static void run(const struct sigaction *action, int signal, siginfo_t *info, void *context) {
    if (action->sa_flags & SA_SIGINFO)
        action->sa_sigaction(signal, info, context);
    else
        action->sa_handler(signal);
}

static unsigned edition_of(const struct sigaction *action) {
    unsigned edition = 0;
    for (int bit = 0; bit < EDITION_BITS; bit++)
        edition |= (unsigned)(sigismember(&action->sa_mask, SIGRTMIN + 1 + bit) == 1) << bit;
    return edition;
}

static struct chain *chain_of(int signal) {
    struct chain *chain = chains;
    while (chain < chains + COUNT - 1 && SIGNALS[chain - chains] != signal)
        chain++;
    return chain;
}

/* The engine's handler takes a lock to look up where it is. */
static void front(int signal, siginfo_t *info, void *context) {
    int saved = errno;
    wrt_enter(WRT_TRAPS);
    errno = saved;
    chain_of(signal)->engine.sa_sigaction(signal, info, context);
    wrt_leave(WRT_TRAPS);
}

static void install(struct chain *chain, int signal) {
    struct sigaction next = chain->engine;
    next.sa_sigaction = front;
    chain->edition = (chain->edition + 1) % (1u << EDITION_BITS);
    for (int bit = 0; bit < EDITION_BITS; bit++)
        if (chain->edition >> bit & 1)
            sigaddset(&next.sa_mask, SIGRTMIN + 1 + bit);
    sigaction(signal, &next, NULL);
}

/* Whether the current handler is `front`, in an edition before the last: who saved that has put it back, as
 * faulthandler does when it is disabled, and so took itself away. */
static bool put_back(const struct chain *chain, const struct sigaction *now) {
    return now->sa_sigaction == front && edition_of(now) != chain->edition;
}

/* Whether what a signal interrupted is a signal handler itself, on the stack for these. */
static bool inside_handler(const void *context) {
    const ucontext_t *state = context;
    uintptr_t start = (uintptr_t)state->uc_stack.ss_sp, at = (uintptr_t)SP(state);
    return start && at >= start && at - start < state->uc_stack.ss_size;
}

/* What the engine takes for the handler that was there before its own. */
static void last(int signal, siginfo_t *info, void *context) {
    struct chain *chain = chain_of(signal);
    int saved = errno;
    bool fault = info->si_code > 0; /* by an instruction, not by somebody who sent it */
    uintptr_t pc = (uintptr_t)PC((const ucontext_t *)context), address = fault ? (uintptr_t)info->si_addr : 0;
    if (fault && here.depth == 0) {
        bool again = here.signal == signal && here.pc == pc && here.address == address;
        here.repeated = again ? here.repeated + 1 : 0;
        here.signal = signal, here.pc = pc, here.address = address;
        if (here.repeated > PATIENCE) {
            die(signal, info);
            return;
        }
    }
    if (here.depth == 0 && info->si_code == SI_TKILL && info->si_pid == getpid() && inside_handler(context))
        /* A handler in front of the engine's was told of a fault, has put the engine's back, and raises the signal
         * again: faulthandler, if it was enabled since `wrt_signals_restore` was last called. Let it return to the
         * instruction: where that is WebAssembly's, the engine handles it now; else it faults once more. */
        return;
    struct sigaction now, *foreign = __atomic_load_n(&chain->foreign, __ATOMIC_ACQUIRE);
    if (foreign && here.depth == 0 && sigaction(signal, NULL, &now) == 0 && put_back(chain, &now))
        foreign = NULL;
    const struct sigaction *next = foreign ? foreign : &chain->before;
    /* A foreign handler that raises the signal again, or crashes, is followed by what was there before. */
    if (here.depth == 1 && foreign)
        next = &chain->before;
    if (here.depth > 1 || (next->sa_handler == SIG_DFL && !(next->sa_flags & SA_SIGINFO)) ||
        (next->sa_handler == SIG_IGN && fault)) {
        die(signal, info);
    } else if (next->sa_handler != SIG_IGN) {
        here.depth++;
        run(next, signal, info, context);
        here.depth--;
        if ((uintptr_t)PC((const ucontext_t *)context) != pc) /* it goes on elsewhere: another runtime's trap */
            here.signal = 0;
    }
    errno = saved;
}

void wrt_signals_before_engine(void) {
    if (__atomic_load_n(&installed, __ATOMIC_ACQUIRE))
        return;
    pthread_mutex_lock(&first);
    for (int i = 0; !installed && i < COUNT; i++) {
        struct sigaction ours = {.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
        ours.sa_sigaction = last;
        sigemptyset(&ours.sa_mask);
        sigaction(SIGNALS[i], NULL, &chains[i].before); /* known before ours can run */
        sigaction(SIGNALS[i], &ours, NULL);
    }
    locked = !installed;
    if (!locked)
        pthread_mutex_unlock(&first);
}

void wrt_signals_after_engine(void) {
    if (!locked)
        return;
    for (int i = 0; i < COUNT; i++) {
        struct chain *chain = &chains[i];
        sigaction(SIGNALS[i], NULL, &chain->engine);
        chain->hooked = chain->engine.sa_sigaction != last;
        if (chain->hooked)
            install(chain, SIGNALS[i]);
        else /* the engine does not want this one */
            sigaction(SIGNALS[i], &chain->before, NULL);
    }
    locked = false;
    __atomic_store_n(&installed, true, __ATOMIC_RELEASE);
    pthread_mutex_unlock(&first);
}

bool wrt_signals_restore(void) {
    bool found = false;
    if (!__atomic_load_n(&installed, __ATOMIC_ACQUIRE))
        return false;
    while (__atomic_exchange_n(&busy, true, __ATOMIC_ACQUIRE)) /* who has it may have looked already: it is soon done */
        sched_yield();
    for (int i = 0; i < COUNT; i++) {
        struct chain *chain = &chains[i];
        struct sigaction now;
        if (!chain->hooked || sigaction(SIGNALS[i], NULL, &now) != 0)
            continue;
        if (put_back(chain, &now)) {
            __atomic_store_n(&chain->foreign, NULL, __ATOMIC_RELEASE);
        } else if (now.sa_sigaction == front) {
            continue;
        } else {
            struct sigaction *kept = &chain->remembered[chain->count++ % REMEMBERED];
            *kept = now;
            __atomic_store_n(&chain->foreign, kept, __ATOMIC_RELEASE);
        }
        install(chain, SIGNALS[i]);
        found = true;
    }
    __atomic_store_n(&busy, false, __ATOMIC_RELEASE);
    return found;
}

void wrt_signals_look(void) {
    static long looked; /* in ticks of a coarse clock */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_nsec == __atomic_load_n(&looked, __ATOMIC_RELAXED))
        return;
    __atomic_store_n(&looked, now.tv_nsec, __ATOMIC_RELAXED);
    wrt_signals_restore();
}

void wrt_signals_in_child(void) { __atomic_store_n(&busy, false, __ATOMIC_RELEASE); }
