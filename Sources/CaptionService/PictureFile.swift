internal import Digests
internal import FoundationEssentials
internal import Images
public import Sidecars

/// A picture file that a person named: read once, identified by its content.
public struct PictureFile: Sendable {
    public let bytes: [UInt8]
    public let source: SidecarDocument.Source

    /// Reads the file at `path`.
    ///
    /// Throws ``EngineError/Code/picture`` where it is missing, unreadable, no regular file or too large.
    public init(path: String) throws(EngineError) {
        func failure(_ code: String, _ problem: String) -> EngineError {
            EngineError(.picture, "Cannot read '\(path)': \(problem).", pictureCode: code)
        }
        guard let facts = FileFacts(path: path) else {
            throw failure("unreadable", "there is no such file, or it is not readable by this user")
        }
        guard facts.isRegular else { throw failure("not_a_file", "it is not a regular file") }
        let limit = ImageLimits().bytes
        guard facts.bytes <= limit else {
            throw failure("too_many_bytes", "it has \(facts.bytes) bytes, at most \(limit) are allowed")
        }
        do {
            bytes = Array(try Data(contentsOf: URL(filePath: path)))
        } catch {
            throw failure("unreadable", "it is not readable by this user")
        }
        var hasher = SHA256()
        hasher.update(bytes)
        source = SidecarDocument.Source(
            file: path.split(separator: "/").last.map { Array($0.utf8) }, sha256: SHA256.hexadecimal(hasher.finish()),
            bytes: bytes.count, modified: facts.modified, origin: "command")
    }
}
