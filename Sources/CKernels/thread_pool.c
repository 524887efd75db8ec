#define _GNU_SOURCE
#include "thread_pool.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// About 30 microseconds of pauses on current processors: longer than the gaps inside a decoder step.
enum { SPINS = 2000 };

struct fv_thread_pool {
    pthread_mutex_t callers;      // one loop at a time
    _Atomic uint32_t generation;  // one more for every loop; workers wait for it to change
    _Atomic uint32_t working;     // workers that have not yet left the current loop
    _Atomic int32_t sleepers;     // workers asleep on `generation`
    _Atomic int32_t next;         // the loop's next index
    _Atomic bool stopping;
    // Written before `generation` is raised and unchanged until `working` is 0.
    int32_t count, workers;
    fv_loop_body body;
    void *context;
    int32_t threads;
    struct worker {
        fv_thread_pool *pool;
        pthread_t thread;
        int32_t number;
    } worker[];
};

static void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen) {
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0); }

static void take_indices(fv_thread_pool *pool, int32_t worker) {
    for (;;) {
        int32_t i = atomic_fetch_add_explicit(&pool->next, 1, memory_order_relaxed);
        if (i >= pool->count) return;
        pool->body(pool->context, i, worker);
    }
}

static void *work(void *argument) {
    struct worker *self = argument;
    fv_thread_pool *pool = self->pool;
    uint32_t seen = 0;
    for (;;) {
        for (int spin = 0; atomic_load_explicit(&pool->generation, memory_order_acquire) == seen; spin++) {
            if (spin < SPINS) {
                pause_briefly();
                continue;
            }
            // The caller raises `generation` and then reads `sleepers`; here it is the other way round, so one
            // of the two sees the other.
            atomic_fetch_add(&pool->sleepers, 1);
            if (atomic_load(&pool->generation) == seen) futex_wait(&pool->generation, seen);
            atomic_fetch_sub(&pool->sleepers, 1);
        }
        seen = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (atomic_load(&pool->stopping)) return NULL;
        if (self->number < pool->workers) take_indices(pool, self->number);
        if (atomic_fetch_sub_explicit(&pool->working, 1, memory_order_acq_rel) == 1) futex_wake(&pool->working);
    }
}

fv_thread_pool *fv_thread_pool_create(int32_t threads) {
    if (threads < 1) threads = 1;
    fv_thread_pool *pool = calloc(1, sizeof *pool + (size_t)threads * sizeof pool->worker[0]);
    if (!pool) return NULL;
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
        if (pthread_create(&w->thread, NULL, work, w) != 0) break;
        pool->threads++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (pool->threads < threads) {
        fv_thread_pool_destroy(pool);
        return NULL;
    }
    return pool;
}

void fv_thread_pool_destroy(fv_thread_pool *pool) {
    atomic_store(&pool->stopping, true);
    atomic_fetch_add(&pool->generation, 1);
    futex_wake(&pool->generation);
    for (int32_t i = 1; i < pool->threads; i++) pthread_join(pool->worker[i].thread, NULL);
    pthread_mutex_destroy(&pool->callers);
    free(pool);
}

void fv_thread_pool_run(fv_thread_pool *pool, int32_t count, int32_t workers, fv_loop_body body, void *context) {
    if (count <= 0) return;
    pthread_mutex_lock(&pool->callers);
    if (count == 1 || workers <= 1 || pool->threads == 1) {
        for (int32_t i = 0; i < count; i++) body(context, i, 0);
        pthread_mutex_unlock(&pool->callers);
        return;
    }
    pool->count = count;
    pool->workers = workers;
    pool->body = body;
    pool->context = context;
    atomic_store_explicit(&pool->next, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->working, (uint32_t)pool->threads - 1, memory_order_relaxed);
    atomic_fetch_add(&pool->generation, 1);
    if (atomic_load(&pool->sleepers) > 0) futex_wake(&pool->generation);
    take_indices(pool, 0);
    for (int spin = 0;; spin++) {
        uint32_t left = atomic_load_explicit(&pool->working, memory_order_acquire);
        if (left == 0) break;
        if (spin < SPINS)
            pause_briefly();
        else
            futex_wait(&pool->working, left);
    }
    pthread_mutex_unlock(&pool->callers);
}

int32_t fv_available_cores(void) {
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? count : 1;
}
