import FastVLM
import Testing

@Suite struct ByteAutomatonTests {
    /// Whether `text` is a beginning of something wanted, and what it is if it is whole.
    private func read(_ automaton: ByteAutomaton, _ text: String) -> (isBeginning: Bool, outcome: Int?) {
        guard let state = automaton.next(ByteAutomaton.start, text.utf8) else { return (false, nil) }
        return (true, automaton.outcome(state))
    }

    /// Every text of up to six characters, held against regular expressions.
    @Test(arguments: [false, true]) func numbersAreWhatTheExpressionsSay(_ hasFraction: Bool) throws {
        let automaton = ByteAutomaton(numbersWithFraction: hasFraction)
        let alphabet = Array(" -,.05x")
        let number = "-?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+)" + (hasFraction ? "(?:\\.[0-9]*)?" : "")
        let whole = try Regex("^ ?(?:\(number)|-?[0-9]{1,3}(?:,[0-9]{3})*,)$")
        var texts = [""]
        var wanted = 0
        for _ in 0..<6 {
            texts = texts.flatMap { text in alphabet.map { text + String($0) } }
            for text in texts {
                let found = read(automaton, text)
                let isWanted = text.wholeMatch(of: whole) != nil
                if isWanted { wanted += 1 }
                #expect((found.outcome != nil) == isWanted, "'\(text)'")
                // Only beginnings go on.
                if !found.isBeginning { #expect(!isWanted) }
            }
            texts.removeAll { !read(automaton, $0).isBeginning }
        }
        #expect(wanted > 100)
    }

    @Test func numbersEndAfterFifteenDigits() {
        let automaton = ByteAutomaton(numbersWithFraction: true)
        let digits = String(repeating: "7", count: 15)
        for text in [digits, "-\(digits)", " -\(digits).\(digits)", "777,777,777,777,777", "777,777,777,777,777.5"] {
            #expect(read(automaton, text).outcome == 0, "\(text)")
        }
        for text in [
            "\(digits)7", "\(digits).\(digits)7", "777,777,777,777,777,", "7,77.", "7777,7", "--7", "  7", "+7",
        ] {
            #expect(!read(automaton, text).isBeginning, "\(text)")
        }
    }

    @Test func wordingsLeadToTheirOutcome() {
        let automaton = ByteAutomaton(wordings: [["red", "Red"], ["red lamp"], ["grün"], ["red"]])
        #expect(read(automaton, "red").outcome == 0 && read(automaton, " Red").outcome == 0)
        #expect(read(automaton, "red lamp").outcome == 1 && read(automaton, " red l") == (true, nil))
        #expect(read(automaton, "grün").outcome == 2)
        for text in ["rot", "redd", "RED", "  red", "red ", "lamp"] where text != "red " {
            #expect(!read(automaton, text).isBeginning, "\(text)")
        }
        // In the middle of a character, and of a word that may go on.
        let half = automaton.next(ByteAutomaton.start, Array("grün".utf8).prefix(3))
        #expect(half.map { automaton.outcome($0) == nil && !automaton.isFinal($0) } == true)
        let red = automaton.next(ByteAutomaton.start, "red".utf8)
        #expect(red.map { !automaton.isFinal($0) } == true)
    }

    @Test func anOptionMayBeginWithABlankItself() {
        // The lists hold what is wanted as it stands; the blank before it is optional besides.
        let automaton = ByteAutomaton(wordings: [[" a"], ["b"]])
        #expect(read(automaton, " a").outcome == 0 && read(automaton, "b").outcome == 1)
    }
}
