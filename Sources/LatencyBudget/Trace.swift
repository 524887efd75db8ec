/// Times at which a frame does not run because the scheduler gave its core to another program. Times are ms.
///
/// They do not grow with the frame as a slowdown does: a frame that is done before the first one loses nothing.
public struct Stalls: Sendable, Equatable, Codable {
    /// How long the frame runs before the first one.
    public var first: Double
    /// How long it runs between one and the next.
    public var every: Double
    /// How long one lasts.
    public var duration: Double

    public init(first: Double, every: Double, duration: Double) {
        self.first = first
        self.every = every
        self.duration = duration
    }

    private enum CodingKeys: String, CodingKey {
        case first = "first_ms"
        case every = "every_ms"
        case duration = "ms"
    }

    /// What passes until the frame has run for `time`.
    func elapsed(_ time: Double) -> Double {
        guard time > first else { return time }
        return time + duration * (1 + ((time - first) / every).rounded(.down))
    }
}

/// A frame of a trace: when it came, what it was allowed, and how fast the device was for it.
///
/// One JSON object a line in a file. Fields that are missing have their usual value, unknown ones are ignored.
public struct TraceFrame: Sendable, Equatable, Codable {
    /// ms since the trace began; frames stand in this order.
    public var arrival: Double
    /// ms, `nil` without a limit.
    public var budget: Double?
    public var source: Int
    /// Of a camera, where a newer frame supersedes an older one.
    public var isLive: Bool
    public var question: QuestionType
    /// Realized over idle time of decoding, preprocessing and encoding; of the prefill; of generating.
    public var seeing: Double
    public var prefill: Double
    public var generate: Double
    /// What other programs take of the frame's cores, beside the factors; `nil` is nothing.
    public var stalls: Stalls?
    /// Tokens that the model says when nothing ends it.
    public var tokens: Int
    /// Whether the device, the load or the budgets change with this frame.
    public var isStep: Bool
    /// What the system showed when the frame arrived.
    public var signals: DeviceSignals?
    /// Other programs that wanted a core when the frame was taken from the queue, where the system showed it.
    public var competitors: Int?

    public init(
        arrival: Double, budget: Double?, source: Int = 0, isLive: Bool = false, question: QuestionType = .general,
        seeing: Double = 1, prefill: Double = 1, generate: Double = 1, stalls: Stalls? = nil, tokens: Int = 24,
        isStep: Bool = false, signals: DeviceSignals? = nil, competitors: Int? = nil
    ) {
        self.arrival = arrival
        self.budget = budget
        self.source = source
        self.isLive = isLive
        self.question = question
        self.seeing = seeing
        self.prefill = prefill
        self.generate = generate
        self.stalls = stalls
        self.tokens = tokens
        self.isStep = isStep
        self.signals = signals
        self.competitors = competitors
    }

    private enum CodingKeys: String, CodingKey {
        case arrival = "arrival_ms"
        case budget = "budget_ms"
        case source
        case isLive = "live"
        case question
        case seeing = "vision_slowdown"
        case prefill = "prefill_slowdown"
        case generate = "generate_slowdown"
        case stalls
        case tokens
        case isStep = "step"
        case signals
        case competitors
    }

    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            arrival: try values.decode(Double.self, forKey: .arrival),
            budget: try values.decodeIfPresent(Double.self, forKey: .budget),
            source: try values.decodeIfPresent(Int.self, forKey: .source) ?? 0,
            isLive: try values.decodeIfPresent(Bool.self, forKey: .isLive) ?? false,
            question: try values.decodeIfPresent(QuestionType.self, forKey: .question) ?? .general,
            seeing: try values.decodeIfPresent(Double.self, forKey: .seeing) ?? 1,
            prefill: try values.decodeIfPresent(Double.self, forKey: .prefill) ?? 1,
            generate: try values.decodeIfPresent(Double.self, forKey: .generate) ?? 1,
            stalls: try values.decodeIfPresent(Stalls.self, forKey: .stalls),
            tokens: try values.decodeIfPresent(Int.self, forKey: .tokens) ?? 24,
            isStep: try values.decodeIfPresent(Bool.self, forKey: .isStep) ?? false,
            signals: try values.decodeIfPresent(DeviceSignals.self, forKey: .signals),
            competitors: try values.decodeIfPresent(Int.self, forKey: .competitors))
    }
}

/// Frames in order of arrival, recorded or generated.
public struct Trace: Sendable, Equatable {
    public var name: String
    public private(set) var frames: [TraceFrame]

    /// The most frames of a trace.
    public static let mostFrames = 10_000_000

    /// - Throws: ``LatencyBudgetError/Code/traceInvalid`` for a time before the one of the frame above or a value that
    ///   no run can have.
    public init(name: String, frames: [TraceFrame]) throws(LatencyBudgetError) {
        func refuse(_ index: Int, _ field: String, _ got: String, _ expected: String) -> LatencyBudgetError {
            LatencyBudgetError(
                .traceInvalid,
                "Cannot replay trace '\(name)': \(field) of frame \(index + 1) is \(got), expected \(expected).")
        }
        guard frames.count <= Self.mostFrames else {
            throw LatencyBudgetError(
                .traceInvalid,
                "Cannot replay trace '\(name)': it has \(frames.count) frames, expected at most \(Self.mostFrames).")
        }
        var last = 0.0
        for (index, frame) in frames.enumerated() {
            guard frame.arrival >= last, frame.arrival <= 1e12 else {
                throw refuse(index, "arrival_ms", "\(frame.arrival)", "\(last) to 1e12")
            }
            if let budget = frame.budget, !(budget >= 0) {
                throw refuse(index, "budget_ms", "\(budget)", "0 or more")
            }
            for (field, factor) in [
                ("vision_slowdown", frame.seeing), ("prefill_slowdown", frame.prefill),
                ("generate_slowdown", frame.generate),
            ] where !(factor >= 0.001 && factor <= 1000) {
                throw refuse(index, field, "\(factor)", "0.001 to 1000")
            }
            if let stalls = frame.stalls {
                for (field, time, range) in [
                    ("first_ms", stalls.first, 0...1e9), ("every_ms", stalls.every, 0.001...1e9),
                    ("ms", stalls.duration, 0...1e6),
                ] where !range.contains(time) {
                    throw refuse(
                        index, "\(field) of stalls", "\(time)", "\(range.lowerBound) to \(range.upperBound)")
                }
            }
            guard (1...100_000).contains(frame.tokens) else {
                throw refuse(index, "tokens", "\(frame.tokens)", "1 to 100000")
            }
            last = frame.arrival
        }
        self.name = name
        self.frames = frames
    }

    /// Frames made from what a run measured: its phases over the model's, for `trace` files.
    ///
    /// - Parameter idle: The model's phases for the rung, the source and the number of tokens that were run.
    public static func frame(
        arrival: Double, budget: Double?, source: Int, isLive: Bool, question: QuestionType, measured: PhaseTimes,
        idle: PhaseTimes, tokens: Int, signals: DeviceSignals?
    ) -> TraceFrame {
        func factor(_ measured: Double, _ idle: Double) -> Double {
            measured > 0 && idle > 0 ? (measured / idle).bounded(to: 0.001...1000) : 1
        }
        return TraceFrame(
            arrival: arrival, budget: budget, source: source, isLive: isLive, question: question,
            seeing: factor(measured.seeing, idle.seeing), prefill: factor(measured.prefill, idle.prefill),
            generate: factor(measured.generate, idle.generate), tokens: tokens.bounded(to: 1...100_000),
            signals: signals)
    }
}
