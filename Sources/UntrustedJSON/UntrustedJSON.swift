package import FoundationEssentials

extension JSONDecoder {
    /// Deepest nesting of a document from outside: 64 levels. Nothing that is read here has more than 16.
    package static let deepestNesting = 64

    /// As `decode`, for a document that others may have written.
    ///
    /// Foundation's decoder ends the process at some documents that are nested deeper than the 512 levels that it follows,
    /// such as 513 opening brackets and nothing else. It is not shown what is nested deeper than `deepestNesting`.
    ///
    /// - Throws: `DecodingError.dataCorrupted` for such a document, and as `decode`.
    package func decode<Value: Decodable>(
        _ type: Value.Type, fromUntrusted json: some Collection<UInt8>
    ) throws -> Value {
        guard Self.nesting(of: json) <= Self.deepestNesting else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: [], debugDescription: "It is nested deeper than \(Self.deepestNesting) levels."))
        }
        return try decode(type, from: Data(json))
    }

    /// The most brackets that are open at once outside of strings; at least as deep as a decoder goes that stops at the
    /// first mistake.
    private static func nesting(of json: some Collection<UInt8>) -> Int {
        var (level, deepest) = (0, 0)
        var (isString, isEscaped) = (false, false)
        for byte in json {
            if isString {
                isString = isEscaped || byte != UInt8(ascii: "\"")
                isEscaped = !isEscaped && byte == UInt8(ascii: "\\")
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isString = true
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                level += 1
                deepest = max(deepest, level)
            case UInt8(ascii: "]"), UInt8(ascii: "}"): level -= 1
            default: break
            }
        }
        return deepest
    }
}
