/// Decides when a file that appeared is complete. A value without a clock, a disk or a thread: the time is passed in,
/// and so is what was seen of the file.
///
/// - Moved in: complete at once.
/// - Created or closed after writing: when nothing changed for `quiet`.
/// - Found by a scan: when two looks `recheck` apart see the same.
///
/// In all three cases only if the end of the picture is there. Without it the file is held, looked at every `recheck`,
/// until `giveUp` after its last change; then it is given out as truncated. Times are spans since any fixed moment.
public struct Settler: Sendable {
    public struct Rules: Sendable, Equatable {
        /// The default is 200 ms.
        public var quiet: Duration
        /// The default is one second.
        public var recheck: Duration
        /// `settle_max`. The default is 60 s.
        public var giveUp: Duration
        /// The most files that are held at a time. The default is 1024.
        public var capacity: Int

        public init(
            quiet: Duration = .milliseconds(200), recheck: Duration = .seconds(1), giveUp: Duration = .seconds(60),
            capacity: Int = 1024
        ) {
            self.quiet = quiet
            self.recheck = recheck
            self.giveUp = giveUp
            self.capacity = capacity
        }
    }

    /// How a file came to notice.
    public enum Sign: String, Sendable, Codable {
        /// A finished file was renamed into the folder.
        case movedIn = "moved_in"
        /// It was created, linked, or closed after writing.
        case appeared
        /// A scan saw it.
        case found
    }

    /// What a look at a file led to.
    public enum Verdict: Sendable, Equatable {
        /// Not yet.
        case waiting
        /// Complete.
        case settled(Seen)
        /// It has not changed for `giveUp` and its end is still missing.
        case truncated(Seen)
        /// It is gone.
        case vanished
    }

    /// How and when a file was first seen in this generation.
    public struct Seen: Sendable, Equatable {
        public let sign: Sign
        public let first: Duration

        public init(sign: Sign, first: Duration) {
            self.sign = sign
            self.first = first
        }
    }

    private struct Entry {
        var sign: Sign
        let first: Duration
        var identity: FileIdentity
        var lastChange: Duration
        var due: Duration
        var endIsMissing = false
    }

    public let rules: Rules
    private var entries: [RelativePath: Entry] = [:]

    public init(rules: Rules = Rules()) { self.rules = rules }

    public var count: Int { entries.count }
    public var isFull: Bool { entries.count >= rules.capacity }

    /// When the next look is due; nil if none is.
    public var nextDue: Duration? { entries.values.lazy.map(\.due).min() }

    /// The files to look at now, those that wait longest first.
    public func due(at now: Duration) -> [RelativePath] {
        entries.lazy.filter { $0.value.due <= now }.sorted { $0.value.due < $1.value.due }.map(\.key)
    }

    public func holds(_ path: RelativePath) -> Bool { entries[path] != nil }

    /// Notes a sign of the file at `path`, which was seen with `identity`.
    ///
    /// - Returns: false if no more files can be held: the sign is lost.
    public mutating func note(
        _ sign: Sign, _ path: RelativePath, _ identity: FileIdentity, at now: Duration
    ) -> Bool {
        guard var entry = entries[path] else {
            if isFull { return false }
            entries[path] = Entry(
                sign: sign, first: now, identity: identity, lastChange: now, due: now + delay(after: sign))
            return true
        }
        // A scan that sees what is known already is no news.
        if sign == .found, entry.identity == identity { return true }
        entry.sign = sign == .found ? entry.sign : sign
        entry.identity = identity
        entry.lastChange = now
        entry.due = now + delay(after: sign)
        entry.endIsMissing = false
        entries[path] = entry
        return true
    }

    /// Drops a file that is known to be gone.
    public mutating func forget(_ path: RelativePath) { entries[path] = nil }

    /// Drops everything beneath a folder that is known to be gone.
    public mutating func forget(within folder: RelativePath) {
        entries = entries.filter { !$0.key.isWithin(folder) }
    }

    /// Puts off the look at a file that could not be looked at.
    public mutating func postpone(_ path: RelativePath, at now: Duration) {
        entries[path]?.due = now + rules.recheck
    }

    /// Judges the file at `path` by a fresh look. After any verdict but `waiting` it is no longer held.
    ///
    /// - Parameters:
    ///   - identity: what is there now; nil if nothing is.
    ///   - hasEnd: whether the picture's end marker is there; asked only when everything else is settled.
    public mutating func look(
        at path: RelativePath, _ identity: FileIdentity?, at now: Duration, hasEnd: () -> Bool
    ) -> Verdict {
        guard var entry = entries[path] else { return .vanished }
        guard let identity else {
            entries[path] = nil
            return .vanished
        }
        if identity != entry.identity {
            entry.identity = identity
            entry.lastChange = now
            entry.due = now + (entry.sign == .found ? rules.recheck : rules.quiet)
            entry.endIsMissing = false
            entries[path] = entry
            return .waiting
        }
        let seen = Seen(sign: entry.sign, first: entry.first)
        let isLastLook = now - entry.lastChange >= rules.giveUp
        if !entry.endIsMissing || isLastLook {
            if hasEnd() {
                entries[path] = nil
                return .settled(seen)
            }
            entry.endIsMissing = true
        }
        if isLastLook {
            entries[path] = nil
            return .truncated(seen)
        }
        entry.due = min(now + rules.recheck, entry.lastChange + rules.giveUp)
        entries[path] = entry
        return .waiting
    }

    private func delay(after sign: Sign) -> Duration {
        switch sign {
        case .movedIn: .zero
        case .appeared: rules.quiet
        case .found: rules.recheck
        }
    }
}
