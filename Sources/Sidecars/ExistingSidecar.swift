internal import FoundationEssentials
internal import UntrustedJSON

/// What stands at a sidecar's name.
public enum SidecarFinding: Sendable, Equatable {
    case absent
    /// A sidecar that this project wrote.
    case own(ExistingSidecar)
    /// Something else: never overwritten.
    case foreign
}

/// What an own sidecar says about its picture: enough to tell whether it is still that picture's.
public struct ExistingSidecar: Sendable, Equatable {
    /// Such as `fastvlm.sidecar/1`; a later version can have a higher number.
    public let schema: String
    /// `ok`, `refused` or `expired`.
    public let status: String
    /// The picture's name, size, time and content when the sidecar was made.
    public let source: SidecarDocument.Source
    /// The sidecar file's own modification time, in nanoseconds since 1970.
    public let writtenNanoseconds: Int64

    /// True if the picture has the size and, to the millisecond, the modification time the sidecar was made for.
    /// That cannot see a content exchanged under the same size and time; `matches(sha256:)` can.
    public func matches(bytes: Int, modifiedNanoseconds: Int64) -> Bool {
        source.bytes == bytes && source.modified == Timestamp(nanoseconds: modifiedNanoseconds)
    }

    /// True if the sidecar was made for this content.
    public func matches(sha256: String) -> Bool { source.sha256 == sha256 }

    /// The most bytes of a file that is read to find out.
    static let sizeLimit = 1 << 20

    /// Nil if `json` is not ours: no JSON, or no `schema` of this project.
    init?(json: [UInt8], writtenNanoseconds: Int64) {
        guard let head = try? JSONDecoder().decode(Head.self, fromUntrusted: json),
            head.schema.hasPrefix("fastvlm.sidecar/")
        else { return nil }
        schema = head.schema
        status = head.status
        source = head.source
        self.writtenNanoseconds = writtenNanoseconds
    }

    private struct Head: Decodable {
        var schema: String
        var status: String
        var source: SidecarDocument.Source
    }
}
