/// How much slower than its profile a phase runs at present, in the logarithm: a scalar Kalman filter whose process
/// noise grows when its predictions are wrong in one direction.
///
/// A value of fixed size; every operation is a few dozen arithmetic operations.
public struct SlowdownFilter: Sendable, Equatable {
    /// The logarithm of the slowdown, and its variance.
    public private(set) var level: Double
    public private(set) var variance: Double
    /// Variance of one frame around the level, learned.
    public private(set) var noise: Double
    /// Frames that were observed.
    public private(set) var observations = 0

    /// What the level usually is: its mean, which follows it slowly.
    private var usual = 0.0
    /// What ``noise`` was after the last frame without company.
    private var calmNoise: Double
    /// The mean of the last predictions' errors in standard deviations: far from 0 while the device changes.
    private var drift = 0.0
    /// The levels after the last observations, a ring; the ones beyond `proof` stay at minus infinity.
    private var recent = SIMD8<Double>(repeating: -.infinity)
    private var position = 0
    private let proof: Int
    /// Whether the last frame was surprisingly fast: then the doubt is whether to hope, and no reason for a margin.
    private var wasFast = false
    /// Whether the last frame was surprisingly slow: an accident, or the first one of a device that has changed.
    private(set) var wasSlow = false

    /// The largest slowdown that is believed, either way: e^5, about 150.
    static let bound = 5.0
    /// One frame in twenty is noise of this relative size until more is known.
    private static let startingNoise = 0.06 * 0.06
    private static let leastNoise = 0.015 * 0.015
    private static let mostNoise = 0.3 * 0.3
    /// What a level moves by itself from frame to frame.
    private static let wander = 0.008 * 0.008
    /// A level that much above the usual one is a slow spell.
    private static let elevation = 0.12
    private static let usualGain = 0.02

    /// - Parameters:
    ///   - isKnown: Whether a profile says how fast the device is; without one the first frame decides.
    ///   - proof: Frames that have to be fast before ``held`` goes down, 1...8.
    public init(isKnown: Bool, proof: Int) {
        level = 0
        variance = isKnown ? 0.05 * 0.05 : 4
        noise = Self.startingNoise
        calmNoise = noise
        self.proof = proof.bounded(to: 1...8)
        recent[0] = isKnown ? 0 : -.infinity
    }

    /// The level to plan with: it follows the slowdown up at once, and down when the last `proof` frames were all
    /// fast. What is less than a deviation is no slowdown that has to be over.
    public var held: Double {
        let highest = recent.max()
        return highest > -.infinity && highest - level > deviation ? highest : level
    }

    /// Whether the device is planned for as slower than it usually is: such spells are often over with the next frame.
    public var isElevated: Bool { held > usual + Self.elevation }

    /// Standard deviation of the next frame's logarithm around the level.
    public var deviation: Double {
        // Doubt beyond a tenth is for following fast, not for planning: the next frame settles it.
        (noise + (wasFast ? 0 : min(variance, 0.1 * 0.1))).squareRoot()
    }

    /// How many times slower than the profile.
    public var factor: Double { exponential(level) }

    /// Takes in one frame.
    ///
    /// - Parameters:
    ///   - ratio: Measured over profile; anything that is not a positive, finite number is ignored.
    ///   - isInCompany: Whether other programs disturbed the frame. How much frames vary beside them says nothing of a
    ///     device that is by itself, see ``relieve(_:)``.
    ///   - uncertainty: Variance that the ratio has besides the frames' own. The default is 0.
    public mutating func observe(_ ratio: Double, isInCompany: Bool = false, uncertainty: Double = 0) {
        guard ratio > 0, ratio < .infinity else { return }
        let value = logarithm(ratio).bounded(to: -Self.bound...Self.bound)
        guard observations > 0 || variance < 1 else {
            // Nothing was known: the first frame is the best estimate.
            (level, variance) = (value, noise + uncertainty)
            finish()
            return
        }
        let predicted = variance + Self.wander * (1 + 40 * max(0, drift * drift - 0.16))
        let spread = (predicted + noise + uncertainty).squareRoot()
        let surprise = value - level
        let score = surprise / spread
        let gain = predicted / (predicted + noise + uncertainty)
        // How much frames vary is learned from ratios that tell it.
        let tellsNoise = uncertainty <= noise
        wasFast = score < -3
        wasSlow = score > 3
        if abs(score) <= 3 {
            level += gain * surprise
            variance = (1 - gain) * predicted
            drift += 0.25 * (score - drift)
            // A jump of the level that was expected to come is no noise: one frame counts for 4 at most, as below.
            if tellsNoise {
                noise += 0.03 * ((surprise * surprise - predicted - uncertainty).bounded(to: 0...4 * noise) - noise)
            }
        } else {
            // One frame may be an accident. The level hardly moves, but the doubt lets the next frame decide.
            level += gain * 3 * spread * (score > 0 ? 1 : -1)
            variance = predicted + surprise * surprise
            drift += 0.25 * ((score > 0 ? 3 : -3) - drift)
            if tellsNoise { noise += 0.03 * (4 * noise - noise) }
        }
        noise = noise.bounded(to: Self.leastNoise...Self.mostNoise)
        if !isInCompany { calmNoise = noise }
        finish()
    }

    /// Says that other programs have gone: frames vary again as they did without them, and the next ones say how fast the
    /// device is now.
    ///
    /// - Parameter step: The size of the change that is suspected, in the logarithm.
    public mutating func relieve(_ step: Double) {
        noise = min(noise, calmNoise)
        doubt(step)
    }

    /// Says that the device may just have changed: the next frames count for more.
    ///
    /// - Parameter step: The size of the change that is suspected, in the logarithm.
    public mutating func doubt(_ step: Double) {
        guard step.isFinite else { return }
        variance = min(variance + step * step, 4)
    }

    private mutating func finish() {
        level = level.bounded(to: -Self.bound...Self.bound)
        variance = variance.bounded(to: 0...4)
        // Without a profile the first frame decides.
        usual += (observations == 0 && recent.max() == -.infinity ? 1 : Self.usualGain) * (level - usual)
        recent[position] = level
        position = (position + 1) % proof
        observations = min(observations + 1, 1_000_000)
    }
}
