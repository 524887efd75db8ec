internal import Sidecars
internal import Synchronization

/// How the whole daemon is: what does not work as it should, and how many frames wait; every part adds its own.
public final class ServiceCondition: Sendable {
    /// What one part has to say.
    public struct Part: Sendable {
        /// Frames that wait there.
        public var waiting: Int
        /// What does not work as it should, one stable word each.
        public var degraded: Set<String>

        public init(waiting: Int = 0, degraded: Set<String> = []) {
            self.waiting = waiting
            self.degraded = degraded
        }
    }

    private let parts: Mutex<[@Sendable () -> Part]>

    /// - Parameter degraded: What was known at the start.
    public init(degraded: Set<String> = []) {
        parts = Mutex(degraded.isEmpty ? [] : [{ Part(degraded: degraded) }])
    }

    /// Asks `part` from now on, each time somebody wants to know.
    public func add(_ part: @escaping @Sendable () -> Part) { parts.withLock { $0.append(part) } }

    /// What all parts say.
    public var now: Part {
        parts.withLock { $0 }.reduce(into: Part()) { sum, part in
            let part = part()
            sum.waiting += part.waiting
            sum.degraded.formUnion(part.degraded)
        }
    }

    /// The state of the device and of the daemon as results carry it.
    var health: SidecarDocument.Health {
        let now = now
        return SidecarDocument.Health(.sample(), queue: now.waiting, degraded: now.degraded.sorted())
    }
}
