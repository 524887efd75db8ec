internal import LatencyBudget
internal import Synchronization

/// Who may use the engine next: every frame of every source takes its turn here, one at a time.
///
/// Somebody who waits comes by deadline, of a camera the newest frame counts and an older one that still waits is
/// superseded, and backlog comes when nothing else waits. So that nothing waits for ever behind a camera that never ends,
/// whoever has waited for ``patience`` comes next. Of several models the one that had the last turn keeps it for a while, as
/// ``ModelStint`` says. No thread is blocked by waiting.
public final class FrameDesk: Sendable {
    /// How a frame competes with others.
    public enum Kind: Sendable, Equatable {
        /// Of a camera, by the number that ``FrameDesk/liveNumber()`` gave it: a newer frame is worth more.
        case live(Int)
        /// Somebody waits for this very frame.
        case request
        /// Of a folder that has piled up.
        case backlog
    }

    /// What a turn is asked for.
    public struct Claim: Sendable {
        /// Where the frame came from, as in the results' `origin`: the name of its counters.
        public var source: String
        public var kind: Kind
        /// When the frame's budget began.
        public var arrival: ContinuousClock.Instant
        /// ms from `arrival` until the answer is due. The default, nil, is no limit.
        public var budget: Double?
        /// The model that is asked, and what loading it takes. The default is one without a name that takes no time.
        package var model = ""
        package var loading = Duration.zero
        /// Whether another frame of the same model comes right after this one. The default is that nobody knows of any.
        package var isFollowed: (@Sendable () -> Bool)?

        public init(source: String, kind: Kind, arrival: ContinuousClock.Instant = .now, budget: Double? = nil) {
            self.source = source
            self.kind = kind
            self.arrival = arrival
            self.budget = budget
        }

        /// As the other, for a frame that asks the model `key` of `models`.
        init(
            source: String, kind: Kind, arrival: ContinuousClock.Instant, budget: Double?, model key: String,
            of models: ModelShelf
        ) {
            self.init(source: source, kind: kind, arrival: arrival, budget: budget)
            model = key
            loading = models.loadTime(of: key)
        }
    }

    /// What came of asking for a turn.
    public enum Turn<Value: Sendable>: Sendable {
        case taken(Value)
        /// A newer frame of the same camera came first.
        case superseded
        /// Too many wait.
        case dropped
        /// The task was cancelled before its turn came.
        case cancelled
    }

    /// Frames that wait at most, all sources together.
    public let capacity: Int
    /// How long something waits before it comes next whatever else waits.
    public let patience: Duration

    fileprivate enum Call: Sendable {
        case turn, superseded, dropped, cancelled
    }

    fileprivate struct Waiter {
        var claim: Claim
        var since: ContinuousClock.Instant
        /// Nil until somebody waits for the ticket.
        var continuation: CheckedContinuation<Call, Never>?
    }

    fileprivate struct State {
        /// Holds tickets; those of waiters that are gone are skipped.
        var order: FrameOrder<UInt64>
        var waiters: [UInt64: Waiter] = [:]
        /// What was decided of tickets that nobody waits for yet.
        var calls: [UInt64: Call] = [:]
        var isTaken = false
        var stint: ModelStint
        /// The number of the wait for a frame that follows another of the same model; nil where nobody waits for one.
        var awaited: UInt64?
        var counters = FrameCountersBySource()
        var lastTicket: UInt64 = 0
        var lastLive = 0
    }

    private let state: Mutex<State>
    private let clock = BudgetClock()
    private let liveFrames: Int

    /// - Parameters:
    ///   - capacity: The default is 64.
    ///   - liveFrames: Frames of one camera that wait. The default is 1.
    ///   - patience: The default is 30 seconds.
    ///   - stint: The least that a model keeps its turns for while frames of it wait. The default is 5 seconds.
    public init(
        capacity: Int = 64, liveFrames: Int = 1, patience: Duration = .seconds(30), stint: Duration = .seconds(5)
    ) {
        self.capacity = max(1, capacity)
        self.patience = patience
        self.liveFrames = liveFrames
        state = Mutex(State(order: FrameOrder(liveFrames: liveFrames), stint: ModelStint(shortest: stint)))
    }

    /// What happened so far; at every instant ``FrameCounters/isConserved``.
    public var counters: FrameCounters { state.withLock { $0.counters.total } }

    /// The same by source.
    public var countersBySource: [String: FrameCounters] { state.withLock { $0.counters.bySource } }

    /// The frames of each source at one instant, without those of folders, which are counted where they are watched.
    public var frames: [SourceFrames] {
        let now = ContinuousClock.now
        return state.withLock { state in
            var waiting: [String: (count: Int, since: ContinuousClock.Instant)] = [:]
            for waiter in state.waiters.values {
                let old = waiting[state.counters.name(of: waiter.claim.source), default: (0, now)]
                waiting[state.counters.name(of: waiter.claim.source)] = (old.count + 1, min(old.since, waiter.since))
            }
            return state.counters.bySource.sorted { $0.key < $1.key }.compactMap { source, counters in
                guard !["watch", Spool.watchName].contains(FrameCountersBySource.kind(of: source)) else { return nil }
                let waiter = waiting[source]
                return SourceFrames(
                    source: source, received: counters.received,
                    outcomes: Dictionary(
                        uniqueKeysWithValues: FrameEnding.allCases.map { ($0.rawValue, counters[$0]) }),
                    pending: [
                        "waiting": waiter?.count ?? 0, "in_work": counters.pending - (waiter?.count ?? 0),
                    ], oldestPending: waiter.map { now - $0.since })
            }
        }
    }

