internal import Synchronization

/// The memory that all bodies together may take.
final class BodyBudget: Sendable {
    let limit: Int
    private let used = Mutex(0)

    init(_ limit: Int) { self.limit = limit }

    /// Bytes that are reserved.
    var reserved: Int { used.withLock { $0 } }

    /// Reserves `bytes`; nil if there is not so much left.
    func reserve(_ bytes: Int) -> BodyReservation? {
        let reservation = BodyReservation(self)
        return reservation.grow(to: bytes) ? reservation : nil
    }

    fileprivate func take(_ bytes: Int) -> Bool {
        used.withLock { used in
            guard bytes <= limit - used else { return false }
            used += bytes
            return true
        }
    }

    fileprivate func giveBack(_ bytes: Int) { used.withLock { $0 -= bytes } }
}

/// A part of the budget; given back when it goes.
final class BodyReservation: Sendable {
    private let budget: BodyBudget
    private let bytes = Mutex(0)

    /// What a body of unknown length reserves at a time.
    static let step = 1 << 20

    fileprivate init(_ budget: BodyBudget) { self.budget = budget }

    deinit { budget.giveBack(bytes.withLock { $0 }) }

    /// Reserves what is missing to `count` bytes; false if there is not so much left.
    func grow(to count: Int) -> Bool {
        bytes.withLock { bytes in
            guard count > bytes else { return true }
            guard budget.take(count - bytes) else { return false }
            bytes = count
            return true
        }
    }
}
