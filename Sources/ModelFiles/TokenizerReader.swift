/// Gathers a tokenizer from its public files, whatever their order: vocabulary, merges, added tokens.
///
/// There each byte of a token is written as one character: printable Latin-1 bytes as themselves, the other 68 as
/// U+0100 and up in ascending order (GPT-2's `bytes_to_unicode`).
struct TokenizerReader {
    let source: TokenizerSource

    private var vocabulary = TokenizerVocabulary()

    /// Entries of the vocabulary in other characters: they must be added tokens.
    private var foreign: [Int: String] = [:]

    /// The parts of the merges, left and right in turn: all bytes, and the count of each part's.
    private var mergeBytes: [UInt8] = []
    private var mergeLengths: [UInt16] = []

    private var piece: [UInt8] = []
    private var text: [UInt8] = []

    init(source: TokenizerSource) {
        self.source = source
    }

    /// Reads an object of texts and ids.
    mutating func readVocabulary(_ scanner: inout JSONScanner) throws(ModelFileError) {
        var key: [UInt8] = []
        try scanner.object(keyBytes: &key) { scanner, key throws(ModelFileError) in
            let id = try scanner.unsigned()
            if decodePiece(key[...]) {
                try vocabulary.define(id, as: piece, in: source)
            } else if let text = String(validating: key, as: UTF8.self), foreign.updateValue(text, forKey: id) == nil {
                return
            } else {
                throw source.invalid("the token with id \(id) is not UTF-8, or there twice")
            }
        }
    }

    /// Reads an array of merges, each `["left", "right"]` or, as older files have it, `"left right"`.
    mutating func readMerges(_ scanner: inout JSONScanner) throws(ModelFileError) {
        try scanner.array { scanner throws(ModelFileError) in
            if scanner.isString() {
                try scanner.string(into: &text)
                return try addMerge(text[...])
            }
            var parts = 0
            try scanner.array { scanner throws(ModelFileError) in
                try scanner.string(into: &text)
                try addMergePart(text[...])
                parts += 1
            }
            guard parts == 2 else { throw scanner.failure("a merge of \(parts) parts, expected 2") }
        }
    }

    /// Reads lines of merges, after an optional first line with a version.
    mutating func readMerges(lines: [UInt8]) throws(ModelFileError) {
        for line in lines.split(separator: UInt8(ascii: "\n")) {
            let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            if line.isEmpty || line.starts(with: Array("#version".utf8)) { continue }
            try addMerge(line)
        }
    }

    private mutating func addMerge(_ merge: ArraySlice<UInt8>) throws(ModelFileError) {
        guard let space = merge.firstIndex(of: UInt8(ascii: " ")) else {
            throw source.invalid("merge \(mergeLengths.count / 2) has one part, expected 2")
        }
        try addMergePart(merge[..<space])
        try addMergePart(merge[(space + 1)...])
    }

    private mutating func addMergePart(_ part: ArraySlice<UInt8>) throws(ModelFileError) {
        guard decodePiece(part), !piece.isEmpty, piece.count <= TokenizerVocabulary.maximumPieceByteCount else {
            throw source.invalid(
                "merge \(mergeLengths.count / 2) has the part '\(String(decoding: part.prefix(100), as: UTF8.self))', "
                    + "expected a token of bytes")
        }
        mergeBytes.append(contentsOf: piece)
        mergeLengths.append(UInt16(piece.count))
    }

    // MARK: - The whole

    /// The tokenizer of all that was read, and of `added`, whose `isPiece` is set here.
    ///
    /// - Throws: `tokenizerInvalid` for merges of or to unknown tokens, and as `Tokenizer.init`.
    mutating func tokenizer(added: [TokenizerAddedToken]) throws(ModelFileError) -> Tokenizer {
        let index = try TokenizerPieceIndex(vocabulary, source: source)
        var added = added
        for place in added.indices {
            let token = added[place]
            guard decodePiece(Array(token.content.utf8)[...]), let id = index.id(of: piece[...], in: vocabulary)
            else { continue }
            guard id == token.id else {
                throw source.invalid(
                    "the added token '\(token.content)' has the id \(token.id), in the vocabulary it has \(id)")
            }
            added[place].isPiece = true
        }
        let addedTexts = Dictionary(added.map { ($0.id, $0.content) }) { first, _ in first }
        if let (id, text) = foreign.sorted(by: { $0.key < $1.key }).first(where: { addedTexts[$0.key] != $0.value }) {
            throw source.invalid("token \(id), '\(text)', has a character that stands for no byte")
        }
        return try Tokenizer(vocabulary: vocabulary, merges: resolve(index), added: added, source: source)
    }

    private func resolve(_ index: TokenizerPieceIndex) throws(ModelFileError) -> [BytePairMerge] {
        var merges: [BytePairMerge] = []
        merges.reserveCapacity(mergeLengths.count / 2)
        var start = 0
        for place in stride(from: 0, to: mergeLengths.count - 1, by: 2) {
            let middle = start + Int(mergeLengths[place])
            let end = middle + Int(mergeLengths[place + 1])
            guard let left = index.id(of: mergeBytes[start..<middle], in: vocabulary),
                let right = index.id(of: mergeBytes[middle..<end], in: vocabulary),
                let merged = index.id(of: mergeBytes[start..<end], in: vocabulary)
            else {
                throw source.invalid(
                    "merge \(place / 2) joins '\(String(decoding: mergeBytes[start..<middle], as: UTF8.self))' and "
                        + "'\(String(decoding: mergeBytes[middle..<end], as: UTF8.self))', expected both and the whole "
                        + "in the vocabulary")
            }
            merges.append(BytePairMerge(left: UInt32(left), right: UInt32(right), merged: UInt32(merged)))
            start = end
        }
        return merges
    }

    // MARK: - The alphabet

    /// The byte that each character up to U+0143 stands for; -1 for none.
    private static let alphabet: [Int16] = {
        var table = [Int16](repeating: -1, count: 0x144)
        var next = 0x100
        for byte in 0..<0x100 {
            switch byte {
            case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: table[byte] = Int16(byte)
            default:
                table[next] = Int16(byte)
                next += 1
            }
        }
        return table
    }()

    /// Sets `piece` to the bytes that `text` stands for; false if it has another character.
    private mutating func decodePiece(_ text: ArraySlice<UInt8>) -> Bool {
        piece.removeAll(keepingCapacity: true)
        var place = text.startIndex
        while place < text.endIndex {
            var character = Int(text[place])
            place += 1
            if character >= 0x80 {
                guard 0xC2...0xC5 ~= character, place < text.endIndex, text[place] & 0xC0 == 0x80 else { return false }
                character = (character & 0x1F) << 6 | Int(text[place] & 0x3F)
                place += 1
            }
            guard character < Self.alphabet.count, Self.alphabet[character] >= 0 else { return false }
            piece.append(UInt8(Self.alphabet[character]))
        }
        return true
    }
}
