import FastVLM
import Kernels
import ModelFiles
import Testing

#if canImport(Glibc)
    import Glibc
#endif

@Suite struct TypedAnswerTests {
    let session: FastVLMSession
    let picture: FastVLMSession.EncodedPicture
    var tokenizer: Tokenizer { session.model.prepared.tokenizer }

    init() throws {
        session = try TinyModel.session()
        picture = try session.encode("china", 128)
    }

    /// Probabilities of every id after `said`, read anew by plain decoding.
    private func probabilities(_ question: String, after said: [Int]) throws -> [Double] {
        var last: [Float] = []
        _ = try session.answer(question, about: picture, forced: said + [0], observe: { last = $0 })
        let known = last.indices.map { tokenizer.isKnown($0) ? exp(Double(last[$0])) : 0 }
        let total = known.reduce(0, +)
        return known.map { $0 / total }
    }

    private func id(_ text: String) throws -> Int { try #require(tokenizer.id(of: text), "no token '\(text)'") }

    @Test func everyAnswerIsOfItsType() throws {
        // Random weights would say anything.
        for question in ["Is it day?", "How many?", "", "<|im_end|>", "{\"a\": 1}"] {
            for type in [
                AnswerType.boolean, .integer, .number, .choice(["left", "right", "in the middle of the picture"]),
                .text,
            ] {
                let answer = try session.answer(question, about: picture, as: type, options: .init(maxTokens: 3))
                switch (type, answer.value) {
                case (.boolean, .boolean), (.integer, .integer), (.number, .number): break
                case (.choice(let options), .choice(let option)): #expect(options.contains(option))
                case (.text, .text(let text)): #expect(!text.isEmpty)
                default: Issue.record("\(type) was answered with \(answer.value)")
                }
                if type == .text {
                    #expect(answer.confidence == nil && answer.steps == 3 && answer.finishReason == .length)
                } else {
                    #expect((0...1).contains(try #require(answer.confidence)))
                    #expect(answer.finishReason == .stop && answer.steps > 0)
                }
            }
        }
    }

    /// Over every way to write and to cut the two words.
    @Test(arguments: [["a", "b"], ["n", "s"], ["c", "p"], ["g", "l"]])
    func aChoicesConfidenceIsTheShareOfItsProbability(_ letters: [String]) throws {
        let question = "Which one?"
        var masses: [Double] = []
        let root = try probabilities(question, after: [])
        let blank = try id(" ")
        let spaced = try probabilities(question, after: [blank])
        for letter in letters {
            var mass = 0.0
            for form in [letter, letter.uppercased()] {
                mass += root[try id(form)] + root[blank] * spaced[try id(form)]
                if let whole = tokenizer.id(of: " " + form) { mass += root[whole] }
            }
            masses.append(mass)
        }
        let answer = try session.answer(question, about: picture, as: .choice(letters))
        #expect(answer.value == .choice(letters[masses[0] > masses[1] ? 0 : 1]))
        let expected = try #require(masses.max()) / (masses[0] + masses[1])
        #expect(abs(try #require(answer.confidence) - expected) < 0.011)
    }

    @Test func anOptionThatBeginsALongerOneCountsWhereTheTextDoesNotGoOn() throws {
        let question = "How many?"
        let root = try probabilities(question, after: [])
        let blank = try id(" ")
        let spaced = try probabilities(question, after: [blank])
        var (short, long) = (0.0, 0.0)
        for (before, mass) in [([], root[try id("1")]), ([blank], root[blank] * spaced[try id("1")])] {
            let next = try probabilities(question, after: before + [try id("1")])
            short += mass * (1 - next[try id("2")])
            long += mass * next[try id("2")]
        }
        for (text, share) in [("12", root), (" 12", root), ("12", spaced.map { $0 * root[blank] })] {
            if let whole = tokenizer.id(of: text) { long += share[whole] }
        }
        if let one = tokenizer.id(of: " 1") {
            let next = try probabilities(question, after: [one])
            short += root[one] * (1 - next[try id("2")])
            long += root[one] * next[try id("2")]
        }
        let answer = try session.answer(question, about: picture, as: .choice(["12", "1"]))
        #expect(answer.value == .choice(short > long ? "1" : "12"))
        #expect(abs(try #require(answer.confidence) - max(short, long) / (short + long)) < 0.011)
    }

    /// Decodes step by step with nothing but text and a regular expression.
    @Test(arguments: ["How many?", "What is the number?", "Is it?"])
    func aNumberIsTheLikeliestStepByStep(_ question: String) throws {
        let beginning = /^ ?-?([0-9]*|[0-9]{1,3}(,[0-9]{3})*(,[0-9]{0,2})?)$/
        let whole = /^ ?-?([0-9]+|[0-9]{1,3}(,[0-9]{3})+),?$/
        var said: [Int] = []
        var text = ""
        var confidence = 1.0
        while true {
            let next = try probabilities(question, after: said)
            var steps: [(id: Int, probability: Double)] = []
            for id in 0..<tokenizer.tokenCount where tokenizer.isKnown(id) {
                let piece = tokenizer.decode([id], skippingSpecialTokens: true)
                guard !piece.isEmpty, !piece.contains("\u{fffd}"), (text + piece).wholeMatch(of: beginning) != nil,
                    (text + piece).filter(\.isNumber).count <= 15
                else { continue }
                steps.append((id, next[id]))
            }
            let going = steps.reduce(0) { $0 + $1.probability }
            let mayEnd = text.wholeMatch(of: whole) != nil
            let all = mayEnd ? 1 : going
            guard let best = steps.max(by: { $0.probability < $1.probability }), !mayEnd || best.probability > 1 - going
            else {
                confidence *= (1 - going) / all
                break
            }
            confidence *= best.probability / all
            said.append(best.id)
            text += tokenizer.decode([best.id], skippingSpecialTokens: true)
        }
        let answer = try session.answer(question, about: picture, as: .integer)
        #expect(answer.value == .integer(try #require(Int(text.filter { $0.isNumber || $0 == "-" }))))
        #expect(abs(try #require(answer.confidence) - confidence) < 1e-3)
        #expect(answer.steps == said.count + 1)
    }

    @Test func rowsThatNoTokenHasTakeNoProbability() {
        let vocabulary = session.model.prepared.configuration.text.vocabularySize
        let unknown = (0..<vocabulary).filter { !tokenizer.isKnown($0) }
        var logits = [Float](repeating: 0, count: vocabulary)
        for id in unknown { logits[id] = 20 }
        func next(_ logits: [Float]) -> NextTokens {
            NextTokens(
                logits, unknown: unknown, index: tokenizer.makeTokenIndex(),
                automaton: ByteAutomaton(wordings: [["a"], ["b"]]), state: ByteAutomaton.start)
        }
        let known = Double(vocabulary - unknown.count)
        let even = next(logits)
        #expect(!unknown.isEmpty && !even.steps.isEmpty)
        #expect(even.steps.allSatisfy { abs($0.logProbability + log(known)) < 1e-3 })
        #expect(abs(exp(even.logEnd) - (1 - Double(even.steps.count) / known)) < 1e-3)
        // What is no number is as good as impossible.
        let broken = next([Float](repeating: .nan, count: vocabulary))
        #expect(broken.steps.count == even.steps.count && broken.likeliest?.token == even.steps.first?.token)
        #expect(broken.steps.allSatisfy { $0.logProbability == -.infinity })
    }

    @Test func anotherQuestionAfterATypedOneIsAnsweredAsIfItWereTheFirst() throws {
        _ = try session.answer("How many?", about: picture, as: .number)
        let typed = try session.answer("Is it day?", about: picture, as: .boolean)
        #expect(typed.cachedTokens > picture.tokens)
        let after = try session.answer("What is there?", about: picture, options: .init(maxTokens: 6))
        let fresh = try TinyModel.session()
        let alone = try fresh.answer(
            "What is there?", about: try fresh.encode("china", 128), options: .init(maxTokens: 6))
        #expect(after.tokens == alone.tokens)
        let again = try fresh.answer("Is it day?", about: try fresh.encode("china", 128), as: .boolean)
        #expect(again.value == typed.value && abs((again.confidence ?? 0) - (typed.confidence ?? 1)) < 1e-3)
    }

    @Test func theLengthOfTheSearchIsBounded() throws {
        // Every way to cut long options of a model that knows none of them would be millions of runs.
        let options = (0..<20).map { number in String(repeating: "abcdefghij ", count: 8) + "\(number)" }
        let answer = try session.answer("Which?", about: picture, as: .choice(options))
        #expect(answer.steps < 32 + 128)
        guard case .choice(let option) = answer.value else { return #expect(Bool(false)) }
        #expect(options.contains(option))
    }

    @Test func aTypedAnswerCanBeCancelled() throws {
        var asked = 0
        let error = #expect(throws: FastVLMError.self) {
            try session.answer(
                "How many?", about: picture, as: .integer,
                isCancelled: {
                    asked += 1
                    return asked == 4
                })
        }
        #expect(error?.code == .cancelled)
    }

    @Test(arguments: [
        ([String](), "0 options"), (["a"], "1 options"), (["a", "a"], "each once"), (["a", ""], "1 to 128 bytes"),
        (["a", " b"], "white space"), (["a", "b\n"], "white space"), (["a", "b\u{1}c"], "control characters"),
        (["a", String(repeating: "x", count: 129)], "1 to 128"), ((0..<65).map { "\($0)" }, "65 options"),
    ])
    func optionsThatCannotBeChosenFromAreRefused(_ options: [String], _ words: String) throws {
        let error = #expect(throws: FastVLMError.self) {
            try session.answer("?", about: picture, as: .choice(options))
        }
        #expect(error?.code == .answerType)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }

    @Test func typesHaveNames() throws {
        for word in AnswerType.words {
            let type = try AnswerType(word: word, options: word == "choice" ? ["a", "b"] : [])
            #expect(type.word == word)
        }
        #expect(throws: FastVLMError.self) { try AnswerType(word: "bool") }
        #expect(throws: FastVLMError.self) { try AnswerType(word: "boolean", options: ["a", "b"]) }
        #expect(AnswerValue.number(12).text == "12" && AnswerValue.number(-0.5).text == "-0.5")
    }
}

/// The bundled model, which knows what it is asked.
@Suite struct TypedPanelTests {
    let session: FastVLMSession

