internal import FoundationEssentials

/// Our measurements beside those of other runtimes for the same work and size.
struct BenchmarkComparison {
    /// One of our figures beside one of theirs.
    struct Pair: Encodable {
        var work: String
        var resolution: Int?
        var tokens: Int?
        var precision: String
        var threads: Int?
        var peer: String
        var peerPrecision: String
        /// Milliseconds, or tokens a second.
        var ours: Double
        var theirs: Double
        /// How many times faster ours is; below 1 it is slower.
        var ratio: Double
        /// Whether no other runtime is faster at this.
        var isBestPeer: Bool

        enum CodingKeys: String, CodingKey {
            case work, resolution, tokens, precision, threads, peer, ours, theirs, ratio
            case peerPrecision = "peer_precision"
            case isBestPeer = "best_peer"
        }
    }

    let pairs: [Pair]

    /// Compares each of `ours` with each of `peers` that did the same work at the same size. Rows that were measured
    /// several times count as one, with the median of their figures.
    init(ours: [BenchmarkRow], peers: [BenchmarkRow]) {
        let theirs = Self.merged(peers.filter { $0.runtime != BenchmarkRow.ours })
        pairs = Self.merged(ours.filter { $0.runtime == BenchmarkRow.ours }).flatMap { mine in
            let rivals = theirs.filter { $0.place == mine.place && $0.unit == mine.unit }
            let ratios = rivals.map { mine.unit == .speed ? mine.value / $0.value : $0.value / mine.value }
            return zip(rivals, ratios).map { rival, ratio in
                Pair(
                    work: mine.place.work, resolution: mine.place.resolution, tokens: mine.place.tokens,
                    precision: mine.precision, threads: mine.threads, peer: rival.runtime,
                    peerPrecision: rival.precision,
                    ours: mine.value, theirs: rival.value, ratio: ratio, isBestPeer: ratio == ratios.min())
            }
        }
    }

    /// The table for people: the fastest peer of each figure is marked.
    var lines: [String] {
        var last = ""
        return ["work     at           ours                  figure          peer                theirs          ratio"]
            + pairs.map { pair in
                let place = pair.resolution.map { "\($0) px" } ?? pair.tokens.map { "\($0) tokens" } ?? "-"
                let mine = "\(pair.precision)" + (pair.threads.map { ", \($0) thread" + ($0 == 1 ? "" : "s") } ?? "")
                let unit = pair.work == "decode" ? "tokens/s" : "ms"
                let start =
                    pair.work.padded(to: 9) + place.padded(to: 13) + mine.padded(to: 22)
                    + "\(pair.ours.tenths) \(unit)".padded(to: 16)
                defer { last = start }
                return (start == last ? String(repeating: " ", count: start.count) : start)
                    + "\(Console.printable(pair.peer)) \(Console.printable(pair.peerPrecision))".padded(to: 20)
                    + "\(pair.theirs.tenths) \(unit)".padded(to: 16) + "\((pair.ratio * 100).rounded() / 100) x"
                    + (pair.isBestPeer ? "  * fastest peer" : "")
            }
    }

    func json() throws -> [String] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try pairs.map { String(decoding: try encoder.encode($0), as: UTF8.self) }
    }
}

extension BenchmarkComparison {
    private enum Unit { case time, speed }

    private struct Place: Hashable {
        let work: String
        let resolution: Int?
        let tokens: Int?
    }

    /// One figure of one runtime.
    private struct Figure {
        let runtime: String
        let precision: String
        let threads: Int?
        let place: Place
        let unit: Unit
        let value: Double
    }

    private static func merged(_ rows: [BenchmarkRow]) -> [Figure] {
        struct Key: Hashable {
            let place: Place
            let runtime: String
            let precision: String
            let threads: Int?
            let unit: Unit
        }
        var order: [Key] = []
        var values: [Key: [Double]] = [:]
        for row in rows where ["vision", "prefill", "decode"].contains(row.work) {
            // Other runtimes tell a decoder's speed, and all other work's time.
            let unit: Unit = row.work == "decode" ? .speed : .time
            guard let value = unit == .speed ? row.tokensPerSecond : row.medianMs, value > 0, value.isFinite else {
                continue
            }
            let key = Key(
                place: Place(work: row.work, resolution: row.resolution, tokens: row.tokens), runtime: row.runtime,
                precision: row.precision, threads: row.threads, unit: unit)
            if values[key] == nil { order.append(key) }
            values[key, default: []].append(value)
        }
        return order.compactMap { key in
            guard let all = values[key]?.sorted() else { return nil }
            return Figure(
                runtime: key.runtime, precision: key.precision, threads: key.threads, place: key.place, unit: key.unit,
                value: all[all.count / 2])
        }
    }
}
