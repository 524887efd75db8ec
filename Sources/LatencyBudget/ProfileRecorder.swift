/// Collects what frames really took until a profile can be made of it, for a device that was never measured.
///
/// Means are taken in the logarithm, so that one stalled frame counts little. Storage is fixed at the start.
public struct ProfileRecorder: Sendable {
    private struct Sums: Sendable {
        var samples = 0
        var decode = 0.0
        var preprocess = 0.0
        var vision = 0.0
        var prefill = 0.0
        var sourcePixels = 0.0
        var textTokens = 0.0
    }

    private let ladder: Ladder
    private var rungs: [Sums]
    /// Steps of a token after few, some, many tokens.
    private var tokens = [(samples: Int, milliseconds: Double, context: Double)](repeating: (0, 0, 0), count: 8)

    public init(ladder: Ladder) {
        self.ladder = ladder
        rungs = [Sums](repeating: Sums(), count: ladder.count)
    }

    /// Takes in a whole frame; one with a phase that is not a positive, finite time is left out.
    public mutating func record(
        _ measured: PhaseTimes, at rung: Rung, sourcePixels: Double, textTokens: Int, tokens generated: Int
    ) {
        let phases = [measured.decode, measured.preprocess, measured.vision, measured.prefill]
        guard let index = ladder.index(of: rung), phases.allSatisfy({ $0 > 0 && $0 < 3_600_000 }),
            sourcePixels >= 1, sourcePixels < 1e10, (0...1_000_000).contains(textTokens)
        else { return }
        rungs[index].samples += 1
        rungs[index].decode += logarithm(measured.decode)
        rungs[index].preprocess += logarithm(measured.preprocess)
        rungs[index].vision += logarithm(measured.vision)
        rungs[index].prefill += logarithm(measured.prefill)
        rungs[index].sourcePixels += sourcePixels
        rungs[index].textTokens += Double(textTokens)

        guard (3...100_000).contains(generated), measured.generate > 0, measured.generate < 3_600_000 else { return }
        let context = Double(rung.visualTokens + textTokens) + Double(generated) / 2
        let place = Int(context / 128).bounded(to: 0...7)
        tokens[place].samples += 1
        tokens[place].milliseconds += logarithm(measured.generate / Double(generated - 1))
        tokens[place].context += context
    }

    /// Frames that were recorded at the rung that has the fewest of those that have any.
    public var leastSamples: Int { rungs.map(\.samples).filter { $0 > 0 }.min() ?? 0 }

    /// What was measured so far, `nil` before a first whole frame with an answer.
    ///
    /// Rungs that never ran are interpolated by the cost model; ``DeviceProfile/staleness(for:ladder:)`` names them.
    public func profile(identity: DeviceProfile.Identity) -> DeviceProfile? {
        let points = zip(ladder.steps, rungs).compactMap { step, sums -> DeviceProfile.Point? in
            guard sums.samples > 0 else { return nil }
            let count = Double(sums.samples)
            return DeviceProfile.Point(
                rung: step.rung, sourcePixels: sums.sourcePixels / count, textTokens: Int(sums.textTokens / count),
                decode: exponential(sums.decode / count), preprocess: exponential(sums.preprocess / count),
                vision: exponential(sums.vision / count), prefill: exponential(sums.prefill / count),
                samples: sums.samples)
        }
        let steps = tokens.filter { $0.samples > 0 }.map {
            DeviceProfile.TokenPoint(
                context: Int($0.context / Double($0.samples)),
                milliseconds: exponential($0.milliseconds / Double($0.samples)))
        }
        guard !points.isEmpty, !steps.isEmpty else { return nil }
        return DeviceProfile(identity: identity, points: points, tokenPoints: steps)
    }
}
