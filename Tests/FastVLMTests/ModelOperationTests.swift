import FastVLM
import Kernels
import ModelFiles
import Testing

@Suite struct ModelOperationTests {
    private func sum(_ operations: [ModelOperation]) -> Int { operations.reduce(0) { $0 + $1.count * $1.multiplyAdds } }

    @Test func theDecodersOperationsAreItsWholeArithmetic() throws {
        let model = try TinyModel.load()
        let operations = model.operations(resolution: 128, textTokens: 30)
        let configuration = model.prepared.configuration
        let prefill = operations.filter { $0.name.hasPrefix("prefill") }
        #expect(sum(prefill) == configuration.textArithmetic(tokens: 34).total)
        let decode = operations.filter { $0.name.hasPrefix("decode") }
        #expect(sum(decode) == configuration.textArithmetic(tokens: 1, context: 34).total)
    }

    @Test func theEncodersOperationsAreMostOfItsArithmetic() throws {
        let model = try TinyModel.load()
        let encoder = model.operations(resolution: 256, textTokens: 30).filter {
            !$0.name.hasPrefix("prefill") && !$0.name.hasPrefix("decode")
        }
        // The stem, the positional convolutions and the squeeze-excite are left out.
        let whole = model.prepared.configuration.visionArithmetic(width: 256, height: 256).total
        #expect(sum(encoder) < whole)
        #expect(Double(sum(encoder)) > 0.7 * Double(whole))
    }

    @Test func everyOperationRuns() throws {
        let model = try TinyModel.load()
        let compute = try Compute(pool: try ThreadPool(threads: 2))
        let operations = model.operations(resolution: 65, textTokens: 1)
        for operation in operations { operation.run(compute) }
        #expect(Set(operations.map(\.name)).count == operations.count)
        #expect(operations.contains { $0.kind == .attention } && operations.contains { $0.kind == .depthwise })
    }

    @Test func aTokenReadsEveryMatrixOfTheDecoder() throws {
        let model = try TinyModel.load()
        let text = model.prepared.configuration.text
        #expect(model.decodeWeights.count == 7 * text.layerCount + 1)
        #expect(model.decodeWeights.last?.outputs == text.vocabularySize)
    }
}
