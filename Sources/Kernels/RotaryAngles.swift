internal import Glibc

/// The cosines and sines of rotary position embedding, for positions from 0 on.
public struct RotaryAngles: Sendable {
    /// Positions that are covered.
    public let positions: Int
    public let headDim: Int
    let cosines: [Float]
    let sines: [Float]

    /// Angle `i` of position `p` is `p * theta^(-2i / headDim)` (Su et al., RoFormer, section 3.4.2).
    public init(positions: Int, headDim: Int, theta: Double) {
        let half = headDim / 2
        // In float32, as the model was trained: at large positions the rounding of the angle is part of it.
        let frequencies = (0..<half).map { Float(1 / pow(theta, Double(2 * $0) / Double(headDim))) }
        var cosines: [Float] = []
        var sines: [Float] = []
        cosines.reserveCapacity(positions * half)
        sines.reserveCapacity(positions * half)
        for position in 0..<positions {
            for frequency in frequencies {
                let angle = Float(position) * frequency
                cosines.append(cosf(angle))
                sines.append(sinf(angle))
            }
        }
        self.positions = positions
        self.headDim = headDim
        self.cosines = cosines
        self.sines = sines
    }
}
