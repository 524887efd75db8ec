/// What a question needs of a picture: reading needs pixels, a yes or no needs few.
public enum QuestionType: String, Sendable, Codable, CaseIterable {
    case general
    /// Reading what is written.
    case text
    case counting
    /// Whether something is there, or is on.
    case presence
}

/// What an answer at a rung is worth: measured accuracy in any unit, the same one on the whole ladder.
public struct Utility: Sendable, Equatable, Codable {
    public var general: Double
    /// For the other types of question; `nil` is as good as `general`.
    public var text: Double?
    public var counting: Double?
    public var presence: Double?

    public init(general: Double, text: Double? = nil, counting: Double? = nil, presence: Double? = nil) {
        self.general = general
        self.text = text
        self.counting = counting
        self.presence = presence
    }

    public subscript(_ type: QuestionType) -> Double {
        switch type {
        case .general: general
        case .text: text ?? general
        case .counting: counting ?? general
        case .presence: presence ?? general
        }
    }
}

/// The rungs that a model may be run at, each with what an answer there is worth.
public struct Ladder: Sendable, Equatable, Codable {
    public struct Step: Sendable, Equatable, Codable {
        public var rung: Rung
        public var utility: Utility

        public init(_ rung: Rung, utility: Utility) {
            self.rung = rung
            self.utility = utility
        }
    }

    /// Ascending by visual tokens, then by pixels.
    public let steps: [Step]

    /// The most rungs of a ladder.
    public static let mostSteps = 64

    /// No rungs is a ladder too: every plan on it says ``PlanDecision/expired(_:)``.
    ///
    /// - Throws: ``LatencyBudgetError/Code/ladderInvalid`` for an impossible size, a rung that stands twice, or a
    ///   utility that is negative or not finite.
    public init(_ steps: [Step]) throws(LatencyBudgetError) {
        guard steps.count <= Self.mostSteps else {
            throw LatencyBudgetError(
                .ladderInvalid, "Cannot use a ladder of \(steps.count) rungs: expected at most \(Self.mostSteps).")
        }
        for step in steps {
            try step.rung.validate()
            for type in QuestionType.allCases {
                let utility = step.utility[type]
                guard utility.isFinite, utility >= 0, utility <= 1e9 else {
                    throw LatencyBudgetError(
                        .ladderInvalid,
                        "Cannot use rung \(step.rung): its utility for '\(type.rawValue)' is \(utility), expected 0 "
                            + "to 1e9.")
                }
            }
        }
        let sorted = steps.sorted { Self.size($0.rung) < Self.size($1.rung) }
        for (step, next) in zip(sorted, sorted.dropFirst()) where step.rung == next.rung {
            throw LatencyBudgetError(
                .ladderInvalid, "Cannot use the ladder: rung \(step.rung) stands twice, expected once.")
        }
        self.steps = sorted
    }

    private static func size(_ rung: Rung) -> (Int, Int, Int, Int) {
        (rung.visualTokens, rung.width * rung.height, rung.width, rung.columns)
    }

    private enum CodingKeys: String, CodingKey {
        case steps
    }

    public init(from decoder: any Decoder) throws {
        try self.init(decoder.container(keyedBy: CodingKeys.self).decode([Step].self, forKey: .steps))
    }

    /// Square rungs for a model that states sizes but no accuracy.
    ///
    /// General utility follows the paper's average accuracy of the 0.5B model: 48.4, 52.5, 54.5, 55.9 at 256, 512,
    /// 768, 1024 pixels. Text utility runs between the two published DocVQA values of the 7B recipe, 17.4 at 256 and
    /// 35.6 at 1024, evenly in the logarithm of the side (arXiv 2412.13303). Both go on beyond the ends at the rate of
    /// the nearest stretch.
    public static func published(resolutions: [Int]) throws(LatencyBudgetError) -> Ladder {
        try Ladder(
            resolutions.map { resolution in
                let side = Double(resolution.bounded(to: Rung.sides))
                return Step(
                    Rung(pixels: resolution),
                    utility: Utility(
                        general: max(1, between(side, [(256, 48.4), (512, 52.5), (768, 54.5), (1024, 55.9)])),
                        text: max(1, between(side, [(256, 17.4), (1024, 35.6)]))))
            })
    }

    /// Interpolates in the logarithm of `x`.
    private static func between(_ x: Double, _ points: [(x: Double, y: Double)]) -> Double {
        var (low, high) = (points[0], points[1])
        for (left, right) in zip(points, points.dropFirst()) where x >= left.x { (low, high) = (left, right) }
        return low.y + (high.y - low.y) * logarithm(x / low.x) / logarithm(high.x / low.x)
    }

    /// Where `rung` stands.
    public func index(of rung: Rung) -> Int? { steps.firstIndex { $0.rung == rung } }

    public var count: Int { steps.count }
}
