/// What a miss costs besides the answer that it loses, in answers: as much as keeps the share of misses at the target.
///
/// Whoever only weighs what an answer gains against the chance that it is late may be late more often than was promised. A
/// price on each miss, which goes up when one happens and down by the target's share of that when none does, spends the
/// misses that are allowed where they gain most (dual ascent on the constraint: Boyd et al., Distributed Optimization and
/// Statistical Learning via ADMM, section 2.1).
package struct MissPrice: Sendable, Equatable {
    /// The share of frames that may be late.
    package let target: Double
    /// In answers; nothing where misses are rare.
    package var value: Double { learned + caution }

    private var learned = 0.0
    /// Before much is known little is dared: what risks much more than the target has to gain a lot.
    private var caution: Double

    /// What one miss adds: enough for a few misses in a row to count, little enough for a single one not to.
    private static let step = 0.15
    /// Above this even a risk of a twentieth is not taken.
    private static let most = 20.0
    /// What is left of the caution after one more frame: half after 17.
    private static let fading = 0.96
    /// The caution before the first frame, times the target: 3 answers at the usual hundredth.
    private static let firstCaution = 0.03

    /// - Parameter target: Brought into 0.001...0.5.
    package init(target: Double) {
        self.target = target.isNaN ? 0.01 : target.bounded(to: 0.001...0.5)
        caution = Self.firstCaution / self.target
    }

    /// Learns from one frame that was begun although it might have been late.
    package mutating func observe(isMiss: Bool) {
        learned = (learned + Self.step * ((isMiss ? 1 : 0) - target)).bounded(to: 0...Self.most)
        caution *= Self.fading
    }
}