    /// Frames that wait, without the one in work.
    public var waiting: Int { state.withLock { $0.waiters.count } }

    /// How long the oldest of the waiting frames has waited; nil where none waits.
    public var oldestWait: Duration? {
        let now = ContinuousClock.now
        return state.withLock { $0.waiters.values.map(\.since).min() }.map { now - $0 }
    }

    /// A number for a camera that begins now.
    public func liveNumber() -> Int {
        state.withLock { state in
            state.lastLive &+= 1
            return state.lastLive
        }
    }

    /// Forgets a camera that has ended; what waits of it is superseded.
    public func forget(live number: Int) {
        let ended = state.withLock { state in
            state.order.remove(source: number).compactMap { state.end($0, .superseded, .superseded) }
        }
        for continuation in ended { continuation.resume(returning: .superseded) }
    }

    /// The waiting frames that have a budget: when it began, and how many ms it is. Backlog is left out.
    package var waitingBudgets: [(arrival: ContinuousClock.Instant, budget: Double)] {
        state.withLock { state in
            state.waiters.values.compactMap { waiter in
                waiter.claim.kind == .backlog ? nil : waiter.claim.budget.map { (waiter.claim.arrival, $0) }
            }
        }
    }

    /// Counts a frame that ended before it could ask for a turn.
    public func count(_ ending: FrameEnding, from source: String) {
        state.withLock { state in
            state.counters.change(source) {
                $0.received += 1
                $0.end(ending)
            }
        }
    }

    /// A place at the desk; whoever has one comes for it with ``turn(_:_:)``, or nobody gets a turn any more.
    public struct Ticket: Sendable {
        fileprivate let number: UInt64
        fileprivate let claim: Claim
    }

    /// Waits for the turn of `claim`, then runs `body` while nobody else uses the engine.
    ///
    /// - Parameter body: Says how the frame ended, for the counters, besides its value. It runs even where the task is
    ///   cancelled just as its turn comes, and is expected to look.
    public func turn<Value: Sendable>(
        _ claim: Claim, _ body: () async -> (Value, FrameEnding)
    ) async -> Turn<Value> {
        await turn(ask(claim), body)
    }

