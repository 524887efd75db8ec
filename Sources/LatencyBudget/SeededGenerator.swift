/// Random numbers that are the same for the same seed, on every machine (SplitMix64, Steele et al., OOPSLA 2014).
public struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(seed: UInt64) {
        state = seed
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// Evenly from 0 up to 1.
    mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    mutating func uniform(_ low: Double, _ high: Double) -> Double { low + (high - low) * uniform() }

    /// A bell curve of mean 0 and deviation 1.
    mutating func normal() -> Double {
        (-2 * logarithm(1 - uniform())).squareRoot() * cosine(2 * .pi * uniform())
    }

    /// `e` to a bell curve of deviation `sigma`: a factor whose median is 1.
    mutating func lognormal(_ sigma: Double) -> Double { exponential(sigma * normal()) }

    /// Times between independent events, of mean 1.
    mutating func exponentialWait() -> Double { -logarithm(1 - uniform()) }
}
