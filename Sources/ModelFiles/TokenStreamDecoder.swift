/// Turns ids into text one by one, whole characters only.
///
/// All that `push` and `finish` return, put together, is what `Tokenizer.decode` gives for the same ids.
public struct TokenStreamDecoder: Sendable {
    private let vocabulary: TokenizerVocabulary
    private let skipped: Set<Int>

    /// The bytes of a character that has begun; at most three.
    private var pending: [UInt8] = []

    init(vocabulary: TokenizerVocabulary, skipped: Set<Int>) {
        self.vocabulary = vocabulary
        self.skipped = skipped
    }

    /// Takes the next id and returns the text that is certain now, possibly empty.
    ///
    /// An id that the tokenizer does not know has no text. Bytes that cannot become a character are U+FFFD.
    public mutating func push(_ id: Int) -> String {
        guard !skipped.contains(id) else { return "" }
        pending.append(contentsOf: vocabulary.bytes(of: id))
        let whole = pending.count - Self.unfinishedByteCount(pending)
        guard whole > 0 else { return "" }
        let text = String(decoding: pending[..<whole], as: UTF8.self)
        pending.removeSubrange(..<whole)
        return text
    }

    /// Ends the text: a character that was begun and never finished is U+FFFD.
    public mutating func finish() -> String {
        defer { pending.removeAll() }
        return String(decoding: pending, as: UTF8.self)
    }

    /// How many bytes at the end of `bytes` begin a character that further bytes can finish.
    private static func unfinishedByteCount(_ bytes: [UInt8]) -> Int {
        let continuation: ClosedRange<UInt8> = 0x80...0xBF
        for count in 1...3 {
            guard count <= bytes.count else { return 0 }
            let lead = bytes[bytes.count - count]
            if continuation.contains(lead) { continue }
            let (width, second): (Int, ClosedRange<UInt8>) =
                switch lead {
                case 0xC2...0xDF: (2, continuation)
                case 0xE0: (3, 0xA0...0xBF)
                case 0xED: (3, 0x80...0x9F)
                case 0xE1...0xEF: (3, continuation)
                case 0xF0: (4, 0x90...0xBF)
                case 0xF1...0xF3: (4, continuation)
                case 0xF4: (4, 0x80...0x8F)
                default: (1, continuation)
                }
            guard count < width, count == 1 || second.contains(bytes[bytes.count - count + 1]) else { return 0 }
            return count
        }
        return 0
    }
}
