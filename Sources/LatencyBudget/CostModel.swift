/// What a frame costs on an idle device:
/// `T(r, n) = decode + preprocess + encode(r) + prefill(tokens(r) + text) + (n - 1) perToken(context)`, in ms.
///
/// The first token comes with the prefill, so `n` tokens take `n - 1` further steps.
public struct CostModel: Sendable, Equatable, Codable {
    /// Of the source picture's pixels.
    public var decode: CostCurve
    /// Of the pixels that the encoder is given in all its passes.
    public var preprocess: CostCurve
    /// Of the pixels of one pass of the encoder.
    public var encode: CostCurve
    /// Of the tokens that are read, visual ones included.
    public var prefill: CostCurve
    /// One token's step, of the tokens before it.
    public var perToken: CostCurve

    public init(
        decode: CostCurve, preprocess: CostCurve, encode: CostCurve, prefill: CostCurve, perToken: CostCurve
    ) {
        self.decode = decode
        self.preprocess = preprocess
        self.encode = encode
        self.prefill = prefill
        self.perToken = perToken
    }

    /// The source picture that is assumed when its size is not known: 1920 x 1080.
    public static let usualSourcePixels = 1920.0 * 1080.0

    /// The phases of a frame that ends after `tokens` tokens.
    ///
    /// - Parameters:
    ///   - sourcePixels: Of the picture before it is resized.
    ///   - textTokens: Prompt tokens besides the picture's that are not in the cache yet.
    ///   - tokens: Generated tokens.
    public func phases(_ rung: Rung, sourcePixels: Double, textTokens: Int, tokens: Int) -> PhaseTimes {
        let passes = Double(rung.encoderPasses)
        let passPixels = Double(rung.passWidth) * Double(rung.passHeight)
        let read = Double(rung.visualTokens) + Double(textTokens.bounded(to: 0...1_000_000))
        return PhaseTimes(
            decode: decode(sourcePixels), preprocess: preprocess(passes * passPixels),
            vision: passes * encode(passPixels), prefill: prefill(read),
            generate: generation(of: tokens, context: read))
    }

    /// Time from the first of `tokens` tokens to the last, after `context` tokens of prompt.
    public func generation(of tokens: Int, context: Double) -> Double {
        let steps = Double(tokens.bounded(to: 1...1_000_000) - 1)
        // A straight line's mean is its value in the middle.
        return steps * perToken(context + 1 + (steps - 1).asDuration / 2)
    }

    /// The shape of the 0.5B model's cost without any measurement, for a device of 50 GMAC/s and 12.5 GB/s.
    ///
    /// Encoder: 243 GMAC at 1024 x 1024 pixels of which the attention's 6.9 grow with the square. Prefill: 358 million
    /// weights a token. A token: those weights once through memory. A planner without a profile starts from this and
    /// learns one factor for each phase from its first frames.
    public static let nominal = CostModel(
        decode: CostCurve(constant: 2, linear: 6e-6), preprocess: CostCurve(constant: 1, linear: 1.2e-5),
        encode: CostCurve(constant: 10, linear: 4.5e-3, quadratic: 1.25e-10),
        prefill: CostCurve(constant: 10, linear: 7.2, quadratic: 1.5e-3),
        perToken: CostCurve(constant: 29, linear: 4e-3))
}
