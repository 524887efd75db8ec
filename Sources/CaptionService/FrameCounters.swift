/// How a frame ended.
public enum FrameEnding: String, Sendable, CaseIterable {
    /// It was answered.
    case ok
    /// It cannot be read.
    case refused
    /// It was too late for it.
    case expired
    /// There was no room for it.
    case dropped
    /// A newer one of the same camera took its place.
    case superseded
    /// Nobody waits for it any more, or it went back to where it came from.
    case vanished
}

/// What became of the frames of one source, or of all.
public struct FrameCounters: Sendable, Equatable {
    public var received = 0
    public var ok = 0
    public var refused = 0
    public var expired = 0
    public var dropped = 0
    public var superseded = 0
    public var vanished = 0
    /// Waiting and in work.
    public var pending = 0

    public init() {}

    public subscript(ending: FrameEnding) -> Int {
        switch ending {
        case .ok: ok
        case .refused: refused
        case .expired: expired
        case .dropped: dropped
        case .superseded: superseded
        case .vanished: vanished
        }
    }

    /// Whether every frame that was received is accounted for.
    public var isConserved: Bool {
        received == pending + FrameEnding.allCases.reduce(0) { $0 + self[$1] }
    }

    mutating func end(_ ending: FrameEnding) {
        switch ending {
        case .ok: ok += 1
        case .refused: refused += 1
        case .expired: expired += 1
        case .dropped: dropped += 1
        case .superseded: superseded += 1
        case .vanished: vanished += 1
        }
    }

    mutating func endPending(_ ending: FrameEnding) {
        pending -= 1
        end(ending)
    }
}

/// The counters of all sources, and of each for as long as there are not too many: names come from clients.
struct FrameCountersBySource: Sendable {
    private(set) var total = FrameCounters()
    private(set) var bySource: [String: FrameCounters] = [:]

    /// Sources with counters of their own; those that come later are counted together under `KIND:other`.
    static let limit = 64

    mutating func change(_ source: String, _ body: (inout FrameCounters) -> Void) {
        body(&total)
        body(&bySource[name(of: source), default: FrameCounters()])
    }

    /// Where `source` is counted. A source keeps its name: what began under one never ends under another.
    func name(of source: String) -> String {
        bySource[source] != nil || bySource.count < Self.limit ? source : "\(Self.kind(of: source)):other"
    }

    /// What stands before the colon, such as `stream`: never from a client, so that there are few.
    static func kind(of source: String) -> String { String(source.prefix { $0 != ":" }) }
}
