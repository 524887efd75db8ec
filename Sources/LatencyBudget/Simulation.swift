/// Replays a trace against phase costs: what would have happened under a policy.
///
/// One frame is answered at a time; waiting frames are ordered by ``FrameOrder``. A frame's realized time at any rung is
/// the model's time at that rung times the frame's own factors, so that every policy meets the same device. All
/// policies end their answers with ``TokenGovernor`` and give up a frame once its deadline has passed; they differ in
/// the rung they choose.
public struct Simulation: Sendable {
    /// Who chooses the rung.
    public enum Policy: Sendable, Equatable {
        /// ``Planner``, with what the profile says.
        case adaptive
        /// Always the same place on the ladder, started while the deadline has not passed.
        case fixed(Int)
        /// The planner's first choice from the profile alone, with its first margin: nothing is learned.
        case table
        /// Knows the realized times: the highest utility that will be in time, or nothing.
        case oracle
    }

    public let ladder: Ladder
    /// What an idle device really takes.
    public let truth: CostModel
    /// What the policies believe: `nil` is no profile.
    public let profile: CostModel?
    public let configuration: PlannerConfiguration
    public var minimumTokens = 8
    public var textTokens = 32

    /// - Parameter profile: The truth itself is a perfect calibration; `nil` is none.
    public init(
        ladder: Ladder, truth: CostModel, profile: CostModel?, configuration: PlannerConfiguration = .init()
    ) {
        self.ladder = ladder
        self.truth = truth
        self.profile = profile
        self.configuration = configuration
    }

    /// Replays `trace`.
    ///
    /// - Parameter keepsFrames: Whether the result lists every frame. The default is not to.
    public func run(_ trace: Trace, _ policy: Policy, keepsFrames: Bool = false) -> SimulationResult {
        var run = Run(simulation: self, trace: trace, policy: policy, keepsFrames: keepsFrames)
        return run.finish()
    }

    /// Idle time of the shortest useful answer at a place of the ladder, ms.
    public func idleTime(at index: Int) -> Double {
        guard ladder.steps.indices.contains(index) else { return 0 }
        return truth.phases(
            ladder.steps[index].rung, sourcePixels: CostModel.usualSourcePixels, textTokens: textTokens,
            tokens: minimumTokens
        ).total
    }
}