    /// As ``turn(_:_:)`` of a claim for which a ticket was taken before.
    public func turn<Value: Sendable>(
        _ ticket: Ticket, _ body: () async -> (Value, FrameEnding)
    ) async -> Turn<Value> {
        let call = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let call = state.withLock { state in
                    let call = state.calls.removeValue(forKey: ticket.number)
                    if call == nil { state.waiters[ticket.number]?.continuation = continuation }
                    return call
                }
                if let call { continuation.resume(returning: call) }
            }
        } onCancel: {
            state.withLock { $0.end(ticket.number, .vanished, .cancelled) }?.resume(returning: .cancelled)
        }
        switch call {
        case .superseded: return .superseded
        case .dropped: return .dropped
        case .cancelled: return .cancelled
        case .turn:
            guard !Task.isCancelled else {
                giveOn(ticket.claim, .vanished)
                return .cancelled
            }
            let (value, ending) = await body()
            giveOn(ticket.claim, ending)
            return .taken(value)
        }
    }

    /// Takes the turn for `claim`, if nobody has it, or a place among those who wait; does not wait itself, so that frames
    /// take their places in the order in which they came.
    public func ask(_ claim: Claim) -> Ticket {
        let now = ContinuousClock.now
        let (ticket, superseded) = state.withLock { state in
            state.lastTicket &+= 1
            let ticket = Ticket(number: state.lastTicket, claim: claim)
            state.counters.change(claim.source) {
                $0.received += 1
                $0.pending += 1
            }
            guard state.isTaken || state.awaited != nil && claim.model != state.stint.model else {
                state.take(claim, now)
                state.calls[ticket.number] = .turn
                return (ticket, nil as CheckedContinuation<Call, Never>?)
            }
            let replaced = add(ticket.number, claim, to: &state.order).flatMap {
                state.end($0, .superseded, .superseded)
            }
            if state.waiters.count < capacity {
                state.waiters[ticket.number] = Waiter(claim: claim, since: now)
            } else {
                state.counters.change(claim.source) { $0.endPending(.dropped) }
                state.calls[ticket.number] = .dropped
            }
            return (ticket, replaced)
        }
        superseded?.resume(returning: .superseded)
        return ticket
    }

    /// - Returns: The ticket that it supersedes.
    private func add(_ ticket: UInt64, _ claim: Claim, to order: inout FrameOrder<UInt64>) -> UInt64? {
        let deadline = claim.budget.map { clock.milliseconds(at: claim.arrival) + $0 } ?? .infinity
        return switch claim.kind {
        case .live(let number): order.add(ticket, .live(source: number), deadline: deadline)
        case .request: order.add(ticket, .request, deadline: deadline)
        case .backlog: order.add(ticket, .backlog, deadline: deadline)
        }
    }

    /// Ends a turn and calls the next frame.
    private func giveOn(_ claim: Claim, _ ending: FrameEnding) {
        let isFollowed = claim.isFollowed?() ?? false
        let now = ContinuousClock.now
        let (next, awaited) = state.withLock { state in
            state.counters.change(claim.source) { $0.endPending(ending) }
            state.isTaken = false
            if isFollowed, !state.waiters.isEmpty, !state.waiters.values.contains(where: { state.admits($0, now) }) {
                // All who wait are to wait for the frame that follows, too, but not if it does not come.
                state.lastTicket &+= 1
                state.awaited = state.lastTicket
                return (nil as CheckedContinuation<Call, Never>?, state.awaited)
            }
            return (call(&state, now), nil)
        }
        next?.resume(returning: .turn)
        guard let awaited else { return }
        Task {
            try? await Task.sleep(for: Self.followerPatience)
            giveUp(awaited)
        }
    }

    /// How long a frame that follows another is waited for, with nobody at work.
    private static let followerPatience = Duration.seconds(1)

    /// Does not wait any longer for a frame that follows another.
    private func giveUp(_ awaited: UInt64) {
        let next = state.withLock { state in
            guard state.awaited == awaited else { return nil as CheckedContinuation<Call, Never>? }
            state.awaited = nil
            return call(&state, .now)
        }
        next?.resume(returning: .turn)
    }

    /// Gives the turn to the frame that comes next, if one waits; whom to tell.
    private func call(_ state: inout State, _ now: ContinuousClock.Instant) -> CheckedContinuation<Call, Never>? {
        guard let (ticket, waiter) = nextWaiter(&state, now) else { return nil }
        state.take(waiter.claim, now)
        if waiter.continuation == nil { state.calls[ticket] = .turn }
        return waiter.continuation
    }

    /// Whether a frame of `model` may come before one of the model that had the last turn.
    func admits(_ model: String, loading: Duration) -> Bool {
        state.withLock { $0.stint.admits(model, loading: loading, .now) }
    }

    private func nextWaiter(_ state: inout State, _ now: ContinuousClock.Instant) -> (UInt64, Waiter)? {
        forgetTheGone(&state)
        var waiters = state.waiters
        if waiters.values.contains(where: { $0.claim.model == state.stint.model }) {
            waiters = waiters.filter { state.admits($0.value, now) }
        }
        if let oldest = waiters.min(by: { $0.value.since < $1.value.since }), now - oldest.value.since > patience {
            return state.waiters.removeValue(forKey: oldest.key).map { (oldest.key, $0) }
        }
        guard waiters.count == state.waiters.count else {
            var order = order(of: waiters)
            return order.next(now: clock.milliseconds(at: now)).flatMap { ticket in
                state.waiters.removeValue(forKey: ticket).map { (ticket, $0) }
            }
        }
        while let ticket = state.order.next(now: clock.milliseconds(at: now)) {
            if let waiter = state.waiters.removeValue(forKey: ticket) { return (ticket, waiter) }
        }
        return nil
    }

    /// Makes the order anew where most of it has gone, so that clients that give up leave nothing behind.
    private func forgetTheGone(_ state: inout State) {
        guard state.order.count > 2 * capacity else { return }
        state.order = order(of: state.waiters)
    }

    private func order(of waiters: [UInt64: Waiter]) -> FrameOrder<UInt64> {
        var order = FrameOrder<UInt64>(liveFrames: liveFrames)
        for (ticket, waiter) in waiters.sorted(by: { $0.key < $1.key }) { _ = add(ticket, waiter.claim, to: &order) }
        return order
    }
}

extension FrameDesk.State {
    /// Somebody has the turn for `claim`.
    fileprivate mutating func take(_ claim: FrameDesk.Claim, _ now: ContinuousClock.Instant) {
        isTaken = true
        awaited = nil
        stint.turn(claim.model, now)
    }

    fileprivate func admits(_ waiter: FrameDesk.Waiter, _ now: ContinuousClock.Instant) -> Bool {
        stint.admits(waiter.claim.model, loading: waiter.claim.loading, now)
    }

    /// Takes a waiter out and counts how it ended; nil if it does not wait any more, or nobody waits for it yet.
    fileprivate mutating func end(
        _ ticket: UInt64, _ ending: FrameEnding, _ call: FrameDesk.Call
    ) -> CheckedContinuation<FrameDesk.Call, Never>? {
        guard let waiter = waiters.removeValue(forKey: ticket) else { return nil }
        counters.change(waiter.claim.source) { $0.endPending(ending) }
        if waiter.continuation == nil { calls[ticket] = call }
        return waiter.continuation
    }
}
