/// The deadlines of the frames that wait behind the one that is planned, earliest first.
///
/// A value of fixed size: more than eight do not change a decision.
public struct WaitingDeadlines: Sendable, Equatable {
    /// ms on the planner's clock; the rest is infinite.
    private var deadlines = SIMD8<Double>(repeating: .infinity)

    /// Nobody waits.
    public init() {}

    /// Adds a frame's deadline.
    public mutating func add(_ deadline: Double) {
        guard deadline < deadlines[7] else { return }
        var place = 7
        while place > 0, deadline < deadlines[place - 1] {
            deadlines[place] = deadlines[place - 1]
            place -= 1
        }
        deadlines[place] = deadline
    }

    /// Whether nobody waits.
    public var isEmpty: Bool { deadlines[0] == .infinity }

    /// How many of the frames can no longer be answered, each taking `each`, when the first of them starts at `end`.
    func lost(end: Double, each: Double) -> Double {
        var lost = 0.0
        var last = end
        for place in 0..<8 where deadlines[place] < .infinity {
            if last + each <= deadlines[place] { last += each } else { lost += 1 }
        }
        return lost
    }
}

/// What usually comes while a frame is answered: how many frames that could not wait until a given moment.
///
/// For each frame that was planned, the frames that come after it are sorted by how long after the plan their deadlines
/// are, in buckets of fixed number. Plans are told apart by whether the frame had waited and whether others wait, as
/// frames that come in heaps follow a frame that found nobody before it. Old plans fade: a plan counts half after 70
/// more of its kind. Nothing is allocated after the start.
struct ArrivalForecast: Sendable {
    private static let buckets = 32
    /// Upper end of the first bucket, ms; each further one ends half as far again.
    private static let first = 1.0
    private static let growth = 1.5
    private static let fading = 0.99
    private static let kinds = 4

    /// Frames by kind of plan and bucket, and plans by kind, both fading.
    private var frames = [Double](repeating: 0, count: kinds * buckets)
    private var plans = SIMD4<Double>(repeating: 0)
    /// The last plans, a ring: when, and of which kind.
    private var starts = SIMD16<Double>(repeating: -.infinity)
    private var startKinds = SIMD16<UInt8>(repeating: 0)
    private var position = 0
    /// The cheapest answer's time at the last plan: a frame that may take less is lost whatever others do.
    private var each = 0.0

    private static func kind(waited: Bool, othersWait: Bool) -> Int { (waited ? 1 : 0) + (othersWait ? 2 : 0) }

    /// Says that a frame is planned at `now`.
    mutating func planned(at now: Double, waited: Bool, othersWait: Bool, each: Double) {
        let kind = Self.kind(waited: waited, othersWait: othersWait)
        for bucket in kind * Self.buckets..<(kind + 1) * Self.buckets { frames[bucket] *= Self.fading }
        plans[kind] = plans[kind] * Self.fading + 1
        starts[position] = now
        startKinds[position] = UInt8(kind)
        position = (position + 1) % 16
        self.each = each
    }

    /// Says that a frame came at `now` and may take `budget`.
    mutating func arrived(at now: Double, budget: Double) {
        guard now.isFinite, budget > each, budget < .infinity else { return }
        for place in 0..<16 {
            let wait = now - starts[place]
            guard wait > 0 else { continue }
            guard let bucket = Self.bucket(wait + budget) else { continue }
            frames[Int(startKinds[place]) * Self.buckets + bucket] += 1
        }
    }

    private static func bucket(_ time: Double) -> Int? {
        var end = first
        for bucket in 0..<buckets {
            if time <= end { return bucket }
            end *= growth
        }
        return nil
    }

    /// Expected number of frames that come after a plan and whose deadline is over when the cheapest answer, `each`,
    /// follows one that takes `time`.
    func lost(taking time: Double, waited: Bool, othersWait: Bool, each: Double) -> Double {
        let kind = Self.kind(waited: waited, othersWait: othersWait)
        // One plan of a kind says little.
        guard plans[kind] > 4 else { return 0 }
        var lost = 0.0
        var start = 0.0
        var end = Self.first
        for bucket in 0..<Self.buckets {
            let share = ((time + each - start) / (end - start)).bounded(to: 0...1)
            guard share > 0 else { break }
            lost += share * frames[kind * Self.buckets + bucket]
            (start, end) = (end, end * Self.growth)
        }
        return lost / plans[kind]
    }
}
