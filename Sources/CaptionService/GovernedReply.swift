internal import LatencyBudget

/// One reply while it is said: asks its governor after every token, and remembers where the last whole sentence ended.
package struct GovernedReply {
    private var governor: TokenGovernor
    /// The most tokens that were asked for: a governor that stops there stops nothing early.
    private let maximumTokens: Int
    private let clock: BudgetClock
    private var text = ""
    private var tokens = 0
    /// Bytes of text up to the end of the last whole sentence.
    private var wholeBytes = 0
    private var stop: TokenGovernor.Stop?

    /// Made when the first token is there.
    package init(_ plan: FramePlan, reply: Int) {
        governor = plan.governor(reply: reply)
        maximumTokens = plan.maximumTokens
        clock = plan.clock
    }

    /// Takes in the text of one more token.
    ///
    /// - Returns: Whether another one is to be generated.
    package mutating func hear(_ piece: String) -> Bool {
        guard stop == nil else { return false }
        text += piece
        tokens += 1
        let endsSentence = !piece.isEmpty && text.endsSentence
        if endsSentence { wholeBytes = text.utf8.count }
        guard case .stop(let reason) = governor.advance(now: clock.now, endsSentence: endsSentence) else { return true }
        stop = reason
        return false
    }

    /// `text`, the whole reply, as it is to be handed out, and why it ended; a reply that was cut is cut back to the end
    /// of its last whole sentence, if it has one.
    package func ending(_ text: String, _ finishReason: String) -> (text: String, finishReason: String) {
        switch stop {
        case nil: return (text, finishReason)
        case .sentence: return (text, "sentence")
        case .limit where tokens >= maximumTokens: return (text, finishReason)
        case .limit, .deadline:
            guard wholeBytes > 0,
                let end = text.utf8.index(text.startIndex, offsetBy: wholeBytes, limitedBy: text.endIndex)
            else { return (text, "deadline") }
            return (String(text[..<end]), "deadline")
        }
    }
}

extension String {
    /// Whether the text, as far as it goes, is at the end of a sentence: after a full stop that is no decimal point and
    /// ends no initial, after a question or exclamation mark, closing quotes and brackets included, or after a new line.
    package var endsSentence: Bool {
        if last == "\n" { return !allSatisfy(\.isWhitespace) }
        var rest = self[...]
        while let mark = rest.last, "\"'”’)]»".contains(mark) { rest.removeLast() }
        guard let mark = rest.popLast() else { return false }
        if "!?。！？…".contains(mark) { return true }
        guard mark == ".", let before = rest.last, !before.isNumber else { return false }
        let word = rest.reversed().prefix { !$0.isWhitespace }
        return !(word.count == 1 && before.isUppercase)
    }
}
