#ifndef FASTVLM_THREAD_POOL_H
#define FASTVLM_THREAD_POOL_H

#include <stdint.h>

// A pool of threads that share the indices of one loop at a time. Workers spin for some microseconds
// between loops, because a decoder step is hundreds of loops of tens of microseconds, and then sleep.
typedef struct fv_thread_pool fv_thread_pool;

// One turn of the loop: `worker` is 0 ..< threads and tells whose scratch to use.
typedef void (*fv_loop_body)(void *context, int32_t index, int32_t worker);

// A pool of `threads` workers, the caller of `run` among them, or NULL where the system gives no more threads.
fv_thread_pool *fv_thread_pool_create(int32_t threads);

// Processors that this process may run on, at least 1: what taskset and a service's CPUAffinity= leave of the machine's.
int32_t fv_available_cores(void);

// Ends and joins the workers. No loop may be running.
void fv_thread_pool_destroy(fv_thread_pool *pool);

// Calls body(context, i, worker) for every i in 0 ..< count, on at most `workers` of the threads, and
// returns when all have returned. Loops of several callers follow one another.
void fv_thread_pool_run(fv_thread_pool *pool, int32_t count, int32_t workers, fv_loop_body body, void *context);

#endif
