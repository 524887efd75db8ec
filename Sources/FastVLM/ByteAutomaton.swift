/// Says byte by byte whether a text can still become one of those that are wanted.
///
/// Working on bytes, it does not matter how a tokenizer cuts text: digits alone or together, blanks before words or apart,
/// characters in pieces.
package struct ByteAutomaton: Sendable {
    private struct State: Sendable {
        var edges: [(byte: UInt8, target: Int)] = []
        var outcome: Int?
    }

    private var states: [State] = [State()]

    /// Where every text begins.
    package static let start = 0

    /// Adds a state; a text that ends there is outcome `outcome`, or nil if it is not whole.
    package mutating func addState(outcome: Int? = nil) -> Int {
        states.append(State(outcome: outcome))
        return states.count - 1
    }

    /// Lets `byte` lead from `state` to `target`, unless it leads somewhere already.
    package mutating func connect(_ state: Int, _ byte: UInt8, to target: Int) {
        if next(state, byte) == nil { states[state].edges.append((byte, target)) }
    }

    /// Where `byte` leads, or nil if no wanted text goes on so.
    package func next(_ state: Int, _ byte: UInt8) -> Int? {
        states[state].edges.first { $0.byte == byte }?.target
    }

    /// Where `bytes` lead, or nil.
    package func next(_ state: Int, _ bytes: some Sequence<UInt8>) -> Int? {
        var state = state
        for byte in bytes {
            guard let target = next(state, byte) else { return nil }
            state = target
        }
        return state
    }

    /// What a text is that ends in `state`; nil if it is not whole.
    package func outcome(_ state: Int) -> Int? { states[state].outcome }

    /// The bytes that may follow.
    package func bytes(after state: Int) -> [UInt8] { states[state].edges.map(\.byte) }

    /// Whether nothing may follow.
    package func isFinal(_ state: Int) -> Bool { states[state].edges.isEmpty }
}

extension ByteAutomaton {
    /// Texts of which each is outcome number *n* where `wordings[n]` holds it, with or without a blank before it.
    ///
    /// A text that stands in two lists is the first one's.
    package init(wordings: [[String]]) {
        self.init()
        let spaced = addState()
        for (outcome, texts) in wordings.enumerated() {
            for text in texts {
                var state = Self.start
                for byte in text.utf8 {
                    let target = next(state, byte) ?? addState()
                    connect(state, byte, to: target)
                    state = target
                }
                if states[state].outcome == nil { states[state].outcome = outcome }
            }
        }
        // Behind the blank the same words begin.
        states[spaced].edges = states[Self.start].edges
        connect(Self.start, UInt8(ascii: " "), to: spaced)
    }

    /// Numbers as they are written in English: a blank or none, a sign or none, 1 to 15 digits, from the fourth on also in
    /// groups of three behind commas; with `hasFraction` also a point and 1 to 15 digits. Every number is outcome 0.
    ///
    /// A comma or a point behind a number that no digit follows is the sentence's, and the number is whole before it.
    package init(numbersWithFraction hasFraction: Bool) {
        self.init()
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let most = 15
        let spaced = addState()
        let signed = addState()
        let whole = (0..<most).map { _ in addState(outcome: 0) }
        connect(Self.start, UInt8(ascii: " "), to: spaced)
        for state in [Self.start, spaced] { connect(state, UInt8(ascii: "-"), to: signed) }
        for digit in digits {
            for state in [Self.start, spaced, signed] { connect(state, digit, to: whole[0]) }
            for (state, target) in zip(whole, whole.dropFirst()) { connect(state, digit, to: target) }
        }
        var ends = whole
        // One chain of groups for each count of digits before the first comma.
        for first in 1...3 {
            var before = whole[first - 1]
            for _ in 0..<(most - first) / 3 {
                let comma = addState(outcome: 0)
                connect(before, UInt8(ascii: ","), to: comma)
                var state = comma
                for place in 0..<3 {
                    let target = addState(outcome: place == 2 ? 0 : nil)
                    for digit in digits { connect(state, digit, to: target) }
                    state = target
                }
                before = state
                ends.append(state)
            }
        }
        guard hasFraction else { return }
        let point = addState(outcome: 0)
        for state in ends { connect(state, UInt8(ascii: "."), to: point) }
        var state = point
        for _ in 0..<most {
            let target = addState(outcome: 0)
            for digit in digits { connect(state, digit, to: target) }
            state = target
        }
    }
}
