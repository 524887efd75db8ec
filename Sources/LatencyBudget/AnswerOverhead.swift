/// What an answer takes besides its steps, ms on an idle device.
///
/// The first step after the prefill finds other data in the caches, and text is handed over at the end. A large model does not
/// notice; where a step takes a tenth of a millisecond, a yes or no takes almost twice as long as its steps. Without this a
/// device that answers such questions seems to be slow, and descriptions are planned as if it were.
struct AnswerOverhead: Sendable, Equatable {
    private(set) var time = 0.0

    /// How far it is known before anything is, in steps.
    private static let uncertainty = 0.5

    /// Takes in what one answer of `steps` took beyond them, ms on an idle device, where a step takes `step`: the fewer they
    /// are, the more it says.
    mutating func observe(_ excess: Double, steps: Double, step: Double) {
        guard excess.isFinite, steps >= 1, step > 0 else { return }
        time += 0.1 / steps * (excess.bounded(to: 0...2 * step) - time)
    }

    /// The variance of an answer's time of generating that comes of not knowing this well, relative to it, for that many steps.
    static func variance(steps: Double) -> Double {
        let deviation = uncertainty / max(1, steps)
        return deviation * deviation
    }
}
