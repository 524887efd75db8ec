internal import LatencyBudget

/// How many answers were right.
struct AccuracyScore: Equatable {
    var right = 0
    var count = 0

    mutating func add(_ isRight: Bool) {
        count += 1
        if isRight { right += 1 }
    }

    static func + (left: AccuracyScore, other: AccuracyScore) -> AccuracyScore {
        AccuracyScore(right: left.right + other.right, count: left.count + other.count)
    }

    /// The share of right answers, 0...1; 0 of none.
    var share: Double { count > 0 ? Double(right) / Double(count) : 0 }

    /// Of a bell curve 95 % lie within so many standard deviations.
    static let deviations = 1.959964

    /// Wilson's interval for the share that would be right of endlessly many pictures, at 95 %.
    ///
    /// It holds for few answers and for shares near 0 and 1 too, where the usual interval leaves 0...1
    /// (E. B. Wilson, J. Am. Stat. Assoc. 22, 1927).
    var interval: ClosedRange<Double> {
        guard count > 0 else { return 0...1 }
        let (n, z) = (Double(count), Self.deviations)
        let middle = share + z * z / (2 * n)
        let half = z * (share * (1 - share) / n + z * z / (4 * n * n)).squareRoot()
        let scale = 1 + z * z / n
        return max(0, (middle - half) / scale)...min(1, max(0, (middle + half) / scale))
    }
}

/// How much oftener one way is right than another with the same questions.
struct PairedDifference: Equatable {
    /// Questions that only the first way got right, and only the second.
    var first = 0
    var second = 0
    var count = 0

    mutating func add(_ isFirstRight: Bool, _ isSecondRight: Bool) {
        count += 1
        if isFirstRight, !isSecondRight { first += 1 }
        if isSecondRight, !isFirstRight { second += 1 }
    }

    /// The first way's share less the second's, -1...1; 0 of none.
    var share: Double { count > 0 ? Double(first - second) / Double(count) : 0 }

    /// The interval for the difference over endlessly many questions, at 95 %: Wald's with half an answer more in each of
    /// the four cases, which holds for few answers too (A. Agresti and Y. Min, Stat. Med. 24, 2005).
    var interval: ClosedRange<Double> {
        guard count > 0 else { return -1...1 }
        let n = Double(count) + 2
        let middle = Double(first - second) / n
        let variance = ((Double(first + second) + 1) / n - middle * middle) / n
        let half = AccuracyScore.deviations * variance.squareRoot()
        return max(-1, middle - half)...min(1, middle + half)
    }
}

/// The scores of one model at one resolution, by type of question.
struct AccuracyTable {
    private(set) var kinds: [String] = []
    private var scores: [String: AccuracyScore] = [:]
    /// The types of each need, without their parts.
    private var needs: [QuestionType: Set<String>] = [:]

    subscript(_ kind: String) -> AccuracyScore { scores[kind] ?? AccuracyScore() }

    mutating func add(_ isRight: Bool, _ question: LabelledPictures.Question, of picture: LabelledPictures.Picture) {
        for kind in picture.kinds(of: question) {
            if scores[kind] == nil { kinds.append(kind) }
            scores[kind, default: AccuracyScore()].add(isRight)
        }
        needs[question.need, default: []].insert(question.type)
    }

    /// All answers together, each once.
    var all: AccuracyScore {
        Set(needs.values.joined()).reduce(AccuracyScore()) { $0 + self[$1] }
    }

    /// The mean of the types' shares, in per cent: of all types for a general question, else of those that need the same.
    /// Nil where there is none.
    func utility(_ need: QuestionType) -> Double? {
        let types = need == .general ? needs.values.reduce(into: Set()) { $0.formUnion($1) } : needs[need] ?? []
        guard !types.isEmpty else { return nil }
        let mean = types.map { self[$0].share }.reduce(0, +) / Double(types.count)
        return (mean * 10000).rounded() / 100
    }
}
