internal import Glibc

/// Which files of a watched folder are frames, by their names alone.
public struct NameFilter: Sendable, Equatable {
    /// Endings without the dot, in lower case; the names' case does not matter. The default is `jpg jpeg png`.
    public var extensions: [String]

    /// If not empty, a file must match one of these patterns.
    ///
    /// Patterns are those of fnmatch(3): `*`, `?` and `[…]`. One without a slash is held against the name; one with a
    /// slash against the whole path beneath the root, where `*` matches slashes too. The default is none.
    public var include: [String]

    /// Files that match one of these patterns are left out, and so is everything in folders that do.
    /// The default is none.
    public var exclude: [String]

    public init(extensions: [String] = ["jpg", "jpeg", "png"], include: [String] = [], exclude: [String] = []) {
        self.extensions = extensions
        self.include = include
        self.exclude = exclude
    }

    /// True if the file at `path` is a frame, given that its folder is entered.
    public func accepts(_ path: RelativePath) -> Bool {
        let name = path.name
        guard !Self.isIgnored(name), let dot = name.lastIndex(of: UInt8(ascii: ".")), dot > 0 else { return false }
        let ending = name[(dot + 1)...].map { (65...90).contains($0) ? $0 + 32 : $0 }
        guard extensions.contains(where: { $0.utf8.elementsEqual(ending) }) else { return false }
        if !include.isEmpty, !include.contains(where: { Self.matches($0, path, name) }) { return false }
        return !exclude.contains { Self.matches($0, path, name) }
    }

    /// True if frames are looked for in the folder at `path`, given that its own folder is entered.
    public func enters(_ path: RelativePath) -> Bool {
        let name = path.name
        return path.isRoot || !Self.isIgnored(name) && !exclude.contains { Self.matches($0, path, name) }
    }

    /// True for names that are never frames nor folders of frames: dot files, unfinished downloads and copies,
    /// thumbnails of network storage, our own sidecars and temporaries.
    public static func isIgnored(_ name: [UInt8]) -> Bool {
        guard let first = name.first, first != UInt8(ascii: ".") else { return true }
        return ignoredEndings.contains { name.count >= $0.count && name.suffix($0.count).elementsEqual($0) }
            || name == ignoredFolder
    }

    private static let ignoredEndings = [".part", ".tmp", ".filepart", ".crdownload", "~", ".fastvlm.json"]
        .map { Array($0.utf8) }
    private static let ignoredFolder = Array("@eaDir".utf8)

    private static func matches(_ pattern: String, _ path: RelativePath, _ name: [UInt8]) -> Bool {
        fnmatch(pattern, cString(pattern.utf8.contains(UInt8(ascii: "/")) ? path.bytes : name), 0) == 0
    }
}
