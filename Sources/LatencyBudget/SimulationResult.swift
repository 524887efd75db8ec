/// What a policy made of a trace.
public struct SimulationResult: Sendable, Equatable {
    public var trace: String
    public var policy: String
    public var frames = 0
    /// Frames that were started, and of these the ones that were late or too short to be useful.
    public var started = 0
    public var missed = 0
    /// The same without the 20 frames that follow each step.
    public var settledStarted = 0
    public var settledMissed = 0
    /// Frames that were not started, and of these the ones that the cheapest rung would have answered in time.
    public var refused = 0
    public var refusedInVain = 0
    /// Frames of a live source that a newer one replaced.
    public var superseded = 0
    /// Sum over the frames that were in time.
    public var utility = 0.0
    /// Sum of what an oracle would have had more, choosing at the same moments.
    public var regret = 0.0
    public var switches = 0
    /// Simulated time, ms.
    public var duration = 0.0
    /// The part of it in which a frame was being answered.
    public var busy = 0.0
    /// Every frame that was taken from the queue, where it was asked for.
    public var log: [SimulatedFrame] = []

    public var missRate: Double { Double(missed) / Double(max(1, started)) }
    public var settledMissRate: Double { Double(settledMissed) / Double(max(1, settledStarted)) }
    /// Over all frames of the trace.
    public var meanUtility: Double { utility / Double(max(1, frames)) }
    public var meanRegret: Double { regret / Double(max(1, frames)) }
    /// Changes of the rung between two frames of one source.
    public var switchesPerMinute: Double { Double(switches) / max(duration / 60_000, 1e-9) }
}

/// One frame of a simulation. Times are ms.
public struct SimulatedFrame: Sendable, Equatable {
    /// Its place in the trace.
    public var index: Int
    /// When it was taken from the queue.
    public var start: Double
    public var source: Int
    /// What was left of its budget.
    public var left: Double
    /// Place on the ladder; `nil` for a frame that was not started.
    public var rung: Int?
    /// The same for an oracle at this moment.
    public var bestRung: Int?
    public var reason: String
    /// What it took, from its start to its end.
    public var actual: Double
    public var predicted: Double
    public var met: Bool
    public var tokens: Int
    /// Factors of the picture's phases and of generating: realized, and as the planner saw them.
    public var slowdown: Double
    public var estimated: Double
    public var tokenSlowdown: Double
    public var tokenEstimated: Double
}
