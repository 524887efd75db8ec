/// What single rungs take more or less than the model says, as logarithms of factors.
///
/// A frame that is slower than expected may be one of a slow rung, which was measured in a bad moment, or one on a slow
/// device. Two frames that follow each other at different rungs tell which: what slows both is the device's, what only
/// one of them shows is its rung's. One entry a rung, allocated once.
struct RungCorrections: Sendable {
    struct Correction: Sendable {
        /// Of the encoder and of the prefill.
        fileprivate var computing = SIMD2<Double>(repeating: 0)
        /// By the pictures' outlines: resizing depends on the pictures that come, and was measured without a pause.
        fileprivate var preprocess = SIMD4<Double>(repeating: 0)
        fileprivate var resized = SIMD4<Double>(repeating: 0)
        /// Frames that ``RungCorrections/learn(_:_:level:)`` took in.
        fileprivate(set) var observations = 0

        func applied(to idle: PhaseTimes, of outline: EncodedPicture.Outline) -> PhaseTimes {
            var corrected = idle
            corrected.preprocess *= exponential(preprocess[outline.rawValue])
            corrected.vision *= exponential(computing[0])
            corrected.prefill *= exponential(computing[1])
            return corrected
        }
    }

    private var rungs: [Correction]
    private var last: (index: Int, surprise: SIMD2<Double>)?

    /// No rung is expected to take less than half or more than twice of what the model says.
    private static let bound = SIMD2<Double>(repeating: 0.7)
    /// The share of a difference that one pair of frames moves, and the largest difference that one is believed.
    private static let gain = 0.1
    private static let mostOfPair = SIMD2<Double>(repeating: 0.3)

    init(count: Int) {
        rungs = [Correction](repeating: Correction(), count: count)
    }

    /// No correction where there is no such rung.
    subscript(index: Int) -> Correction { rungs.indices.contains(index) ? rungs[index] : Correction() }

    /// Compares a frame that nothing disturbed with the last such one. Each of the two rungs takes half of the difference: a
    /// rung learns from the frame that enters it and from the one that leaves it.
    ///
    /// - Parameter surprise: Logarithms of what encoder and prefill took over what was expected of them on an idle device.
    mutating func compare(_ index: Int, _ surprise: SIMD2<Double>) {
        guard rungs.indices.contains(index) else { return }
        if let last, last.index != index {
            let difference = (surprise - last.surprise).bounded(by: Self.mostOfPair)
            move(index, by: 0.5 * Self.gain * difference)
            move(last.index, by: -0.5 * Self.gain * difference)
        }
        last = (index, surprise)
    }

    /// Moves a rung towards what a frame showed beyond the device's present `level`: without a profile the rungs' shares
    /// are guessed, and the first frames of each decide.
    mutating func learn(_ index: Int, _ surprise: SIMD2<Double>, level: SIMD2<Double>) {
        guard rungs.indices.contains(index) else { return }
        let gain = max(0.01, 0.5 / Double(1 + rungs[index].observations))
        move(index, by: gain * (surprise - level).bounded(by: SIMD2(repeating: 0.5)))
        rungs[index].observations = min(rungs[index].observations + 1, 1_000_000)
    }

    private mutating func move(_ index: Int, by step: SIMD2<Double>) {
        rungs[index].computing = (rungs[index].computing + step).bounded(by: Self.bound)
    }

    /// Moves a rung's share of resizing, for pictures of this outline, towards what the frame took over what was expected:
    /// at once by the first such frames, by a tenth later on, and never far by a single one.
    mutating func resized(_ index: Int, _ outline: EncodedPicture.Outline, _ ratio: Double) {
        guard rungs.indices.contains(index), ratio > 0 else { return }
        let outline = outline.rawValue
        let gain = max(0.1, 0.5 / (1 + rungs[index].resized[outline]))
        let correction = rungs[index].preprocess[outline] + gain * logarithm(ratio).bounded(to: -0.5...0.5)
        rungs[index].preprocess[outline] = correction.bounded(to: -2...2)
        rungs[index].resized[outline] = min(rungs[index].resized[outline] + 1, 1_000_000)
    }
}

extension SIMD2<Double> {
    fileprivate func bounded(by bound: Self) -> Self { clamped(lowerBound: -bound, upperBound: bound) }
}
