/// Whether other programs take the frame's cores for slices of time, and what a slice costs.
///
/// A scheduler that shares cores gives them away for some milliseconds at a time. Frames that last for many slices are
/// slower by it, each about as much as the others, which is what ``SlowdownFilter`` follows. A frame that is shorter than a
/// slice is either spared or late by the whole of it, however fast the device is otherwise: no factor describes that, and a
/// margin learned from it says nothing of a device that is by itself again. So such stalls are counted here and kept from
/// the filters, and margins are learned separately with and without them (Mondrian conformal prediction: Vovk,
/// Gammerman and Shafer, Algorithmic Learning in a Random World, chapter 4).
///
/// A value of fixed size; every operation is a few dozen arithmetic operations.
struct Contention: Sendable, Equatable {
    /// Whether stalls have to be reckoned with.
    private(set) var isOn = false
    /// Whether the last frame was stalled.
    private(set) var wasStalled = false

    /// How much longer than expected the last stalled frames took: ms, and as a part of what was expected; rings.
    private var lost = SIMD4<Double>(repeating: 0)
    private var parts = SIMD4<Double>(repeating: 0)
    private var position = 0
    /// Frames since the last stall.
    private var spared = 1_000_000
    /// How many other programs wanted a core at the last four looks, the latest last.
    private var seen = SIMD4<Int32>(repeating: 0)
    /// Whether the last stall was not the first.
    private var wasRepeated = false
    /// Whether another program was seen beside the last stall.
    private var wasSeen = false

    /// Two stalls that are at most that many frames apart are no accidents.
    private static let memory = 16
    /// Frames in a row without a stall after which there are none to be reckoned with; where the programs are seen, whose
    /// leaving would be seen too, and there was more than one stall, it takes more.
    private static let proof = 7
    private static let proofInCompany = 28
    /// What takes longer is no slice of time, ms: Linux gives a core away for 3 to 10 ms, and seldom twice in a row.
    private static let longest = 25.0
    /// The least part of a frame's expected time that is a stall.
    private static let least = 0.3

    /// Takes in how many other programs want a core at this moment.
    ///
    /// That some do is no stall yet, as they may be of low priority; but with them one stall is enough to reckon with more,
    /// and once there are fewer the device may be another. Where nobody was seen beside a stall, as where a limit on the
    /// processor's time makes it, nobody's absence says that it is over.
    ///
    /// - Returns: Whether some have just gone.
    mutating func look(_ competitors: Int) -> Bool {
        seen = SIMD4(seen[1], seen[2], seen[3], Int32(competitors.bounded(to: 0...1_000_000)))
        // Twice, as a program that works for a moment is no change.
        let areFewer = min(seen[0], seen[1]) > max(seen[2], seen[3])
        if areFewer, wasSeen { (isOn, spared) = (false, 1_000_000) }
        return areFewer
    }

    /// Whether other programs are seen.
    var isSeen: Bool { max(seen[2], seen[3]) > 0 }

    /// Whether margins are those that were learned beside other programs.
    var isInCompany: Bool { isOn || isSeen }

    /// Takes in how much longer than `expected` a frame took, in ms, where the prediction's logarithm has `deviation`.
    ///
    /// - Returns: Whether this is a stall that says nothing of the device's speed.
    mutating func observe(excess: Double, expected: Double, deviation: Double) -> Bool {
        guard excess.isFinite, expected > 0, expected < .infinity else { return false }
        let part = excess / expected
        guard excess <= Self.longest, part > max(Self.least, exponential(3 * deviation.bounded(to: 0...1)) - 1) else {
            wasStalled = false
            spared = min(spared + 1, 1_000_000)
            if spared >= (wasRepeated && isSeen ? Self.proofInCompany : Self.proof) { isOn = false }
            return false
        }
        // One frame after the other is late: that is a slower device until the filters know of it.
        let isFurther = wasStalled
        wasSeen = seen[3] > 0
        let isRepeated = isOn || spared < Self.memory
        if !isFurther {
            wasRepeated = isRepeated
            if wasSeen || isRepeated { isOn = true }
        }
        wasStalled = true
        spared = 0
        lost[position] = excess
        parts[position] = part
        position = (position + 1) % 4
        return isRepeated && !isFurther
    }

    /// What a stall adds to a frame that is expected to take `time`, ms: nothing where none is to be reckoned with.
    ///
    /// The longest of the last ones, read as a slice of time or as a part of the frame, whichever is less for this frame.
    func allowance(for time: Double) -> Double {
        isOn ? min(lost.max(), time * parts.max()) : 0
    }
}
