internal import Glibc
import ModelFiles

extension FastVLMSession {
    /// Decoder runs after which the search for the likeliest option ends with what is known by then.
    static let mostOptionSteps = 32
    /// The share of the options' probability that may stay undivided among them.
    static let undividedShare = 0.01

    /// Answers `question` about `picture` with a value of `type`.
    ///
    /// `options` hold for ``AnswerType/text`` alone: other types take the likeliest answer, however long.
    ///
    /// - Parameters:
    ///   - isCancelled: Asked between layers and steps; `true` ends the run with ``FastVLMError/Code/cancelled``.
    ///   - onStep: Called after each run of the decoder, with the text that it brought where `type` is text;
    ///     `false` ends a text there.
    ///
    /// Throws ``FastVLMError/Code/answerType`` for options that cannot be chosen from, and as
    /// ``answer(_:about:options:forced:isCancelled:observe:onText:)``.
    public func answer(
        _ question: String, about picture: EncodedPicture, as type: AnswerType, options: GenerationOptions = .init(),
        isCancelled: () -> Bool = { false }, onStep: (_ text: String) -> Bool = { _ in true }
    ) throws(FastVLMError) -> TypedAnswer {
        try type.validate()
        switch type {
        case .text:
            let said = try answer(question, about: picture, options: options, isCancelled: isCancelled, onText: onStep)
            return TypedAnswer(
                value: .text(said.text), confidence: nil, promptTokens: said.promptTokens,
                cachedTokens: said.cachedTokens, steps: said.tokens.count, finishReason: said.finishReason)
        case .boolean:
            let wordings = [
                ["yes", "Yes", "YES", "true", "True", "TRUE"], ["no", "No", "NO", "false", "False", "FALSE"],
            ]
            return try choose(wordings, question, picture, isCancelled, onStep) { .boolean($0 == 0) }
        case .choice(let choices):
            return try choose(Self.wordings(of: choices), question, picture, isCancelled, onStep) {
                .choice(choices[$0])
            }
        case .integer:
            return try count(ByteAutomaton(numbersWithFraction: false), question, picture, isCancelled, onStep) {
                .integer(Int($0) ?? 0)
            }
        case .number:
            return try count(ByteAutomaton(numbersWithFraction: true), question, picture, isCancelled, onStep) {
                .number(Double($0) ?? 0)
            }
        }
    }

    /// How each option may be written; what is another option as it stands is that option alone.
    private static func wordings(of options: [String]) -> [[String]] {
        let given = Set(options.map { Array($0.utf8) })
        return options.map { option in
            let small = option.lowercased()
            let others = [
                small, small.prefix(1).uppercased() + small.dropFirst(),
                option.prefix(1).uppercased() + option.dropFirst(),
            ]
            return [option] + others.filter { !given.contains(Array($0.utf8)) }
        }
    }

    /// Runs the decoder along `question` and then along what is to be assumed as said.
    private struct Reader {
        let session: FastVLMSession
        let prompt: [FastVLMSession.Position]
        let picture: FastVLMSession.EncodedPicture
        let index: TokenIndex
        var cached = 0
        var steps = 0

        init(_ session: FastVLMSession, _ question: String, _ picture: FastVLMSession.EncodedPicture) {
            self.session = session
            self.picture = picture
            prompt = session.sequence(question, picture)
            index = session.tokenIndex
        }

        mutating func next(
            after said: [Int], _ automaton: ByteAutomaton, _ state: Int, _ isCancelled: () -> Bool,
            _ onStep: (String) -> Bool
        ) throws(FastVLMError) -> NextTokens {
            try FastVLMSession.check(isCancelled)
            let (logits, reused) = try session.logits(
                after: prompt + said.map(FastVLMSession.Position.token), about: picture,
                checkpoint: { () throws(FastVLMError) in try FastVLMSession.check(isCancelled) })
            if steps == 0 { cached = reused }
            steps += 1
            _ = onStep("")
            return NextTokens(
                logits, unknown: session.model.unknownTokens, index: index, automaton: automaton, state: state)
        }

        func answer(_ value: AnswerValue, logConfidence: Double) -> TypedAnswer {
            let confidence = exp(min(0, logConfidence))
            return TypedAnswer(
                value: value, confidence: confidence.isNaN ? 0 : confidence, promptTokens: prompt.count,
                cachedTokens: cached, steps: steps, finishReason: .stop)
        }
    }

