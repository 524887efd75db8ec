/// The compact form of a tokenizer, as packed model files hold it: a megabyte for Qwen2.
///
/// Numbers are LEB128 varints of at most five bytes.
///
///     "FVTK", version (1 byte)
///     count of stored tokens, of merges, of added tokens
///     stored token:  id - previous id - 1, count of bytes, bytes              ascending; those that no merge gives
///     merge:         zigzag(merged - previous merged - 1), left, right        in order of rank
///     added token:   id, flags (1 byte), count of bytes, bytes                ascending
///     FNV-1a of all bytes before it, 64 bits, little-endian
///
/// A merge gives its token the bytes of left and right; both have theirs by then. A later merge to the same token must
/// agree. "Previous" is -1 at first.
extension Tokenizer {
    static let compactMagic = Array("FVTK".utf8)
    static let compactVersion: UInt8 = 1
    private static let checksumByteCount = 8

    private struct AddedFlags: OptionSet {
        let rawValue: UInt8
        static let special = AddedFlags(rawValue: 1)
        static let normalized = AddedFlags(rawValue: 2)
        static let piece = AddedFlags(rawValue: 4)
        static let all: AddedFlags = [.special, .normalized, .piece]
    }

    /// The tokenizer in its compact form. The same tokenizer always gives the same bytes.
    public func compactBytes() -> [UInt8] {
        let stored = storedTokens()
        var bytes = Self.compactMagic + [Self.compactVersion]
        for count in [stored.count, encoder.merges.count, addedTokens.tokens.count] {
            Self.append(UInt32(count), to: &bytes)
        }
        var previous = -1
        for id in stored {
            Self.append(UInt32(id - previous - 1), to: &bytes)
            previous = id
            Self.append(UInt32(vocabulary.byteCount(of: id)), to: &bytes)
            bytes.append(contentsOf: vocabulary.bytes(of: id))
        }
        var expected: Int32 = 0
        for merge in encoder.merges {
            let distance = Int32(merge.merged) - expected
            Self.append(UInt32(bitPattern: distance << 1 ^ distance >> 31), to: &bytes)
            Self.append(merge.left, to: &bytes)
            Self.append(merge.right, to: &bytes)
            expected = Int32(merge.merged) + 1
        }
        for token in addedTokens.tokens {
            var flags: AddedFlags = []
            if token.isSpecial { flags.insert(.special) }
            if token.isNormalized { flags.insert(.normalized) }
            if token.isPiece { flags.insert(.piece) }
            Self.append(UInt32(token.id), to: &bytes)
            bytes.append(flags.rawValue)
            Self.append(UInt32(token.content.utf8.count), to: &bytes)
            bytes.append(contentsOf: token.content.utf8)
        }
        let checksum = Self.checksum(bytes[...])
        for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: checksum >> shift)) }
        return bytes
    }

    /// Reads a compact form.
    ///
    /// - Throws: `newerVersion` for a form of a later program, `tokenizerInvalid` for damaged bytes.
    public init(compact bytes: [UInt8]) throws(ModelFileError) {
        let source = TokenizerSource("the model's tokenizer")
        var reader = try Self.compactReader(bytes, source: source)
        let storedCount = try reader.count(bytesEach: 3)
        let mergeCount = try reader.count(bytesEach: 3)
        let addedCount = try reader.count(bytesEach: 4)

        var vocabulary = TokenizerVocabulary()
        vocabulary.reserve(tokens: storedCount + mergeCount, bytes: bytes.count)
        var next = 0
        for _ in 0..<storedCount {
            let id = try next + reader.number()
            try vocabulary.define(id, as: Array(reader.text()), in: source)
            next = id + 1
        }
        var merges: [BytePairMerge] = []
        merges.reserveCapacity(mergeCount)
        next = 0
        for rank in 0..<mergeCount {
            let zigzag = try reader.number()
            let merged = next + (zigzag >> 1 ^ -(zigzag & 1))
            let left = try reader.number()
            let right = try reader.number()
            guard vocabulary.isKnown(left), vocabulary.isKnown(right) else {
                throw source.invalid("merge \(rank) joins \(left) and \(right), expected known tokens")
            }
            if !vocabulary.isKnown(merged) {
                try vocabulary.define(merged, joining: left, right, in: source)
            } else if !vocabulary.joins(left, right, to: merged) {
                throw source.invalid("merge \(rank) gives the token \(merged) other bytes than it has")
            }
            merges.append(BytePairMerge(left: UInt32(left), right: UInt32(right), merged: UInt32(merged)))
            next = merged + 1
        }
        var added: [TokenizerAddedToken] = []
        for _ in 0..<addedCount {
            let id = try reader.number()
            let flags = AddedFlags(rawValue: try reader.byte())
            guard AddedFlags.all.isSuperset(of: flags) else {
                throw source.invalid("the added token \(id) has flags \(flags.rawValue)")
            }
            guard let content = String(validating: try reader.text(), as: UTF8.self) else {
                throw source.invalid("the added token \(id) is not UTF-8")
            }
            added.append(
                TokenizerAddedToken(
                    id: id, content: content, isSpecial: flags.contains(.special),
                    isNormalized: flags.contains(.normalized), isPiece: flags.contains(.piece)))
        }
        guard reader.isAtEnd else { throw source.invalid("unexpected bytes after the added tokens") }
        try self.init(vocabulary: vocabulary, merges: merges, added: added, source: source)
    }

    /// The ids whose bytes are stored: those that no merge gives in time.
    private func storedTokens() -> [Int] {
        let count = vocabulary.tokenCount
        var isMade = [Bool](repeating: false, count: count)
        for merge in encoder.merges { isMade[Int(merge.merged)] = true }
        var isStored = (0..<count).map { vocabulary.isKnown($0) && !isMade[$0] }
        for token in addedTokens.tokens where !token.isPiece { isStored[token.id] = false }
        var isThere = isStored
        for merge in encoder.merges {
            for part in [Int(merge.left), Int(merge.right)] where !isThere[part] {
                isThere[part] = true
                isStored[part] = true
            }
            isThere[Int(merge.merged)] = true
        }
        return isStored.indices.filter { isStored[$0] }
    }

    // MARK: - Bytes

    /// A reader of what lies between version and checksum.
    private static func compactReader(
        _ bytes: [UInt8], source: TokenizerSource
    ) throws(ModelFileError) -> CompactReader {
        let start = compactMagic.count + 1
        guard bytes.starts(with: compactMagic), bytes.count >= start + checksumByteCount else {
            throw source.invalid("\(bytes.count) bytes that do not begin like one")
        }
        guard bytes[start - 1] <= compactVersion else {
            throw ModelFileError(
                .newerVersion,
                "Cannot read \(source.subject): version \(bytes[start - 1]), expected at most \(compactVersion). "
                    + "Install a newer fastvlmd, or pack the model again.")
        }
        let content = bytes.dropLast(checksumByteCount)
        let stated = bytes.suffix(checksumByteCount).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard checksum(content) == stated, bytes[start - 1] == compactVersion else {
            throw source.invalid("its checksum does not match: it is damaged")
        }
        return CompactReader(bytes: content.dropFirst(start), source: source)
    }

    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
    }

    private static func append(_ value: UInt32, to bytes: inout [UInt8]) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7F) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }
}

