/// The margin that keeps a set share of predictions safe, learned from what happened.
///
/// Residuals come in standard deviations of the prediction. After each, the margin goes up by a step where the residual
/// was above it, and down by the step's share of allowed misses where it was not, so that over any long run the share
/// above the margin is the target whatever the distribution (adaptive conformal inference: Gibbs and Candès,
/// arXiv 2106.00170; Robbins and Monro's stochastic approximation of a quantile).
public struct ResidualQuantile: Sendable, Equatable {
    /// The share of residuals that may lie above ``margin``, 0.001...0.5.
    public let target: Double
    /// In standard deviations.
    public private(set) var margin: Double
    /// Residuals that were observed, and those above the margin at their time.
    public private(set) var observations = 0
    public private(set) var exceedances = 0

    /// Not down to nothing: while there is time to spare no frame is late, and the first change would find no room at all.
    static let margins = 1...12.0

    /// - Parameter target: Brought into 0.001...0.5; 0.01 where it is not a number.
    public init(target: Double) {
        let target = target.isNaN ? 0.01 : target.bounded(to: 0.001...0.5)
        self.target = target
        // Wide before anything is known: about 3 for 1 %, 2 for 5 %, where a bell curve has 2.3 and 1.6.
        margin = (-0.66 * logarithm(target)).bounded(to: 1...4.5)
    }

    /// Takes in `(log actual - log predicted) / deviation`; one that is NaN is ignored.
    public mutating func observe(_ residual: Double) {
        guard !residual.isNaN else { return }
        observe(exceeded: residual > margin)
    }

    /// Takes in whether the margin was too small.
    public mutating func observe(exceeded: Bool) {
        // Long steps first, then short ones that still follow a change.
        let step = max(0.25, 1 / (1 + 0.02 * Double(observations)))
        if exceeded {
            margin += step * (1 - target)
            exceedances = min(exceedances + 1, 1_000_000_000)
        } else {
            margin -= step * target
        }
        margin = margin.bounded(to: Self.margins)
        observations = min(observations + 1, 1_000_000_000)
    }
}
