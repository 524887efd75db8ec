internal import CKernels

/// Threads that share the turns of one loop at a time; the calling thread is one of them.
public final class ThreadPool: Sendable {
    /// The threads that a loop runs on, the caller's included.
    public let threads: Int
    // Unsafe: the pool is C's.
    // Invariant: what is behind it takes one loop at a time under a lock of its own, is made in `init`
    // and ends in `deinit`, after the last thread has let go.
    private nonisolated(unsafe) let pool: OpaquePointer

    /// Starts `threads - 1` threads. Throws ``KernelError`` where the system refuses them.
    public init(threads: Int) throws(KernelError) {
        let wanted = min(max(threads, 1), 256)
        guard let pool = fv_thread_pool_create(Int32(wanted)) else {
            throw KernelError(
                .noThreads,
                "Cannot start \(wanted - 1) compute threads: the system refused. Lower 'threads' or raise TasksMax.")
        }
        self.threads = wanted
        self.pool = pool
    }

    deinit {
        fv_thread_pool_destroy(pool)
    }

    /// Calls `body(index, worker)` for every index below `count` and returns when all calls have.
    ///
    /// - Parameters:
    ///   - workers: The most threads to use. The default is all of them.
    ///   - body: Runs on several threads at once; `worker` (`0 ..< threads`) tells whose scratch to use.
    func loop(_ count: Int, workers: Int? = nil, _ body: (_ index: Int, _ worker: Int) -> Void) {
        withoutActuallyEscaping(body) { body in
            var body = body
            // Unsafe: C carries the closure to its threads; all are done with it when the call returns.
            withUnsafeMutablePointer(to: &body) { context in
                let call: fv_loop_body = { context, index, worker in
                    guard let context else { return }
                    let body = context.assumingMemoryBound(to: ((Int, Int) -> Void).self)
                    body.pointee(Int(index), Int(worker))
                }
                fv_thread_pool_run(pool, Int32(count), Int32(min(workers ?? threads, threads)), call, context)
            }
        }
    }
}
