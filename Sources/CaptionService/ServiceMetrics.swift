public import Sidecars
internal import Synchronization

/// What results show of the daemon's work, counted since its start.
///
/// Frames are counted where they wait, see ``SourceFrames``; here is what came of those that were done.
public final class ServiceMetrics: Sendable {
    struct Totals: Sendable {
        /// By the refusal's code.
        var refusals: [String: Int] = [:]
        /// Seconds by phase, in the order of the work.
        var phases: [String: Histogram] = [:]
        var firstToken = Histogram(Self.seconds)
        /// Tokens a second after the first, of each result with more than one.
        var speed = Histogram([1, 2, 5, 10, 20, 50, 100, 200, 500])
        var promptTokens = 0
        var generatedTokens = 0
        /// Results by the side of what the encoder saw, in pixels.
        var resolutions: [Int: Int] = [:]
        var budgetsMet = 0
        var budgetsMissed = 0
        var predictionRatio = Histogram([0.25, 0.5, 0.75, 0.9, 1, 1.1, 1.25, 1.5, 2, 4])
        var reloads = 0
        var failedReloads = 0
        var last: ServiceStatus.LastResult?

        static let seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]
    }

    static let phases = ["queued", "decode", "preprocess", "vision", "prefill", "generate", "total"]
    /// Codes that are counted by name; codes are the program's own, so that there are never so many.
    static let codeLimit = 64

    private let state = Mutex(Totals())

    public init() {}

    var totals: Totals { state.withLock { $0 } }

    /// Counts a result.
    public func record(_ document: SidecarDocument) {
        state.withLock { $0.record(document) }
    }

    /// Counts an attempt to read the configuration anew.
    public func recordReload(succeeded: Bool) {
        state.withLock {
            $0.reloads += succeeded ? 1 : 0
            $0.failedReloads += succeeded ? 0 : 1
        }
    }
}

extension ServiceMetrics.Totals {
    fileprivate mutating func record(_ document: SidecarDocument) {
        last = ServiceStatus.LastResult(document)
        if case .refused(let code, _) = document.status {
            let name = refusals[code] != nil || refusals.count < ServiceMetrics.codeLimit ? code : "other"
            refusals[name, default: 0] += 1
        }
        if let budget = document.budget {
            if budget.met { budgetsMet += 1 } else { budgetsMissed += 1 }
        }
        guard let timings = document.timings else { return }
        let phases: [(String, Milliseconds?)] = [
            ("queued", timings.queued), ("decode", timings.decode), ("preprocess", timings.preprocess),
            ("vision", timings.vision), ("prefill", timings.prefill), ("generate", timings.generate),
            ("total", timings.total),
        ]
        for case (let name, let time?) in phases {
            self.phases[name, default: Histogram(Self.seconds)].observe(time.value / 1000)
        }
        guard document.status == .ok else { return }
        if let time = timings.ttft { firstToken.observe(time.value / 1000) }
        promptTokens += timings.promptTokens ?? 0
        let generated = timings.generatedTokens ?? 0
        generatedTokens += generated
        // Of each reply the first token is the prompt's time.
        let timed = generated - max(1, (document.caption == nil ? 0 : 1) + document.answers.count)
        if timed > 0, let time = timings.generate, time.value > 0 { speed.observe(Double(timed) / time.value * 1000) }
        if let pixels = document.resolution?.pixels { resolutions[pixels, default: 0] += 1 }
        if let predicted = document.budget?.predicted, let total = timings.total, total.value > 0 {
            predictionRatio.observe(predicted.value / total.value)
        }
    }
}

/// The frames of one source, counted at one instant:
/// `received` = all of `outcomes` + all of `pending`.
public struct SourceFrames: Sendable, Equatable {
    /// Where they came from, as in the results' `origin`.
    public var source: String
    public var received: Int
    /// How frames ended, by name: `ok`, `refused`, `expired`, `dropped`, `superseded`, `vanished`, …
    public var outcomes: [String: Int]
    /// Frames that have not ended, by state: `waiting`, `in_work`, …
    public var pending: [String: Int]
    /// How long the oldest of those that have not ended has been there.
    public var oldestPending: Duration?

    public init(
        source: String, received: Int, outcomes: [String: Int], pending: [String: Int], oldestPending: Duration? = nil
    ) {
        self.source = source
        self.received = received
        self.outcomes = outcomes
        self.pending = pending
        self.oldestPending = oldestPending
    }

    /// Whether every frame that was received is accounted for.
    public var isConserved: Bool { received == outcomes.values.reduce(0, +) + pending.values.reduce(0, +) }
}
