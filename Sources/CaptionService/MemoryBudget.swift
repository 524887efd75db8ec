internal import Synchronization

/// Bytes that pictures and request bodies may take together: whoever wants to hold some waits here before it allocates
/// them.
///
/// Fair: who asks first is served first, also where a later, smaller wish would fit; so a large one is not passed by for
/// ever. What waits holds nothing. A wish that could never be met is refused at once.
public final class MemoryBudget: Sendable {
    /// Why bytes are not given.
    public enum Refusal: Error, Sendable, Equatable, CustomStringConvertible {
        /// More than there is in all.
        case tooLarge(bytes: Int, limit: Int)
        /// Too many wait already.
        case tooManyWait(limit: Int)
        /// The task was cancelled while it waited.
        case cancelled

        public var description: String {
            switch self {
            case .tooLarge(let bytes, let limit):
                "Cannot hold \(bytes) bytes in memory: expected at most \(limit). Send a smaller picture."
            case .tooManyWait(let limit):
                "Cannot hold more in memory: \(limit) others wait already. Try again later."
            case .cancelled: "Cannot hold more in memory: the wait was ended."
            }
        }
    }

    /// Bytes that are held until this goes or is ended. One owner: it cannot be copied.
    public struct Holding: ~Copyable, Sendable {
        fileprivate let budget: MemoryBudget
        /// How many.
        public let bytes: Int

        fileprivate init(_ budget: MemoryBudget, _ bytes: Int) {
            self.budget = budget
            self.bytes = bytes
        }

        /// Gives them back, in so many words.
        public consuming func end() {}

        deinit { budget.giveBack(bytes) }
    }

    private struct Waiting {
        let id: Int
        let bytes: Int
        let continuation: CheckedContinuation<Refusal?, Never>
    }

    private struct State {
        var held = 0
        var highest = 0
        var waiting: [Waiting] = []
        var nextID = 0
        /// Cancelled before they began to wait.
        var cancelled: Set<Int> = []
    }

    /// Bytes in all.
    public let limit: Int
    /// The most that may wait.
    public let waitingLimit: Int
    private let state = Mutex(State())

    /// - Parameters:
    ///   - limit: Bytes in all, at least 1.
    ///   - waitingLimit: The most that may wait at a time. The default is 64.
    public init(limit: Int, waitingLimit: Int = 64) {
        self.limit = max(1, limit)
        self.waitingLimit = max(0, waitingLimit)
    }

    /// Bytes that are held now.
    public var held: Int { state.withLock { $0.held } }
    /// The most that were ever held.
    public var highest: Int { state.withLock { $0.highest } }
    /// How many wait.
    public var waiting: Int { state.withLock { $0.waiting.count } }

    /// Waits until `bytes` are free, and holds them.
    public func hold(_ bytes: Int) async throws(Refusal) -> Holding {
        guard bytes >= 0, bytes <= limit else { throw .tooLarge(bytes: bytes, limit: limit) }
        let id = state.withLock {
            $0.nextID += 1
            return $0.nextID
        }
        let refusal = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: Refusal?? = state.withLock {
                    if $0.cancelled.remove(id) != nil { return .some(.cancelled) }
                    if $0.waiting.isEmpty, $0.held <= limit - bytes {
                        take(bytes, &$0)
                        return .some(nil)
                    }
                    guard $0.waiting.count < waitingLimit else { return .some(.tooManyWait(limit: waitingLimit)) }
                    $0.waiting.append(Waiting(id: id, bytes: bytes, continuation: continuation))
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let (ended, served) = state.withLock { state -> (Waiting?, [Waiting]) in
                guard let index = state.waiting.firstIndex(where: { $0.id == id }) else {
                    state.cancelled.insert(id)
                    return (nil, [])
                }
                let ended = state.waiting.remove(at: index)
                // It may have stood before others that fit.
                return (ended, serve(&state))
            }
            ended?.continuation.resume(returning: .cancelled)
            for one in served { one.continuation.resume(returning: nil) }
        }
        state.withLock { _ = $0.cancelled.remove(id) }
        if let refusal { throw refusal }
        return Holding(self, bytes)
    }

    /// Holds `bytes` if they are free now and nobody waits; nil otherwise.
    public func holdNow(_ bytes: Int) -> Holding? {
        let isTaken = state.withLock {
            guard bytes >= 0, $0.waiting.isEmpty, bytes <= limit, $0.held <= limit - bytes else { return false }
            take(bytes, &$0)
            return true
        }
        return isTaken ? Holding(self, bytes) : nil
    }

    private func giveBack(_ bytes: Int) {
        let served = state.withLock {
            $0.held -= bytes
            return serve(&$0)
        }
        for one in served { one.continuation.resume(returning: nil) }
    }

    private func take(_ bytes: Int, _ state: inout State) {
        state.held += bytes
        state.highest = max(state.highest, state.held)
    }

    /// Takes for those in front for whom there is room, and removes them.
    private func serve(_ state: inout State) -> [Waiting] {
        var served: [Waiting] = []
        while let first = state.waiting.first, state.held <= limit - first.bytes {
            take(first.bytes, &state)
            served.append(state.waiting.removeFirst())
        }
        return served
    }
}

extension MemoryBudget {
    /// What a picture takes while it is read: its file, its pixels and a decoder's own memory.
    ///
    /// - Parameters:
    ///   - fileBytes: The file's length.
    ///   - pixels: Width times height; nil where that is not known.
    public static func bytes(forPictureOf fileBytes: Int, pixels: Int?) -> Int {
        let (decoded, overflow) = (pixels ?? 0).multipliedReportingOverflow(by: 3)
        let (all, overflowAll) = fileBytes.addingReportingOverflow(overflow ? Int.max : decoded)
        return overflow || overflowAll ? Int.max : all
    }
}
