import FastVLM
import Kernels
import Testing

/// From a photograph's bytes to token ids. The expected ids are PyTorch's, with the same weights, picture and question
/// (`transformers` FastVlm with timm's `fastvit_mci3`, float32, greedy).
@Suite struct EndToEndTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let photograph: String
        let resolution: Int
        let ids: [Int]
        let text: String
        var testDescription: String { "\(photograph) at \(resolution) px" }
    }

    static let question = "What is in the picture?"
    static let cases = [
        Case(
            photograph: "china", resolution: 192, ids: [350, 867, 756, 263, 82, 147, 425, 57, 962, 247, 617, 146],
            text: "ile/inter GPLths\u{fffd}grZ/sh\u{fffd} SOFTWARE\u{fffd}"),
        Case(
            photograph: "china", resolution: 256, ids: [350, 867, 756, 263, 82, 534, 476, 467, 634, 439, 467, 634],
            text: "ile/inter GPLthsnd/re/madu N/madu"),
        // Not a multiple of 64: every halving rounds up.
        Case(
            photograph: "flower", resolution: 100, ids: [152, 508, 855, 195, 480, 888, 638, 941, 716, 188, 536, 337],
            text: "\u{fffd}/mathURPOSE\u{7}adginissionubli conditions\u{0} d C"),
        Case(
            photograph: "flower", resolution: 320, ids: [350, 739, 867, 3, 421, 464, 285, 48, 624, 978, 821, 704],
            text: "ile_ex/inter$OR/geometry/testQ FORos sourceMA"),
    ]

    @Test(arguments: cases, InstructionSet.allCases.filter(\.isSupported))
    func theIdsArePyTorchs(_ expected: Case, _ instructionSet: InstructionSet) throws {
        let session = try TinyModel.session(instructionSet)
        let picture = try session.encode(expected.photograph, expected.resolution)
        #expect(picture.tokens == FastVLMModel.visualTokens(height: expected.resolution, width: expected.resolution))
        var streamed = ""
        let generation = try session.answer(
            Self.question, about: picture, options: GenerationOptions(maxTokens: 12),
            onText: {
                streamed += $0
                return true
            })
        #expect(generation.tokens == expected.ids)
        #expect(generation.text == expected.text)
        #expect(streamed == expected.text)
        #expect(generation.finishReason == .length)
    }

    @Test(arguments: [1, 2, 3, 7]) func theNumberOfThreadsChangesNothing(_ threads: Int) throws {
        let session = try TinyModel.session(threads: threads)
        let expected = Self.cases[1]
        let picture = try session.encode(expected.photograph, expected.resolution)
        let generation = try session.answer(Self.question, about: picture, options: GenerationOptions(maxTokens: 12))
        #expect(generation.tokens == expected.ids)
    }
}
