/// One rule of byte pair encoding: `left` followed by `right` becomes `merged`.
struct BytePairMerge: Sendable, Equatable {
    let left: UInt32
    let right: UInt32
    let merged: UInt32
}

/// Byte pair encoding: bytes become ids by merging neighbours, always the pair whose rule comes first in the list, and
/// of equal pairs the leftmost.
struct BytePairEncoder: Sendable {
    /// The rules in the order of their rank.
    let merges: [BytePairMerge]

    /// The id of each byte.
    private let byteIDs: [UInt32]

    /// Ranks by pair: those of left id `l` lie at `firsts[l]..<firsts[l + 1]`, ascending by `rights`. A hash table
    /// would answer faster but take twice the memory, for prompts of some hundred bytes.
    private let firsts: [UInt32]
    private let rights: [UInt32]
    private let ranks: [UInt32]

    private static let noRank = UInt32.max

    /// - Parameter merges: pairs of ids of `vocabulary`, joined to ids of `vocabulary`.
    /// - Throws: `tokenizerInvalid` if a byte has no id, or a pair has two rules.
    init(
        merges: [BytePairMerge], vocabulary: TokenizerVocabulary, source: TokenizerSource
    ) throws(ModelFileError) {
        self.merges = merges
        byteIDs = try Self.byteIDs(vocabulary, source: source)

        // Sorted by counting, first by right and then, keeping that order, by left.
        let idCount = vocabulary.tokenCount
        var places = [UInt32](repeating: 0, count: idCount + 1)
        for merge in merges { places[Int(merge.right) + 1] += 1 }
        for id in 0..<idCount { places[id + 1] += places[id] }
        var byRight = [UInt32](repeating: 0, count: merges.count)
        for (rank, merge) in merges.enumerated() {
            byRight[Int(places[Int(merge.right)])] = UInt32(rank)
            places[Int(merge.right)] += 1
        }
        var firsts = [UInt32](repeating: 0, count: idCount + 1)
        for merge in merges { firsts[Int(merge.left) + 1] += 1 }
        for id in 0..<idCount { firsts[id + 1] += firsts[id] }
        places = firsts
        var rights = [UInt32](repeating: 0, count: merges.count)
        var ranks = rights
        for rank in byRight {
            let merge = merges[Int(rank)]
            let place = Int(places[Int(merge.left)])
            places[Int(merge.left)] += 1
            rights[place] = merge.right
            ranks[place] = rank
            if place > firsts[Int(merge.left)], rights[place - 1] == merge.right {
                throw source.invalid("merges \(ranks[place - 1]) and \(rank) join the same pair")
            }
        }
        self.firsts = firsts
        self.rights = rights
        self.ranks = ranks
    }

    private static func byteIDs(
        _ vocabulary: TokenizerVocabulary, source: TokenizerSource
    ) throws(ModelFileError) -> [UInt32] {
        var ids = [UInt32](repeating: .max, count: 256)
        for id in 0..<vocabulary.tokenCount where vocabulary.byteCount(of: id) == 1 {
            for byte in vocabulary.bytes(of: id) { ids[Int(byte)] = UInt32(id) }
        }
        if let missing = ids.firstIndex(of: .max) {
            throw source.invalid("byte \(missing) has no token, expected one for each of the 256 bytes")
        }
        return ids
    }

    /// The rank of the rule for `left` and `right`; `noRank` if there is none.
    private func rank(_ left: UInt32, _ right: UInt32) -> UInt32 {
        var lower = Int(firsts[Int(left)])
        let end = Int(firsts[Int(left) + 1])
        var upper = end
        while lower < upper {
            let middle = lower + (upper - lower) / 2
            if rights[middle] < right { lower = middle + 1 } else { upper = middle }
        }
        return lower < end && rights[lower] == right ? ranks[lower] : Self.noRank
    }

    // MARK: - Encoding

    /// The buffers of `encode`, to be used again from piece to piece.
    struct Workspace {
        /// The ids so far and, for each, the rank of the pair that it begins.
        fileprivate var symbols: [UInt32] = []
        fileprivate var ranks: [UInt32] = []

        /// For long pieces: the neighbours of each living symbol, and the pairs to merge, `rank << 32 | place`.
        fileprivate var previous: [UInt32] = []
        fileprivate var next: [UInt32] = []
        fileprivate var queue = MinimumHeap()
    }

    /// Up to this many bytes, looking through all pairs each time is faster than a queue.
    private static let shortPiece = 64

    /// Longer pieces are cut: places have 32 bits.
    private static let longestPiece = 1 << 30

