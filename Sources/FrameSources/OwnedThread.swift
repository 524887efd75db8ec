internal import CInotifyTools
internal import Glibc

/// A thread of our own for work that blocks: the cooperative pool never does it.
enum OwnedThread {
    /// Runs `body` on a new thread, which ends with it.
    ///
    /// - Throws: `resource` if the system gives no thread.
    static func start(_ body: @escaping @Sendable () -> Void) throws(FrameSourceError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 2 << 20)
        // Unsafe: the box is retained here and released by the thread, which takes it exactly once.
        let box = Unmanaged.passRetained(Box(body))
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            box.release()
            throw .system(code, "start a thread")
        }
    }

    private final class Box {
        let body: @Sendable () -> Void

        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
}

/// A flag that one thread raises and another sleeps on: an eventfd.
struct WakeUp: ~Copyable, Sendable {
    private let descriptor: Descriptor

    /// - Throws: `resource`.
    init() throws(FrameSourceError) {
        let number = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard number >= 0 else { throw .system(errno, "make an event descriptor") }
        descriptor = Descriptor(number)
    }

    func raise() {
        var one: UInt64 = 1
        _ = write(descriptor.number, &one, 8)
    }

    /// Waits until the flag is raised, then lowers it.
    ///
    /// - Parameter limit: the longest wait; nil waits without one.
    /// - Returns: false if the time ran out.
    @discardableResult
    func wait(for limit: Duration?) -> Bool {
        var entry = pollfd(fd: descriptor.number, events: Int16(POLLIN), revents: 0)
        let milliseconds: Int32
        if let limit {
            let (seconds, attoseconds) = limit.components
            let rounded = (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
            milliseconds = Int32(clamping: max(0, seconds.multipliedReportingOverflow(by: 1000).partialValue + rounded))
        } else {
            milliseconds = -1
        }
        guard poll(&entry, 1, milliseconds) > 0 else { return false }
        var count: UInt64 = 0
        return read(descriptor.number, &count, 8) == 8
    }
}

/// Where the time comes from; tests bring their own.
package protocol FrameClock: Sendable {
    /// The time since a fixed moment; never goes back.
    func now() -> Duration
}

/// `CLOCK_MONOTONIC`.
package struct SystemFrameClock: FrameClock {
    package init() {}

    package func now() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return .seconds(Int64(time.tv_sec)) + .nanoseconds(Int64(time.tv_nsec))
    }
}
