import FastVLM
import ModelFiles
import Testing

@Suite struct SamplingTests {
    private func answer(_ options: GenerationOptions) throws -> [Int] {
        let session = try TinyModel.session()
        return try session.answer("What is there?", about: try session.encode("china", 128), options: options).tokens
    }

    @Test func theSameSeedGivesTheSameAnswerAndAnotherSeedAnother() throws {
        let options = { GenerationOptions(maxTokens: 12, temperature: 1.5, seed: $0) }
        #expect(try answer(options(1)) == answer(options(1)))
        #expect(try Set((0..<4).map { try answer(options($0)) }).count > 1)
    }

    @Test func aVerySmallShareOfProbabilityIsGreedy() throws {
        let greedy = try answer(GenerationOptions(maxTokens: 12))
        #expect(try answer(GenerationOptions(maxTokens: 12, temperature: 1.5, topP: 1e-6, seed: 3)) == greedy)
        #expect(try answer(GenerationOptions(maxTokens: 12, temperature: 1e-4, seed: 3)) == greedy)
    }

    /// The model has 21 rows more than the tokenizer has ids; at a high temperature they would be drawn now and then.
    @Test func rowsThatTheTokenizerDoesNotKnowAreNeverDrawn() throws {
        let session = try TinyModel.session()
        let picture = try session.encode("china", 128)
        let known = session.model.prepared.tokenizer
        #expect(!known.isKnown(1003))
        for seed in 0..<20 {
            let options = GenerationOptions(maxTokens: 60, temperature: 100, seed: UInt64(seed))
            let said = try session.answer("What is there?", about: picture, options: options).tokens
            #expect(said.allSatisfy(known.isKnown))
        }
    }

    @Test func anAnswerEndsAtTheStopToken() throws {
        let session = try TinyModel.session()
        let picture = try session.encode("china", 128)
        let stops = session.model.prepared.tokenizer.stopTokens
        // At this temperature nearly every row is equally likely, so that a stop token comes soon.
        var ended: Generation?
        for seed in 0..<200 where ended == nil {
            let options = GenerationOptions(maxTokens: 100, temperature: 100, seed: UInt64(seed))
            let generation = try session.answer("What is there?", about: picture, options: options)
            if generation.finishReason == .stop { ended = generation }
        }
        let generation = try #require(ended)
        #expect(generation.tokens.last.map(stops.contains) == true)
        #expect(!generation.tokens.dropLast().contains(where: stops.contains))
        #expect(!generation.text.contains("<|"))
    }
}
