internal import Dispatch

/// Runs an actor's jobs on a queue of its own, one after the other.
///
/// Inference holds a thread for seconds; on the cooperative pool, which has one thread a core, every other task would
/// wait for it.
final class InferenceExecutor: SerialExecutor {
    private let queue: DispatchQueue

    init(label: String) {
        queue = DispatchQueue(label: label)
    }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.async { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }

    func asUnownedSerialExecutor() -> UnownedSerialExecutor { UnownedSerialExecutor(ordinary: self) }
}
