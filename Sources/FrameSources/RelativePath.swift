/// A path beneath a root, as the bytes that the file system has: it need not be UTF-8.
///
/// Parts are separated by `/`; none is empty, `.` or `..`, none holds a zero byte. The root itself has no parts.
public struct RelativePath: Sendable, Hashable, Comparable, CustomStringConvertible {
    public let bytes: [UInt8]

    /// The root itself.
    public static let root = RelativePath(unchecked: [])

    /// - Throws: `invalid` for anything but parts joined by single slashes.
    public init(bytes: [UInt8]) throws(FrameSourceError) {
        let parts = bytes.split(separator: Self.slash, omittingEmptySubsequences: false)
        guard bytes.isEmpty || parts.allSatisfy({ Self.isUsable($0) }) else {
            throw FrameSourceError(
                .invalid,
                "Cannot use the path '\(String(decoding: bytes, as: UTF8.self))': expected a path beneath the root "
                    + "without empty, '.' or '..' parts.")
        }
        self.bytes = bytes
    }

    /// - Throws: as `init(bytes:)`.
    public init(_ text: String) throws(FrameSourceError) {
        try self.init(bytes: Array(text.utf8))
    }

    private init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    public var isRoot: Bool { bytes.isEmpty }

    /// The last part; empty for the root.
    public var name: [UInt8] { Array(bytes[nameStart...]) }

    /// The folder that holds it; the root's is the root.
    public var parent: RelativePath { RelativePath(unchecked: Array(bytes[0..<max(0, nameStart - 1)])) }

    public var parts: [[UInt8]] { bytes.split(separator: Self.slash).map { Array($0) } }

    /// The entry `name` of this folder; nil for a name that no entry can have.
    public func appending(_ name: [UInt8]) -> RelativePath? {
        guard Self.isUsable(name[...]), !name.contains(Self.slash) else { return nil }
        return RelativePath(unchecked: isRoot ? name : bytes + [Self.slash] + name)
    }

    /// True if this is `folder` or lies beneath it.
    public func isWithin(_ folder: RelativePath) -> Bool {
        folder.isRoot
            || bytes.starts(with: folder.bytes)
                && (bytes.count == folder.bytes.count || bytes[folder.bytes.count] == Self.slash)
    }

    public static func < (left: RelativePath, right: RelativePath) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }

    /// For people: what is not UTF-8 becomes U+FFFD, control characters become `\u{…}`.
    public var description: String {
        var text = ""
        for scalar in String(decoding: bytes, as: UTF8.self).unicodeScalars {
            if scalar.value < 32 || (127..<160).contains(scalar.value) {
                text += scalar.escaped(asASCII: true)
            } else {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }

    private static let slash = UInt8(ascii: "/")

    private static func isUsable(_ part: ArraySlice<UInt8>) -> Bool {
        !part.isEmpty && !part.contains(0) && !part.elementsEqual([46]) && !part.elementsEqual([46, 46])
    }

    private var nameStart: Int { (bytes.lastIndex(of: Self.slash) ?? -1) + 1 }
}
