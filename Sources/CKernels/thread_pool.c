#define _GNU_SOURCE
#include "thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// About 30 microseconds of pauses on current processors: longer than the gaps inside a decoder step.
enum { SPINS = 2000 };

// For so long a worker that has no core for itself is left asleep, ns.
enum { REST = 1000000 };

// So long the caller sleeps before it looks whether those that it waits for run, ns. Another program keeps a core for a
// millisecond or more.
enum { PATIENCE = 50000 };

// A bit of `done`; the others count turns.
#define CALLER_SLEEPS 0x80000000u

// The turns of a loop that are one thread's to begin with, in one word, so that whoever takes one knows that it is still to be
// had: the first that is left, the one behind the last, and how many threads may take them, less one.
enum { TURN_BITS = 28 };
#define MOST_TURNS ((1 << TURN_BITS) - 1)
#define TURNS(first, last, workers) \
    ((uint64_t)(first) | (uint64_t)(last) << TURN_BITS | (uint64_t)((workers)-1) << 2 * TURN_BITS)
#define FIRST(turns) ((int32_t)((turns) & ((1 << TURN_BITS) - 1)))
#define LAST(turns) FIRST((turns) >> TURN_BITS)
#define WORKERS(turns) ((int32_t)((turns) >> 2 * TURN_BITS) + 1)
#define ONE_FIRST ((uint64_t)1)
#define ONE_LAST ((uint64_t)1 << TURN_BITS)

// What one thread polls lies apart from what another one writes.
#define OWN_LINE _Alignas(64)

struct worker {
    OWN_LINE _Atomic uint64_t turns;   // those that it takes before others'
    OWN_LINE _Atomic uint32_t asleep;  // 1: it waits on this word
    _Atomic int64_t rests_until;       // ns; not woken before
    _Atomic int32_t core;              // where it was last seen
    _Atomic int32_t id;                // the system's number of its thread
    _Atomic bool holds;                // it has turns that are not reported as done
    _Atomic bool fetched;              // the caller had it brought to its own core
    int64_t used;                      // processor time when the caller last looked, ns
    clockid_t clock;                   // of its processor time
    int32_t number;
    fv_thread_pool *pool;
    pthread_t thread;
};

struct fv_thread_pool {
    OWN_LINE _Atomic uint32_t generation;  // one more for every loop; workers wait for it to change
    _Atomic bool stopping;
    OWN_LINE _Atomic uint32_t done;        // turns that workers took and have finished
    // Written while there is no turn to be had and none unfinished.
    OWN_LINE fv_loop_body body;
    void *context;
    _Atomic int32_t core;                  // where the caller was when the loop began
    _Atomic int32_t caller;                // its thread
    int32_t threads;
    pthread_mutex_t callers;               // one loop at a time
    struct worker worker[];                // the first is the caller
};

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

// Until `word` is another than `seen` and its sleepers are woken, or until `limit` has passed if there is one.
static void futex_wait(_Atomic uint32_t *word, uint32_t seen, const struct timespec *limit) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, limit, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }

// -1 if the clock cannot be read.
static int64_t now(clockid_t clock) {
    struct timespec time;
    return clock_gettime(clock, &time) == 0 ? time.tv_sec * 1000000000LL + time.tv_nsec : -1;
}

static int32_t this_thread(void) {
    static _Thread_local int32_t thread;
    if (thread == 0) thread = (int32_t)syscall(SYS_gettid);
    return thread;
}

// Sends a worker to the cores that neither the caller nor a lower worker is on. False if there is none, or the system does
// not let it.
//
// Schedulers leave a woken thread beside the one that woke it for thousands of loops, if both sleep often enough, however
// idle the other cores are; together they are slower than one of them alone.
static bool send_away(fv_thread_pool *pool, struct worker *worker) {
    // The caller's cores are those that the process is allowed at present: nothing here ever narrows them.
    cpu_set_t allowed;
    if (sched_getaffinity(atomic_load_explicit(&pool->caller, memory_order_relaxed), sizeof allowed, &allowed) != 0)
        return false;
    int taken = atomic_load_explicit(&pool->core, memory_order_relaxed);
    if (taken >= 0 && taken < CPU_SETSIZE) CPU_CLR(taken, &allowed);
    for (int32_t i = 1; i < worker->number; i++) {
        taken = atomic_load_explicit(&pool->worker[i].core, memory_order_relaxed);
        if (taken >= 0 && taken < CPU_SETSIZE) CPU_CLR(taken, &allowed);
    }
    int32_t thread = atomic_load_explicit(&worker->id, memory_order_relaxed);
    return thread != 0 && CPU_COUNT(&allowed) != 0 && sched_setaffinity(thread, sizeof allowed, &allowed) == 0;
}