    /// Appends the ids of `piece` to `ids`.
    func encode(_ piece: ArraySlice<UInt8>, workspace: inout Workspace, into ids: inout [Int]) {
        var rest = piece
        repeat {
            let part = rest.prefix(Self.longestPiece)
            rest = rest.dropFirst(part.count)
            workspace.symbols.removeAll(keepingCapacity: true)
            for byte in part { workspace.symbols.append(byteIDs[Int(byte)]) }
            workspace.ranks.removeAll(keepingCapacity: true)
            for place in workspace.symbols.indices.dropLast() {
                workspace.ranks.append(rank(workspace.symbols[place], workspace.symbols[place + 1]))
            }
            workspace.ranks.append(Self.noRank)
            if part.count <= Self.shortPiece {
                mergeByLooking(&workspace)
                for symbol in workspace.symbols { ids.append(Int(symbol)) }
            } else {
                mergeByQueue(&workspace, into: &ids)
            }
        } while !rest.isEmpty
    }

    private func mergeByLooking(_ work: inout Workspace) {
        while true {
            var best = 0
            for place in work.ranks.indices where work.ranks[place] < work.ranks[best] { best = place }
            guard best < work.ranks.count, work.ranks[best] != Self.noRank else { return }
            work.symbols[best] = merges[Int(work.ranks[best])].merged
            work.symbols.remove(at: best + 1)
            work.ranks.remove(at: best + 1)
            let follows = best + 1 < work.symbols.count
            work.ranks[best] = follows ? rank(work.symbols[best], work.symbols[best + 1]) : Self.noRank
            if best > 0 { work.ranks[best - 1] = rank(work.symbols[best - 1], work.symbols[best]) }
        }
    }

    private func mergeByQueue(_ work: inout Workspace, into ids: inout [Int]) {
        let count = work.symbols.count
        let none = UInt32(count)
        work.previous.removeAll(keepingCapacity: true)
        work.next.removeAll(keepingCapacity: true)
        for place in 0..<UInt32(count) {
            work.previous.append(place == 0 ? none : place - 1)
            work.next.append(place + 1)
        }
        work.queue.fill(
            work.ranks.enumerated().lazy.filter { $0.element != Self.noRank }
                .map { UInt64($0.element) << 32 | UInt64($0.offset) })
        while let first = work.queue.popFirst() {
            let rank = UInt32(first >> 32)
            let place = Int(first & 0xFFFF_FFFF)
            // A pair whose rank has changed since it was queued is gone.
            guard work.ranks[place] == rank else { continue }
            let removed = Int(work.next[place])
            let after = work.next[removed]
            work.symbols[place] = merges[Int(rank)].merged
            work.ranks[removed] = Self.noRank
            work.next[place] = after
            if after != none { work.previous[Int(after)] = UInt32(place) }
            queuePair(at: place, none: none, &work)
            if work.previous[place] != none { queuePair(at: Int(work.previous[place]), none: none, &work) }
        }
        var place = 0
        while place < count {
            ids.append(Int(work.symbols[place]))
            place = Int(work.next[place])
        }
    }

    /// Notes the rank of the pair that begins at `place`, and queues it if it can be merged.
    private func queuePair(at place: Int, none: UInt32, _ work: inout Workspace) {
        let next = work.next[place]
        let rank = next == none ? Self.noRank : rank(work.symbols[place], work.symbols[Int(next)])
        work.ranks[place] = rank
        if rank != Self.noRank { work.queue.insert(UInt64(rank) << 32 | UInt64(place)) }
    }
}

/// A binary heap with its smallest value first.
private struct MinimumHeap {
    private var values: [UInt64] = []

    /// Replaces the content.
    mutating func fill(_ content: some Sequence<UInt64>) {
        values.removeAll(keepingCapacity: true)
        values.append(contentsOf: content)
        for place in stride(from: values.count / 2 - 1, through: 0, by: -1) { sink(from: place) }
    }

    mutating func insert(_ value: UInt64) {
        var place = values.count
        values.append(value)
        while place > 0, values[(place - 1) / 2] > value {
            values[place] = values[(place - 1) / 2]
            place = (place - 1) / 2
        }
        values[place] = value
    }

    mutating func popFirst() -> UInt64? {
        guard let first = values.first, let last = values.popLast() else { return nil }
        if !values.isEmpty {
            values[0] = last
            sink(from: 0)
        }
        return first
    }

    private mutating func sink(from start: Int) {
        let value = values[start]
        var place = start
        while true {
            var child = 2 * place + 1
            guard child < values.count else { break }
            if child + 1 < values.count, values[child + 1] < values[child] { child += 1 }
            guard values[child] < value else { break }
            values[place] = values[child]
            place = child
        }
        values[place] = value
    }
}