    /// Finds the likeliest of several outcomes: the most probable beginning of an option is read on first, until nearly all
    /// probability is divided among the options.
    private func choose(
        _ wordings: [[String]], _ question: String, _ picture: EncodedPicture, _ isCancelled: () -> Bool,
        _ onStep: (String) -> Bool, _ value: (Int) -> AnswerValue
    ) throws(FastVLMError) -> TypedAnswer {
        struct Beginning {
            var said: [Int] = []
            var state = ByteAutomaton.start
            var mass = 0.0
        }
        let automaton = ByteAutomaton(wordings: wordings)
        var reader = Reader(self, question, picture)
        var masses = [Double](repeating: -.infinity, count: wordings.count)
        var open = [Beginning()]
        var isDecided: Bool { masses.contains { $0 > -.infinity } }

        // Divides what `beginning` has among the options that end with the next token and longer beginnings.
        func read(_ beginning: Beginning) throws(FastVLMError) -> [Beginning] {
            let next = try reader.next(after: beginning.said, automaton, beginning.state, isCancelled, onStep)
            guard !next.steps.isEmpty else { throw Self.unspeakable(question) }
            if let outcome = automaton.outcome(beginning.state) {
                masses[outcome] = logSum(masses[outcome], beginning.mass + next.logEnd)
            }
            var longer: [Beginning] = []
            for step in next.steps {
                let mass = beginning.mass + step.logProbability
                if automaton.isFinal(step.state), let outcome = automaton.outcome(step.state) {
                    masses[outcome] = logSum(masses[outcome], mass)
                } else {
                    longer.append(Beginning(said: beginning.said + [step.token], state: step.state, mass: mass))
                }
            }
            return longer
        }

        while let best = open.indices.max(by: { open[$0].mass < open[$1].mass }) {
            let undivided = open.reduce(-.infinity) { logSum($0, $1.mass) }
            let divided = masses.reduce(-.infinity, logSum)
            if isDecided, undivided == -.infinity || undivided <= divided + log(Self.undividedShare) { break }
            if reader.steps >= Self.mostOptionSteps {
                if isDecided { break }
                // No end was reached among many beginnings: follow the best one to its end.
                var path = open.remove(at: best)
                while let likeliest = try read(path).max(by: { $0.mass < $1.mass }), !isDecided { path = likeliest }
                break
            }
            open += try read(open.remove(at: best))
        }
        let best = masses.indices.max { masses[$0] < masses[$1] } ?? 0
        let all = open.reduce(masses.reduce(-.infinity, logSum)) { logSum($0, $1.mass) }
        return reader.answer(value(best), logConfidence: masses[best] - all)
    }

    /// Takes the likeliest step of a number each time, until the likeliest is that it ends.
    private func count(
        _ automaton: ByteAutomaton, _ question: String, _ picture: EncodedPicture, _ isCancelled: () -> Bool,
        _ onStep: (String) -> Bool, _ value: (String) -> AnswerValue
    ) throws(FastVLMError) -> TypedAnswer {
        var reader = Reader(self, question, picture)
        var said: [Int] = []
        var state = ByteAutomaton.start
        var logConfidence = 0.0
        while !automaton.isFinal(state) {
            let next = try reader.next(after: said, automaton, state, isCancelled, onStep)
            let mayEnd = automaton.outcome(state) != nil
            guard let step = next.likeliest else {
                if mayEnd { break }
                throw Self.unspeakable(question)
            }
            let all = next.steps.reduce(mayEnd ? next.logEnd : -.infinity) { logSum($0, $1.logProbability) }
            if mayEnd, next.logEnd >= step.logProbability || all == -.infinity {
                logConfidence += next.logEnd - all
                break
            }
            logConfidence += step.logProbability - all
            said.append(step.token)
            state = step.state
        }
        let written = model.prepared.tokenizer.decode(said, skippingSpecialTokens: false)
        var digits = written.filter { $0 == "-" || $0 == "." || ("0"..."9").contains($0) }
        if digits.last == "." { digits.removeLast() }
        return reader.answer(value(digits), logConfidence: logConfidence)
    }

    private static func unspeakable(_ question: String) -> FastVLMError {
        FastVLMError(
            .model, "Cannot answer '\(question)' with a value of its type: the model has no tokens to write it with.")
    }
}
