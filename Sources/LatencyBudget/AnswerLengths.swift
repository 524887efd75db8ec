/// How many tokens answers usually have, by what was asked: a yes or no has two, a description fifty.
///
/// Holds the kinds that were asked last, eight of those that share the three lowest bits of their numbers. Of fixed size, and
/// allocated once.
struct AnswerLengths: Sendable {
    private struct Length: Sendable {
        var kind = 0
        var usual = 0.0
        var observations = 0
        /// When it was observed last, in answers.
        var time = 0
    }

    /// Tokens of the usual answer, whatever was asked.
    private(set) var overall = 24.0
    private var lengths = [Length](repeating: Length(), count: groups * ways)
    private var time = 0

    private static let groups = 8
    private static let ways = 8

    /// Tokens of the usual answer to requests of a kind; nil before there was one.
    subscript(kind: Int) -> Double? { place(of: kind).map { lengths[$0].usual } }

    /// The fewest tokens of a useful answer: twice the usual ones where that is less than `minimum`, once some answers are
    /// known.
    func fewest(_ kind: Int, atMost minimum: Int) -> Int {
        guard let place = place(of: kind), lengths[place].observations >= 4 else { return minimum }
        return (2 * lengths[place].usual).asCount(atMost: minimum)
    }

    /// Takes in an answer.
    ///
    /// - Parameter isWhole: Whether it was not cut for lack of time: of one that was it is known how long it is at least.
    mutating func observe(_ kind: Int, tokens: Int, isWhole: Bool) {
        guard tokens > 0 else { return }
        let tokens = min(Double(tokens), 1_000_000)
        overall += 0.05 * (tokens - overall)
        let place = place(of: kind) ?? clearedPlace(for: kind)
        time += 1
        lengths[place].time = time
        // One that was cut would have been a quarter longer, or of the usual length if that is more.
        let length = isWhole ? tokens : max(1.25 * tokens, lengths[place].usual)
        lengths[place].observations = min(lengths[place].observations + 1, 1_000_000)
        lengths[place].usual += max(0.05, 1 / Double(lengths[place].observations)) * (length - lengths[place].usual)
    }

    private func group(of kind: Int) -> Range<Int> {
        let start = (kind & (Self.groups - 1)) * Self.ways
        return start..<start + Self.ways
    }

    private func place(of kind: Int) -> Int? {
        group(of: kind).first { lengths[$0].kind == kind && lengths[$0].observations > 0 }
    }

    /// The place of the kind that was not asked for the longest time.
    private mutating func clearedPlace(for kind: Int) -> Int {
        let group = group(of: kind)
        let place = group.min { lengths[$0].time < lengths[$1].time } ?? group.lowerBound
        lengths[place] = Length(kind: kind)
        return place
    }
}
