/// A token beside the vocabulary: matched in the text as a whole, before anything else happens to it.
struct TokenizerAddedToken: Sendable, Equatable {
    let id: Int
    let content: String

    /// Steers the model: matched only where special tokens are parsed, and left out of answers.
    let isSpecial: Bool

    /// Matched after normalization, not before; without meaning for special tokens, which are always matched before.
    let isNormalized: Bool

    /// True if the vocabulary has the same text under the same id.
    var isPiece = false
}

/// The added tokens of a tokenizer, ready to be found in text.
struct TokenizerAddedTokens: Sendable {
    /// Most added tokens.
    static let maximumCount = 1 << 16

    let tokens: [TokenizerAddedToken]
    let special: Set<Int>

    /// All tokens that are matched before normalization, and the same without the special ones.
    let everywhere: TokenizerMatcher
    let inPlainText: TokenizerMatcher

    /// The tokens that are matched after normalization.
    let normalized: TokenizerMatcher

    init(_ tokens: [TokenizerAddedToken]) {
        self.tokens = tokens.sorted { $0.id < $1.id }
        special = Set(tokens.lazy.filter(\.isSpecial).map(\.id))
        let raw = tokens.filter { $0.isSpecial || !$0.isNormalized }
        everywhere = TokenizerMatcher(raw.map { (Array($0.content.utf8), $0.id) })
        inPlainText = TokenizerMatcher(raw.filter { !$0.isSpecial }.map { (Array($0.content.utf8), $0.id) })
        normalized = TokenizerMatcher(
            tokens.filter { !$0.isSpecial && $0.isNormalized }
                .map { (TokenizerNormalization.nfc(Array($0.content.utf8)), $0.id) })
    }
}

/// Finds the longest of many patterns at each place of a text.
struct TokenizerMatcher: Sendable {
    /// The patterns in ascending order, none empty, each once.
    private let patterns: [(bytes: [UInt8], id: Int)]
    private let firstBytes: [Bool]

    init(_ patterns: [(bytes: [UInt8], id: Int)]) {
        self.patterns = patterns.filter { !$0.bytes.isEmpty }.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
        var firstBytes = [Bool](repeating: false, count: 256)
        for pattern in self.patterns { firstBytes[Int(pattern.bytes[0])] = true }
        self.firstBytes = firstBytes
    }

    /// Cuts `text` at its matches, from left to right, and hands on each stretch of text between them (never empty)
    /// and each match.
    func split(_ text: [UInt8], text onText: (ArraySlice<UInt8>) -> Void, match onMatch: (Int) -> Void) {
        var start = 0
        var place = 0
        while !patterns.isEmpty, place < text.count {
            guard firstBytes[Int(text[place])], let match = longestMatch(in: text, at: place) else {
                place += 1
                continue
            }
            if start < place { onText(text[start..<place]) }
            onMatch(match.id)
            place = match.end
            start = place
        }
        if start < text.count { onText(text[start...]) }
    }

    /// Narrows the patterns byte by byte to those that the text begins with.
    private func longestMatch(in text: [UInt8], at place: Int) -> (id: Int, end: Int)? {
        var found: (id: Int, end: Int)?
        var candidates = patterns.startIndex..<patterns.endIndex
        var depth = 0
        while let first = candidates.first {
            if patterns[first].bytes.count == depth {
                found = (patterns[first].id, place + depth)
                candidates.removeFirst()
            }
            guard place + depth < text.count else { break }
            let byte = text[place + depth]
            let lower = partition(candidates) { $0[depth] >= byte }
            candidates = lower..<partition(lower..<candidates.endIndex) { $0[depth] > byte }
            depth += 1
        }
        return found
    }

    /// The first of `candidates` that satisfies `isAbove`, which none before it does.
    private func partition(_ candidates: Range<Int>, _ isAbove: ([UInt8]) -> Bool) -> Int {
        var lower = candidates.lowerBound
        var upper = candidates.upperBound
        while lower < upper {
            let middle = lower + (upper - lower) / 2
            if isAbove(patterns[middle].bytes) { upper = middle } else { lower = middle + 1 }
        }
        return lower
    }
}