/// Reads the numbers and texts of a compact form; never past its end.
private struct CompactReader {
    private let bytes: ArraySlice<UInt8>
    private var position: Int
    private let source: TokenizerSource

    init(bytes: ArraySlice<UInt8>, source: TokenizerSource) {
        self.bytes = bytes
        position = bytes.startIndex
        self.source = source
    }

    var isAtEnd: Bool { position == bytes.endIndex }

    mutating func byte() throws(ModelFileError) -> UInt8 {
        guard position < bytes.endIndex else { throw source.invalid("it ends too early") }
        defer { position += 1 }
        return bytes[position]
    }

    /// A number from 0 to 2^35 - 1.
    mutating func number() throws(ModelFileError) -> Int {
        var value = 0
        for shift in stride(from: 0, to: 35, by: 7) {
            let next = try byte()
            value |= Int(next & 0x7F) << shift
            if next < 0x80 { return value }
        }
        throw source.invalid("a number has more than five bytes")
    }

    /// How many things follow, each of at least `bytesEach` bytes, so that a lie cannot ask for memory.
    mutating func count(bytesEach: Int) throws(ModelFileError) -> Int {
        let count = try number()
        guard count <= (bytes.endIndex - position) / bytesEach else { throw source.invalid("it ends too early") }
        return count
    }

    /// Bytes with their count before them.
    mutating func text() throws(ModelFileError) -> ArraySlice<UInt8> {
        let count = try number()
        guard count <= bytes.endIndex - position else { throw source.invalid("it ends too early") }
        defer { position += count }
        return bytes[position..<(position + count)]
    }
}
