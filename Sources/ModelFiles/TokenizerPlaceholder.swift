/// The tokenizer's interface until its body is in place.
public struct Tokenizer: Sendable {
    public init(directory: String) throws(ModelFileError) {}
    public init(compact: [UInt8]) throws(ModelFileError) {}
    public func compactBytes() -> [UInt8] { [] }
    public var tokenCount: Int { 0 }
    public var specialTokens: [String: Int] { [:] }
    public var stopTokens: Set<Int> { [] }
    public func isKnown(_ id: Int) -> Bool { true }
    public func makeStreamDecoder(skippingSpecialTokens: Bool) -> TokenStreamDecoder { TokenStreamDecoder() }
}

public struct TokenStreamDecoder {
    public mutating func push(_ id: Int) -> String { "" }
    public mutating func finish() -> String { "" }
}

public struct PromptTemplate: Sendable, Equatable, Codable {
    public init() {}

    public func promptTokens(question: String, tokenizer: Tokenizer) -> (before: [Int], after: [Int]) { ([], []) }
}
