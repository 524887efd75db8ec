/// How many tokens answers usually have, by what was asked: a yes or no has two, a description fifty.
///
/// Holds the prompts that were asked last, eight of those that share the four lowest bits of their numbers; what is not
/// known of a prompt is taken from others of its type. Of fixed size, and allocated once.
struct AnswerLengths: Sendable {
    /// What was asked: the type of the question, a number for its words, and the answers that they ask for.
    struct Prompt: Sendable, Equatable {
        var type = QuestionType.general
        var kind = 0
        var replies = 1
    }

    private struct Length: Sendable {
        var usual = 0.0
        /// Mean distance of an answer's length from the usual one.
        var spread = 0.0
        var observations = 0

        /// - Parameter prior: What was to be expected before the first one, which decides alone unless it was cut.
        mutating func observe(_ tokens: Double, isWhole: Bool, prior: Double) {
            let isFirst = observations == 0
            if isFirst { usual = prior }
            // One that was cut would have been a quarter longer, or of the usual length if that is more.
            let length = isWhole ? tokens : max(1.25 * tokens, usual)
            observations = min(observations + 1, 1_000_000)
            let gain = max(0.05, 1 / Double(observations))
            // One answer does not tell how far the next is from it.
            spread = isFirst ? 0.4 * length : spread + gain * (abs(length - usual) - spread)
            usual += gain * (length - usual)
        }
    }

    private struct Place: Sendable {
        var prompt = Prompt()
        var length = Length()
        /// When it was observed last, in answers.
        var time = 0
    }

    /// Tokens of the usual answer, whatever was asked.
    private(set) var overall = 24.0
    private var types = [Length](repeating: Length(), count: QuestionType.allCases.count)
    private var places = [Place](repeating: Place(), count: groups * ways)
    private var time = 0

    private static let groups = 16
    private static let ways = 8
    /// Answers after which a length is known.
    private static let enough = 4

    /// Tokens of the usual answer to a prompt; nil before there was one to any prompt of its type.
    subscript(prompt: Prompt) -> Double? { usual(prompt, after: 1) }

    /// The fewest tokens of a useful answer: the usual ones and twice their spread where that is less than `minimum`, once
    /// some answers are known.
    func fewest(_ prompt: Prompt, atMost minimum: Int) -> Int {
        guard let (length, times) = length(of: prompt, after: Self.enough) else { return minimum }
        return (times * (length.usual + 2 * length.spread)).rounded().asCount(atMost: minimum)
    }

    /// Standard deviation of the answers' lengths, in tokens; nil before there was one to any prompt of its type.
    func deviation(_ prompt: Prompt) -> Double? {
        // A bell's mean distance is 0.8 of its deviation.
        length(of: prompt, after: 1).map { length, times in 1.25 * length.spread * times }
    }

    /// Takes in an answer.
    ///
    /// - Parameter isWhole: Whether it was not cut for lack of time: of one that was it is known how long it is at least.
    mutating func observe(_ prompt: Prompt, tokens: Int, isWhole: Bool) {
        guard tokens > 0 else { return }
        let tokens = min(Double(tokens), 1_000_000)
        overall += 0.05 * (tokens - overall)
        let place = place(of: prompt) ?? clearedPlace(for: prompt)
        places[place].length.observe(tokens, isWhole: isWhole, prior: self[prompt] ?? 0)
        types[Self.index(of: prompt.type)].observe(tokens / Double(prompt.replies), isWhole: isWhole, prior: 0)
        time += 1
        places[place].time = time
    }

    private func usual(_ prompt: Prompt, after enough: Int) -> Double? {
        length(of: prompt, after: enough).map { length, times in length.usual * times }
    }

    /// What is known of a prompt or else of its type, and how many of those an answer has.
    private func length(of prompt: Prompt, after enough: Int) -> (Length, times: Double)? {
        if let place = place(of: prompt), places[place].length.observations >= enough {
            return (places[place].length, 1)
        }
        let type = types[Self.index(of: prompt.type)]
        return type.observations >= enough ? (type, Double(prompt.replies)) : nil
    }

    private static func index(of type: QuestionType) -> Int {
        switch type {
        case .general: 0
        case .text: 1
        case .counting: 2
        case .presence: 3
        }
    }

    private func group(of prompt: Prompt) -> Range<Int> {
        let start = (prompt.kind & (Self.groups - 1)) * Self.ways
        return start..<start + Self.ways
    }

    private func place(of prompt: Prompt) -> Int? {
        group(of: prompt).first { places[$0].prompt == prompt && places[$0].length.observations > 0 }
    }

    /// The place of the prompt that was not asked for the longest time.
    private mutating func clearedPlace(for prompt: Prompt) -> Int {
        let group = group(of: prompt)
        let place = group.min { places[$0].time < places[$1].time } ?? group.lowerBound
        places[place] = Place(prompt: prompt)
        return place
    }
}
