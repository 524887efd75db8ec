/// The bytes of every token: one pool, with each id's place in it.
struct TokenizerVocabulary: Sendable, Equatable {
    /// Most ids, so that one large id in a small file cannot ask for much memory; Qwen2 has 151,646.
    static let maximumTokenCount = 1 << 20

    /// Most bytes of one token; Qwen2's longest has 128.
    static let maximumPieceByteCount = 4_096

    /// Most bytes of all tokens together; Qwen2 has 1 MB.
    static let maximumByteCount = 32 << 20

    private var pool: [UInt8] = []
    private var starts: [UInt32] = []
    private var lengths: [UInt16] = []

    /// The largest id + 1.
    var tokenCount: Int { starts.count }

    /// True if `id` is the id of a token.
    func isKnown(_ id: Int) -> Bool {
        lengths.indices.contains(id) && lengths[id] > 0
    }

    /// The bytes of token `id`; empty if it is unknown.
    func bytes(of id: Int) -> ArraySlice<UInt8> {
        guard lengths.indices.contains(id) else { return [] }
        let start = Int(starts[id])
        return pool[start..<(start + Int(lengths[id]))]
    }

    func byteCount(of id: Int) -> Int {
        lengths.indices.contains(id) ? Int(lengths[id]) : 0
    }

    /// The bytes of a token, and no other bytes, have an id.
    func id(of bytes: [UInt8]) -> Int? {
        guard !bytes.isEmpty else { return nil }
        return lengths.indices.first { Int(lengths[$0]) == bytes.count && self.bytes(of: $0).elementsEqual(bytes) }
    }

    mutating func reserve(tokens: Int, bytes: Int) {
        starts.reserveCapacity(tokens)
        lengths.reserveCapacity(tokens)
        pool.reserveCapacity(bytes)
    }

    /// Gives `id` the bytes `piece`.
    ///
    /// - Throws: `tokenizerInvalid` for an id or a length out of range, and for an id that is taken.
    mutating func define(_ id: Int, as piece: [UInt8], in source: TokenizerSource) throws(ModelFileError) {
        try open(id, byteCount: piece.count, in: source)
        pool.append(contentsOf: piece)
    }

    /// Gives `id` the bytes of `left` and then of `right`, both known.
    ///
    /// - Throws: as `define`.
    mutating func define(
        _ id: Int, joining left: Int, _ right: Int, in source: TokenizerSource
    ) throws(ModelFileError) {
        try open(id, byteCount: byteCount(of: left) + byteCount(of: right), in: source)
        for part in [left, right] {
            let start = Int(starts[part])
            for place in start..<(start + Int(lengths[part])) {
                pool.append(pool[place])
            }
        }
    }

    /// True if the bytes of `id` are those of `left` and then of `right`.
    func joins(_ left: Int, _ right: Int, to id: Int) -> Bool {
        let whole = bytes(of: id)
        let first = bytes(of: left)
        let second = bytes(of: right)
        return whole.count == first.count + second.count && whole.starts(with: first)
            && whole.dropFirst(first.count).elementsEqual(second)
    }

    private mutating func open(_ id: Int, byteCount: Int, in source: TokenizerSource) throws(ModelFileError) {
        guard (0..<Self.maximumTokenCount).contains(id) else {
            throw source.invalid("id \(id), expected at most \(Self.maximumTokenCount - 1)")
        }
        guard (1...Self.maximumPieceByteCount).contains(byteCount) else {
            throw source.invalid(
                "token \(id) has \(byteCount) bytes, expected 1 to \(Self.maximumPieceByteCount)")
        }
        guard pool.count + byteCount <= Self.maximumByteCount else {
            throw source.invalid("the tokens have more than \(Self.maximumByteCount) bytes in total")
        }
        guard !isKnown(id) else { throw source.invalid("two tokens have the id \(id)") }
        if id >= starts.count {
            let missing = id + 1 - starts.count
            starts.append(contentsOf: repeatElement(0, count: missing))
            lengths.append(contentsOf: repeatElement(0, count: missing))
        }
        starts[id] = UInt32(pool.count)
        lengths[id] = UInt16(byteCount)
    }

    static func == (first: Self, second: Self) -> Bool {
        first.tokenCount == second.tokenCount
            && (0..<first.tokenCount).allSatisfy { first.bytes(of: $0) == second.bytes(of: $0) }
    }
}

/// What a tokenizer is read from, for the words of an error.
struct TokenizerSource {
    /// As it follows "Cannot read ".
    let subject: String

    init(_ subject: String) {
        self.subject = subject
    }

    func invalid(_ problem: String) -> ModelFileError {
        ModelFileError(.tokenizerInvalid, "Cannot read \(subject): \(problem). Fetch the tokenizer again.")
    }

    /// - Parameters:
    ///   - what: the part that is not supported, and its value.
    ///   - expected: what is.
    func unsupported(_ what: String, expected: String) -> ModelFileError {
        ModelFileError(
            .tokenizerUnsupported,
            "Cannot use \(subject): \(what), expected \(expected). Only tokenizers of the Qwen2 kind are supported.")
    }
}