// Whether a core is the caller's or a lower worker's.
static bool is_taken(fv_thread_pool *pool, int32_t core, int32_t number) {
    bool taken = core >= 0 && core == atomic_load_explicit(&pool->core, memory_order_relaxed);
    for (int32_t i = 1; i < number && !taken; i++)
        taken = core >= 0 && core == atomic_load_explicit(&pool->worker[i].core, memory_order_relaxed);
    return taken;
}

// Whether the thread has a core to itself among the pool's threads; it moves if it has to and can.
static bool has_own_core(struct worker *self) {
    int32_t core = sched_getcpu();
    bool moves = is_taken(self->pool, core, self->number);
    if (moves) {
        if (!send_away(self->pool, self)) return false;
        core = sched_getcpu();
    }
    if (core != atomic_load_explicit(&self->core, memory_order_relaxed))
        atomic_store_explicit(&self->core, core, memory_order_relaxed);
    return true;
}

// Takes a turn: the thread's own from the first on, and when there is none, the last of another's. -1 if none is left.
//
// A loop over rows follows another over the same rows, so each thread finds in its cache what it wrote before, and its
// neighbour's rows only where the two meet.
static int32_t take(fv_thread_pool *pool, int32_t number) {
    for (int32_t i = 0; i < pool->threads; i++) {
        int32_t owner = number + i < pool->threads ? number + i : number + i - pool->threads;
        _Atomic uint64_t *word = &pool->worker[owner].turns;
        uint64_t turns = atomic_load_explicit(word, memory_order_relaxed);
        while (FIRST(turns) < LAST(turns) && number < WORKERS(turns))
            if (atomic_compare_exchange_weak_explicit(word, &turns, i == 0 ? turns + ONE_FIRST : turns - ONE_LAST,
                                                      memory_order_acquire, memory_order_relaxed))
                return i == 0 ? FIRST(turns) : LAST(turns) - 1;
    }
    return -1;
}

// Takes part in the loop, if there is a turn left.
static void join_loop(struct worker *self) {
    fv_thread_pool *pool = self->pool;
    uint32_t taken = 0;
    atomic_store_explicit(&self->holds, true, memory_order_relaxed);
    // Until the turns taken are reported as done the loop cannot end.
    for (int32_t turn; (turn = take(pool, self->number)) >= 0; taken++) pool->body(pool->context, turn, self->number);
    if (taken > 0 && atomic_fetch_add_explicit(&pool->done, taken, memory_order_acq_rel) & CALLER_SLEEPS)
        futex_wake(&pool->done);
    atomic_store_explicit(&self->holds, false, memory_order_relaxed);
}

// Until a loop begins, or the pool is destroyed; without a core for itself the worker does not look for loops but rests.
static void sleep_until_woken(struct worker *self, uint32_t seen, bool rests) {
    fv_thread_pool *pool = self->pool;
    if (rests) atomic_store_explicit(&self->rests_until, now(CLOCK_MONOTONIC) + REST, memory_order_relaxed);
    // The caller raises `generation` and then reads `asleep`; here it is the other way round, so one of the two sees the
    // other. The same holds for `stopping`.
    atomic_store(&self->asleep, 1);
    if (!atomic_load(&pool->stopping) && (rests || atomic_load(&pool->generation) == seen))
        futex_wait(&self->asleep, 1, NULL);
    atomic_store(&self->asleep, 0);
}

static void *work(void *argument) {
    struct worker *self = argument;
    fv_thread_pool *pool = self->pool;
    uint32_t seen = 0;
    atomic_store_explicit(&self->id, this_thread(), memory_order_relaxed);
    for (;;) {
        for (int spin = 0; atomic_load_explicit(&pool->generation, memory_order_acquire) == seen; spin++) {
            if (spin < SPINS)
                pause_briefly();
            else
                sleep_until_woken(self, seen, false);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (atomic_load(&pool->stopping)) return NULL;
        if (!has_own_core(self)) {
            sleep_until_woken(self, seen, true);
            continue;
        }
        join_loop(self);
        // The caller has its core back at once; the next loop sends this one to another.
        if (atomic_exchange_explicit(&self->fetched, false, memory_order_relaxed)) sleep_until_woken(self, seen, false);
    }
}

fv_thread_pool *fv_thread_pool_create(int32_t threads) {
    if (threads < 1) threads = 1;
    size_t bytes = sizeof(fv_thread_pool) + (size_t)threads * sizeof(struct worker);
    fv_thread_pool *pool = aligned_alloc(_Alignof(fv_thread_pool), bytes);
    if (!pool) return NULL;
    memset(pool, 0, bytes);
    pthread_mutex_init(&pool->callers, NULL);
    pool->threads = 1;
    // Signals are for the threads that the program itself set up for them.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 1; i < threads; i++) {
        struct worker *w = &pool->worker[i];
        w->pool = pool;
        w->number = i;
        w->core = -1;
        if (pthread_create(&w->thread, NULL, work, w) != 0) break;
        pthread_getcpuclockid(w->thread, &w->clock);
        pool->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pool->threads < threads) {
        fv_thread_pool_destroy(pool);
        return NULL;
    }
    return pool;
}

