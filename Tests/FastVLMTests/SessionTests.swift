import FastVLM
import Kernels
import ModelFiles
import Testing

@Suite struct SessionTests {
    let session: FastVLMSession
    let picture: FastVLMSession.EncodedPicture

    init() throws {
        session = try TinyModel.session()
        picture = try session.encode("china", 128)
    }

    private func logits(
        _ session: FastVLMSession, _ question: String, _ picture: FastVLMSession.EncodedPicture
    ) throws -> (rows: [[Float]], cached: Int) {
        var rows: [[Float]] = []
        let generation = try session.answer(
            question, about: picture, options: GenerationOptions(maxTokens: 5), observe: { rows.append($0) })
        return (rows, generation.cachedTokens)
    }

    @Test func aSecondQuestionReusesThePictureAndIsAnsweredAsIfItWereTheFirst() throws {
        let first = try logits(session, "What is there?", picture)
        #expect(first.cached == 0)
        let second = try logits(session, "Is it dark?", picture)
        // Everything before the questions' own words is shared: 14 ids in the real tokenizer, more in the small one.
        #expect(second.cached > picture.tokens + 14)
        let fresh = try TinyModel.session()
        let alone = try logits(fresh, "Is it dark?", try fresh.encode("china", 128))
        #expect(alone.cached == 0)
        #expect(difference(second.rows, alone.rows) < 1e-4)
    }

    @Test func anotherPictureIsNotMistakenForTheFirst() throws {
        _ = try logits(session, "What is there?", picture)
        let other = try session.encode("flower", 128)
        let reused = try logits(session, "What is there?", other)
        let fresh = try TinyModel.session()
        let alone = try logits(fresh, "What is there?", try fresh.encode("flower", 128))
        #expect(reused.cached == session.promptTokens("x", imageToken: -200).firstIndex(of: -200))
        #expect(difference(reused.rows, alone.rows) < 1e-4)
        // And back: the first picture's rows are still its own.
        let again = try logits(session, "What is there?", picture)
        let first = try TinyModel.session()
        #expect(difference(again.rows, try logits(first, "What is there?", try first.encode("china", 128)).rows) < 1e-4)
    }

    @Test func decodingTokenByTokenEqualsReadingThemAtOnce() throws {
        let said = try session.answer("What is there?", about: picture, options: GenerationOptions(maxTokens: 8)).tokens
        var stepwise: [[Float]] = []
        _ = try session.answer("What is there?", about: picture, forced: said, observe: { stepwise.append($0) })
        #expect(stepwise.count == 8)
        // Forced along the same ids by a session whose cache grows from nothing.
        let fresh = try TinyModel.session()
        var again: [[Float]] = []
        _ = try fresh.answer(
            "What is there?", about: try fresh.encode("china", 128), forced: said, observe: { again.append($0) })
        #expect(difference(stepwise, again) < 1e-4)
    }

    @Test func theAnswerEndsWhereTheListenerSaysSo() throws {
        var pieces = 0
        let generation = try session.answer(
            "What is there?", about: picture,
            onText: { _ in
                pieces += 1
                return pieces < 3
            })
        #expect(generation.tokens.count == 3)
        #expect(generation.finishReason == .length)
    }

    @Test func noTokensAreSaidWhenNoneAreWanted() throws {
        let generation = try session.answer("x", about: picture, options: GenerationOptions(maxTokens: 0))
        #expect(generation.tokens.isEmpty && generation.text.isEmpty)
    }

    @Test func aCancelledEncodingEndsBetweenBlocksAndLeavesTheSessionUsable() throws {
        var asked = 0
        let pixels = try TinyModel.pixels("flower", 128)
        let error = #expect(throws: FastVLMError.self) {
            try session.encode(
                pixels, height: 128, width: 128,
                isCancelled: {
                    asked += 1
                    return asked == 4
                })
        }
        #expect(error?.code == .cancelled)
        #expect(asked == 4)
        let fresh = try TinyModel.session()
        let after = try logits(session, "What is there?", picture)
        #expect(difference(after.rows, try logits(fresh, "What is there?", try fresh.encode("china", 128)).rows) < 1e-4)
    }

    @Test(arguments: [1, 2, 3, 5, 9]) func aCancelledAnswerLeavesTheNextOneRight(_ call: Int) throws {
        var asked = 0
        let error = #expect(throws: FastVLMError.self) {
            try session.answer(
                "Tell me more?", about: picture,
                isCancelled: {
                    asked += 1
                    return asked == call
                })
        }
        #expect(error?.code == .cancelled)
        let fresh = try TinyModel.session()
        let after = try logits(session, "Is it dark?", picture)
        #expect(difference(after.rows, try logits(fresh, "Is it dark?", try fresh.encode("china", 128)).rows) < 1e-4)
    }

    @Test func aQuestionThatDoesNotFitIsRefusedWithTheLimit() throws {
        let long = String(repeating: "why is it so? ", count: 20_000)
        let error = #expect(throws: FastVLMError.self) { try session.answer(long, about: picture) }
        #expect(error?.code == .contextTooLong)
        #expect(error?.message.contains("32768") == true)
    }

    @Test(arguments: [0, -1, 63, 4097, Int.max, Int.min]) func anUnusableResolutionIsRefused(_ pixels: Int) {
        let error = #expect(throws: FastVLMError.self) { try FastVLMModel.validate(resolution: pixels) }
        #expect(error?.code == .resolution)
        #expect(error?.message.contains("64 to 4096") == true)
    }

    @Test func aQuestionsSpecialTokensAreText() throws {
        let ids = session.promptTokens("<|im_end|>", imageToken: -200)
        let end = try #require(session.model.prepared.tokenizer.specialTokens["<|im_end|>"])
        // The system turn's and the user turn's own.
        #expect(ids.count { $0 == end } == 2)
        #expect(ids.count { $0 == -200 } == 1)
    }
}

/// The largest difference, relative to the reference's largest value.
func difference(_ rows: [[Float]], _ reference: [[Float]]) -> Float {
    guard rows.count == reference.count, !rows.isEmpty else { return .infinity }
    let (a, b) = (Array(rows.joined()), Array(reference.joined()))
    guard a.count == b.count else { return .infinity }
    let apart = zip(a, b).map { abs($0 - $1) }
    guard apart.allSatisfy(\.isFinite) else { return .infinity }
    return (apart.max() ?? 0) / max(1e-9, b.map(abs).max() ?? 0)
}
