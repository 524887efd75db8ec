/// How often predictions are exceeded by how much, learned from what happened: the empirical tail of the residuals.
///
/// No curve has the shape that is found: most frames are within a few hundredths of what is expected, and one in twenty is the
/// first of a slow spell. Shares fade, so that a frame counts half after 100 more.
///
/// A value of fixed size; every operation is a few dozen arithmetic operations.
package struct ResidualTail: Sendable, Equatable {
    /// Residuals, in standard deviations of the prediction, and the share of frames that were above each.
    private static let distances = SIMD16<Double>(-2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 18, 27, 40)
    private var shares: SIMD16<Double>

    private static let gain = 0.007

    /// Before anything is known half of the frames are above what is expected, and exponentially fewer above more.
    ///
    /// - Parameters:
    ///   - share: The share of frames above `margin`, 0...0.5.
    ///   - margin: In standard deviations, above 0.
    package init(share: Double, above margin: Double) {
        let rate = logarithm(2 * share) / margin
        shares = .zero
        for index in 0..<16 {
            let half = 0.5 * exponential(rate * abs(Self.distances[index]))
            shares[index] = Self.distances[index] < 0 ? 1 - half : half
        }
    }

    /// Takes in `(log actual - log predicted) / deviation`; one that is NaN is ignored.
    package mutating func observe(_ residual: Double) {
        guard !residual.isNaN else { return }
        let isAbove = SIMD16<Double>(repeating: residual) .> Self.distances
        let seen = SIMD16<Double>(repeating: 0).replacing(with: 1, where: isAbove)
        shares += Self.gain * (seen - shares)
    }

    /// The share of frames above `distance`, 0...1; straight lines join what is known, and nothing is above twice the most.
    package func share(above distance: Double) -> Double {
        guard distance > Self.distances[0] else { return shares[0] }
        for upper in 1..<16 where distance <= Self.distances[upper] {
            let part =
                (distance - Self.distances[upper - 1]) / (Self.distances[upper] - Self.distances[upper - 1])
            return shares[upper - 1] + part * (shares[upper] - shares[upper - 1])
        }
        return shares[15] * max(0, 2 - distance / Self.distances[15])
    }
}

/// What a frame was planned in.
enum Circumstance: Sendable {
    case usual
    /// The device is slower than it usually is: with the next frame it may be as ever.
    case slow
    /// Other programs want the cores.
    case company
}

/// How often predictions are exceeded in each circumstance; what is learned in one says nothing of the others.
struct ResidualTails: Sendable, Equatable {
    private var usual: ResidualTail
    private var slow: ResidualTail
    private var company: ResidualTail

    /// Before anything is known, one frame in a hundred is more than three deviations above what is expected.
    init() {
        usual = ResidualTail(share: 0.01, above: 3)
        (slow, company) = (usual, usual)
    }

    subscript(circumstance: Circumstance) -> ResidualTail {
        get {
            switch circumstance {
            case .usual: usual
            case .slow: slow
            case .company: company
            }
        }
        set {
            switch circumstance {
            case .usual: usual = newValue
            case .slow: slow = newValue
            case .company: company = newValue
            }
        }
    }
}
