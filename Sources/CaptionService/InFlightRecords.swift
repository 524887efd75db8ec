internal import Digests
public import FrameSources

/// What an in-flight journal says: a value without a disk.
///
/// The file is text, a line a record, each ended by a line feed:
///
///     fastvlm.in-flight/1
///     crashed 0f3c…  2        in flight at two crashes
///     + 91ab…                 taken up
///     - 91ab…                 ended
///     pause                   from here on an end of the process is nobody's fault
///     resume
///
/// What follows the last line feed was not written to its end and says nothing.
struct InFlightRecords: Equatable {
    /// How often each was in flight at a crash; never 0.
    private(set) var crashes: [InFlightKey: Int] = [:]
    private(set) var inFlight: Set<InFlightKey> = []
    /// More `pause` than `resume`.
    private(set) var pauses = 0
    /// The keys of `crashes`, those that came first in front.
    private var order: [InFlightKey] = []

    static let header = "fastvlm.in-flight/1"
    /// The most pictures whose crashes are remembered; the oldest are forgotten.
    static let crashedLimit = 256

    init() {}

    /// Nil if `text` is no journal.
    init?(text: [UInt8]) {
        guard !text.isEmpty else { return }
        guard let end = text.lastIndex(of: UInt8(ascii: "\n")),
            let lines = String(validating: text[..<end], as: UTF8.self)?
                .split(separator: "\n", omittingEmptySubsequences: false),
            lines.first.map({ $0 == Self.header }) == true
        else { return nil }
        for line in lines.dropFirst() {
            guard read(line.split(separator: " ", omittingEmptySubsequences: false)) else { return nil }
        }
    }

    private mutating func read(_ words: [Substring]) -> Bool {
        let key = words.count > 1 ? InFlightKey(text: words[1]) : nil
        switch (words[0], words.count, key) {
        case ("crashed", 3, let key?):
            guard let count = Int(words[2]), (1...1_000_000).contains(count) else { return false }
            setCrashes(count, of: key)
        case ("+", 2, let key?): begin(key)
        case ("-", 2, let key?): end(key)
        case ("pause", 1, _): pause()
        case ("resume", 1, _): resume()
        default: return false
        }
        return true
    }

    /// The whole journal, without what has ended.
    var text: [UInt8] {
        var lines = [Self.header]
        lines += order.map { "crashed \($0) \(crashes[$0] ?? 1)" }
        lines += inFlight.map { "+ \($0)" }
        lines += Array(repeating: "pause", count: pauses)
        return Array((lines.joined(separator: "\n") + "\n").utf8)
    }

    mutating func begin(_ key: InFlightKey) { inFlight.insert(key) }
    mutating func end(_ key: InFlightKey) { inFlight.remove(key) }
    mutating func pause() { pauses += 1 }
    mutating func resume() { pauses = max(0, pauses - 1) }

    mutating func forget(_ key: InFlightKey) {
        if crashes.removeValue(forKey: key) != nil { order.removeAll { $0 == key } }
    }

    /// What these records mean after the process that wrote them has ended: whatever was in flight and not paused was
    /// in flight at a crash.
    func afterCrash() -> InFlightRecords {
        var next = InFlightRecords()
        for key in order { next.setCrashes(crashes[key] ?? 1, of: key) }
        if pauses == 0 {
            for key in inFlight { next.setCrashes((crashes[key] ?? 0) + 1, of: key) }
        }
        return next
    }

    private mutating func setCrashes(_ count: Int, of key: InFlightKey) {
        if crashes.updateValue(count, forKey: key) == nil { order.append(key) }
        if order.count > Self.crashedLimit { crashes[order.removeFirst()] = nil }
    }
}

/// One generation of one picture: another after the file has changed.
public struct InFlightKey: Sendable, Hashable, CustomStringConvertible {
    /// 32 lowercase hexadecimal digits.
    public let description: String

    public init(_ candidate: FrameCandidate) {
        self.init(root: candidate.root, path: candidate.path, identity: candidate.identity)
    }

    /// The device is left out: its number can be another after a restart.
    public init(root: String, path: RelativePath, identity: FileIdentity) {
        var bytes = Array(root.utf8) + [0] + path.bytes + [0]
        bytes += Array("\(identity.inode) \(identity.size) \(identity.modified)".utf8)
        description = String(SHA256.hex(bytes).prefix(Self.length))
    }

    /// Nil unless `text` is such digits.
    init?(text: some StringProtocol) {
        guard text.utf8.count == Self.length,
            text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) })
        else { return nil }
        description = String(text)
    }

    private static let length = 32
}