    init() throws {
        session = try FastVLMSession(
            try FastVLMModel(path: TinyModel.etc + "/demo-model/panel-reader.fastvlm"), pool: try ThreadPool(threads: 2)
        )
    }

    @Test(arguments: [0, 1, 4, 6, 7]) func typedAnswersAreWhatTheModelSaysFreely(_ scene: Int) throws {
        let pixels = try TinyModel.pixels("../demo-model/pictures/scene-4242-\(scene)", 384)
        let picture = try session.encode(pixels, height: 384, width: 384)
        func free(_ question: String) throws -> String { try session.answer(question, about: picture).text }
        func typed(_ question: String, _ type: AnswerType) throws -> TypedAnswer {
            try session.answer(question, about: picture, as: type)
        }
        for question in ["Is there a panel?"] + ["red", "green", "yellow", "blue"].map({ "Is the \($0) lamp on?" }) {
            let answer = try typed(question, .boolean)
            #expect(answer.value == .boolean(try free(question) == "yes"))
            #expect(answer.steps == 1 && (answer.confidence ?? 0) > 0.5)
        }
        let count = "How many lamps are lit?"
        #expect(try typed(count, .integer).value == .integer(Int(try free(count)) ?? -1))
        let word = "What word is on the panel?"
        let options = ["AUTO", "DOOR", "FAN", "FLOW", "HEAT", "OIL", "PUMP", "RUN", "STOP", "TANK", "TEMP", "WATER"]
        #expect(
            try typed(word, .choice(options + ["There is no word.", "There is no control panel."])).value
                == .choice(try free(word)))
        if let number = Double(try free("What does the display read?")) {
            #expect(try typed("What does the display read?", .number).value == .number(number))
        }
    }
}
