/// How an answer is generated.
public struct GenerationOptions: Sendable, Equatable {
    /// The most tokens to generate. The default is 240, as in Apple's own app.
    public var maxTokens: Int
    /// 0 takes the likeliest token each time; above, logits are divided by it and a token is drawn. The
    /// default is 0.
    public var temperature: Double
    /// Draws from the smallest set of tokens that holds this share of the probability, 0...1. The default is
    /// 1: all of them.
    public var topP: Double
    /// Where the draws begin: the same seed gives the same answer. The default is 0.
    public var seed: UInt64

    public init(maxTokens: Int = 240, temperature: Double = 0, topP: Double = 1, seed: UInt64 = 0) {
        self.maxTokens = maxTokens
        self.temperature = temperature
        self.topP = topP
        self.seed = seed
    }
}

/// Why an answer ended.
public enum FinishReason: String, Sendable, Codable, Equatable {
    /// The model said that it had finished.
    case stop
    /// The token limit was reached, or the caller's closure said so.
    case length
}

/// A finished answer.
public struct Generation: Sendable, Equatable {
    /// Everything that was said, without special tokens.
    public let text: String
    /// The ids that were generated, the stop token included.
    public let tokens: [Int]
    /// Tokens of the whole prompt, the picture's rows included.
    public let promptTokens: Int
    /// Of these, the ones that an earlier question had already left in the cache.
    public let cachedTokens: Int
    public let finishReason: FinishReason
}
