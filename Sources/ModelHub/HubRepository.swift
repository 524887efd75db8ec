/// A repository's name on a hub: `OWNER/NAME`.
public struct HubRepository: Sendable, Equatable, CustomStringConvertible {
    public let owner: String
    public let name: String

    public var description: String { "\(owner)/\(name)" }

    /// - Throws: `repositoryInvalid` unless both parts have 1 to 96 letters, digits, `-`, `_` and `.`, and do not start
    ///   with `.` or `-`.
    public init(_ text: String) throws(HubError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, parts.allSatisfy(Self.isPlain) else {
            throw HubError(
                .repositoryInvalid,
                "Cannot fetch '\(text)': expected a repository as OWNER/NAME, for example apple/FastVLM-0.5B.")
        }
        owner = parts[0]
        name = parts[1]
    }

    private static func isPlain(_ part: String) -> Bool {
        (1...96).contains(part.utf8.count) && !part.hasPrefix(".") && !part.hasPrefix("-")
            && part.utf8.allSatisfy { byte in
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                    || [0x2d, 0x2e, 0x5f].contains(byte)
            }
    }
}