static void wake(struct worker *worker) {
    uint32_t asleep = 1;
    if (atomic_compare_exchange_strong(&worker->asleep, &asleep, 0)) futex_wake(&worker->asleep);
}

void fv_thread_pool_destroy(fv_thread_pool *pool) {
    atomic_store(&pool->stopping, true);
    atomic_fetch_add(&pool->generation, 1);
    for (int32_t i = 1; i < pool->threads; i++) wake(&pool->worker[i]);
    for (int32_t i = 1; i < pool->threads; i++) pthread_join(pool->worker[i].thread, NULL);
    pthread_mutex_destroy(&pool->callers);
    free(pool);
}

static void wake_sleepers(fv_thread_pool *pool, int32_t workers) {
    int64_t time = 0;
    for (int32_t i = 1; i < workers; i++) {
        struct worker *worker = &pool->worker[i];
        if (atomic_load(&worker->asleep) == 0) continue;
        int64_t rest = atomic_load_explicit(&worker->rests_until, memory_order_relaxed);
        if (rest != 0 && time == 0) time = now(CLOCK_MONOTONIC);
        if (time < rest) continue;
        // Before it is woken it costs less, and no time is lost.
        if (is_taken(pool, atomic_load_explicit(&worker->core, memory_order_relaxed), i) && send_away(pool, worker))
            atomic_store_explicit(&worker->core, -1, memory_order_relaxed);
        wake(worker);
    }
}

// Looks what has become of the workers that the loop waits for. One that has used no processor time since the last look was
// in the middle of a turn when another program took its core, which it may keep for milliseconds: it is brought to the
// caller's core, which is idle meanwhile.
static void look_after(fv_thread_pool *pool, int32_t workers, bool is_first) {
    for (int32_t i = 1; i < workers; i++) {
        struct worker *worker = &pool->worker[i];
        if (!atomic_load_explicit(&worker->holds, memory_order_relaxed)) continue;
        int64_t used = now(worker->clock);
        bool runs = is_first || used < 0 || used != worker->used;
        worker->used = used;
        if (runs || atomic_exchange_explicit(&worker->fetched, true, memory_order_relaxed)) continue;
        cpu_set_t here;
        CPU_ZERO(&here);
        CPU_SET(sched_getcpu(), &here);
        sched_setaffinity(atomic_load_explicit(&worker->id, memory_order_relaxed), sizeof here, &here);
        return;
    }
}

void fv_thread_pool_run(fv_thread_pool *pool, int32_t count, int32_t workers, fv_loop_body body, void *context) {
    if (count <= 0) return;
    pthread_mutex_lock(&pool->callers);
    if (workers > pool->threads) workers = pool->threads;
    if (count == 1 || workers <= 1 || count > MOST_TURNS) {
        for (int32_t i = 0; i < count; i++) body(context, i, 0);
        pthread_mutex_unlock(&pool->callers);
        return;
    }
    pool->body = body;
    pool->context = context;
    atomic_store_explicit(&pool->core, sched_getcpu(), memory_order_relaxed);
    atomic_store_explicit(&pool->caller, this_thread(), memory_order_relaxed);
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    for (int64_t i = 0; i < workers; i++)
        atomic_store_explicit(&pool->worker[i].turns, TURNS(count * i / workers, count * (i + 1) / workers, workers),
                              memory_order_release);
    atomic_fetch_add(&pool->generation, 1);
    wake_sleepers(pool, workers);
    uint32_t left = (uint32_t)count;
    for (int32_t turn; (turn = take(pool, 0)) >= 0; left--) body(context, turn, 0);
    // What is left, workers have taken; one that has not come yet is not waited for.
    for (int spin = 0;;) {
        uint32_t done = atomic_load_explicit(&pool->done, memory_order_acquire);
        if ((done & ~CALLER_SLEEPS) == left) break;
        if (spin < SPINS) {
            spin++;
            pause_briefly();
        } else if (done & CALLER_SLEEPS) {
            futex_wait(&pool->done, done, &(struct timespec){.tv_nsec = PATIENCE});
            look_after(pool, workers, false);
        } else {
            atomic_fetch_or(&pool->done, CALLER_SLEEPS);
            look_after(pool, workers, true);
        }
    }
    pthread_mutex_unlock(&pool->callers);
}

int32_t fv_available_cores(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? count : 1;
}
