internal import Glibc

/// Chooses the next token from logits.
struct Sampler {
    private let options: GenerationOptions
    private let unknown: [Int]
    private var random: SplitMix64

    /// - Parameter unknown: Rows of the output head that no token belongs to (checkpoints pad the vocabulary
    ///   with random rows): never chosen.
    init(_ options: GenerationOptions, unknown: [Int]) {
        self.options = options
        self.unknown = unknown
        self.random = SplitMix64(state: options.seed)
    }

    /// The next token for `logits` `[vocabulary]`, of which those that no token belongs to are overwritten.
    mutating func next(_ logits: inout [Float]) -> Int {
        for id in unknown { logits[id] = -.infinity }
        let best = Self.largest(logits)
        guard options.temperature > 0 else { return best }
        return draw(logits, largest: logits[best])
    }

    /// The first index of the largest value. NaN is never the largest.
    static func largest(_ logits: [Float]) -> Int {
        var best = 0
        var value = -Float.infinity
        for (index, logit) in logits.enumerated() where logit > value {
            best = index
            value = logit
        }
        return best
    }

    private mutating func draw(_ logits: [Float], largest: Float) -> Int {
        var weights = logits.map { exp(Double($0 - largest) / options.temperature) }
        var total = weights.reduce(0, +)
        if options.topP < 1 {
            // All tokens below this weight together hold less than 1 - topP of the probability, so none of
            // them can be needed: only the rest is sorted.
            let least = max(0, 1 - options.topP) * total / Double(weights.count)
            let candidates = weights.indices.filter { weights[$0] >= least }.sorted { weights[$0] > weights[$1] }
            var kept = Set<Int>()
            var mass = 0.0
            for candidate in candidates {
                kept.insert(candidate)
                mass += weights[candidate]
                if mass >= options.topP * total { break }
            }
            for index in weights.indices where !kept.contains(index) { weights[index] = 0 }
            total = mass
        }
        var left = random.unit() * total
        for (index, weight) in weights.enumerated() where weight > 0 {
            left -= weight
            if left < 0 { return index }
        }
        return Self.largest(logits)
    }
}

/// The SplitMix64 generator (Steele, Lea and Flood, OOPSLA 2014): small, seedable, the same everywhere.
struct SplitMix64 {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    /// A number in 0 ..< 1.
    mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}
