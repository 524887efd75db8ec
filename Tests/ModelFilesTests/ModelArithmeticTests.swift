import ModelFiles
import Testing

/// The published sizes of the 0.5B model: its encoder takes 243 GMAC at 1024 pixels.
private let half = ModelConfiguration(
    vision: ModelConfiguration.Vision(
        embedDims: [96, 192, 384, 768, 1536], depths: [2, 12, 24, 4, 2],
        attentionStages: [false, false, false, true, true], positionStages: [false, false, false, true, true],
        squeezeWidth: 192),
    text: ModelConfiguration.Text(
        hiddenSize: 896, intermediateSize: 4864, layerCount: 24, headCount: 14, keyValueHeadCount: 2, headDim: 64,
        vocabularySize: 151_936, ropeTheta: 1e6, rmsNormEpsilon: 1e-6, maxPositions: 32768))

@Suite struct ModelArithmeticTests {
    /// The projector's share, which the published figure leaves out: 256 rows of two layers.
    private let projector = 256 * 896 * (3072 + 896)

    private func tenths(_ count: Int) -> Double { (Double(count) / 1e8).rounded() / 10 }

    @Test func theEncoderTakesThePublishedArithmetic() {
        let sum = half.visionArithmetic(width: 1024, height: 1024)
        #expect(sum.dense == 679_477_248)
        #expect(sum.depthwise == 5_711_855_616)
        #expect(sum.attention == 6_845_104_128)
        #expect(sum.products == 230_117_474_304 + projector)
        #expect(tenths(sum.total - projector) == 243.4)
    }

    @Test func aSideThatIsNoMultipleCountsWholePixelsUpwards() {
        // 65 pixels give 33, 17, 9, 5, 3 and 2, exactly as 72 give 36, 18, 9, 5, 3 and 2 from the third on.
        let odd = half.visionArithmetic(width: 65, height: 65)
        let even = half.visionArithmetic(width: 66, height: 66)
        #expect(odd == even)
        #expect(odd.dense == 33 * 33 * 27 * 96)
        #expect(half.visionArithmetic(width: 64, height: 128) == half.visionArithmetic(width: 128, height: 64))
    }

    @Test func productsGrowWithPixelsAndAttentionWithTheirSquare() {
        let small = half.visionArithmetic(width: 512, height: 512)
        let large = half.visionArithmetic(width: 1024, height: 1024)
        #expect(large.attention == 16 * small.attention)
        #expect(large.depthwise == 4 * small.depthwise)
        // The squeeze-excite's products do not depend on the picture's size.
        let squeeze = 2 * 3072 * 192
        #expect(large.products - squeeze == 4 * (small.products - squeeze))
    }

    @Test func aTokenReadsEveryWeightOnce() {
        let layer = 896 * 896 * 2 + 2 * 128 * 896 + 3 * 4864 * 896
        let one = half.textArithmetic(tokens: 1, context: 94)
        #expect(one.products == 24 * layer + 151_936 * 896)
        #expect(one.attention == 24 * 2 * 95 * 896)
        #expect(one.depthwise == 0 && one.dense == 0)
        let prompt = half.textArithmetic(tokens: 286)
        #expect(prompt.products == 286 * 24 * layer + 151_936 * 896)
        #expect(prompt.attention == 24 * 2 * (286 * 287 / 2) * 896)
    }

    @Test func aPromptInTwoPartsAttendsAsOneWhole() {
        let whole = half.textArithmetic(tokens: 94)
        let parts = half.textArithmetic(tokens: 40) + half.textArithmetic(tokens: 54, context: 40)
        #expect(parts.attention == whole.attention)
        #expect(parts.products == whole.products + 151_936 * 896)
    }
}
