/// Finds ids by bytes while a tokenizer is read: a hash table of ids with open addressing.
///
/// A dictionary of strings would take several times as long for the half a million look-ups of a vocabulary.
struct TokenizerPieceIndex {
    private var slots: [UInt32]
    private let mask: Int
    private static let empty = UInt32.max

    /// An index of all tokens of `vocabulary`.
    ///
    /// - Throws: `tokenizerInvalid` if two ids have the same bytes.
    init(_ vocabulary: TokenizerVocabulary, source: TokenizerSource) throws(ModelFileError) {
        var capacity = 1_024
        while capacity < vocabulary.tokenCount * 2 { capacity *= 2 }
        slots = [UInt32](repeating: Self.empty, count: capacity)
        mask = capacity - 1
        for id in 0..<vocabulary.tokenCount where vocabulary.isKnown(id) {
            let piece = vocabulary.bytes(of: id)
            let (slot, other) = find(piece, in: vocabulary)
            if let other { throw source.invalid("the ids \(other) and \(id) have the same text") }
            slots[slot] = UInt32(id)
        }
    }

    /// The id of the token with the bytes `piece`.
    func id(of piece: ArraySlice<UInt8>, in vocabulary: TokenizerVocabulary) -> Int? {
        find(piece, in: vocabulary).id
    }

    private func find(_ piece: ArraySlice<UInt8>, in vocabulary: TokenizerVocabulary) -> (slot: Int, id: Int?) {
        var slot = Self.hash(piece) & mask
        while slots[slot] != Self.empty {
            let id = Int(slots[slot])
            if vocabulary.byteCount(of: id) == piece.count, vocabulary.bytes(of: id) == piece { return (slot, id) }
            slot = (slot + 1) & mask
        }
        return (slot, nil)
    }

    /// Seeded anew in every process, so that no file can be made of collisions.
    private static func hash(_ piece: ArraySlice<UInt8>) -> Int {
        var hasher = Hasher()
        // Unsafe: the bytes are hashed in one go, during the call.
        piece.withUnsafeBytes { hasher.combine(bytes: $0) }
        return hasher.finalize()
    }
}
