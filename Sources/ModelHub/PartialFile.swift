internal import Digests
internal import Glibc

/// A file that is being fetched, with the digests of what is there so far. What has come stays when the command is
/// stopped: `NAME.part`, and `NAME.tag` with the tag of the version that it belongs to.
struct PartialFile: ~Copyable {
    static let suffix = ".part"

    let file: HubFile
    /// Of the version that the bytes so far belong to.
    private(set) var tag: String?
    /// Bytes so far.
    private(set) var count = 0
    private let path: String
    private let tagPath: String
    private let target: String
    private let descriptor: Int32
    private var sha256 = SHA256()
    private var blob: GitBlobDigest

    /// Opens what is there of `file` in `folder`, all of it perhaps, and reads it once.
    ///
    /// - Throws: `cacheUnusable`.
    init(_ file: HubFile, in folder: String) throws(HubError) {
        self.file = file
        target = "\(folder)/\(file.name)"
        path = target + Self.suffix
        tagPath = target + ".tag"
        blob = GitBlobDigest(byteCount: file.byteCount)
        // From a command that was stopped at a later file.
        rename(target, path)
        descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0o600)
        guard descriptor >= 0 else { throw Self.failure(errno, path) }
        var facts = stat()
        guard fstat(descriptor, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            throw HubError(.cacheUnusable, "Cannot write '\(path)': it is no regular file. Remove it.")
        }
        tag = Self.storedTag(tagPath)
        // Without a tag nobody can say which version these bytes are of, until they are all there.
        if facts.st_size == file.byteCount || (tag != nil && facts.st_size < file.byteCount) {
            try readAll()
        } else {
            try restart()
        }
    }

    deinit { close(descriptor) }

    /// Throws away what is there.
    mutating func restart() throws(HubError) {
        guard ftruncate(descriptor, 0) == 0, lseek(descriptor, 0, SEEK_SET) == 0 else {
            throw Self.failure(errno, path)
        }
        unlink(tagPath)
        tag = nil
        count = 0
        sha256 = SHA256()
        blob = GitBlobDigest(byteCount: file.byteCount)
    }

    /// Notes that the bytes from here on belong to the version that `tag` names; nil if it has no name, so that they can
    /// never be gone on from.
    mutating func begin(_ tag: String?) throws(HubError) {
        self.tag = tag
        guard let tag else { return }
        let descriptor = open(tagPath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw Self.failure(errno, tagPath) }
        defer { close(descriptor) }
        let bytes = Array(tag.utf8)
        guard write(descriptor, bytes, bytes.count) == bytes.count else { throw Self.failure(errno, tagPath) }
    }

    /// Appends `bytes`, of which no more may come than the file has.
    mutating func append(_ bytes: [UInt8]) throws(HubError) {
        // Unsafe: the system reads or writes the array in place during the call only, as many bytes as it has.
        let failed: Int32? = bytes.withUnsafeBytes { bytes in
            var rest = bytes
            while let start = rest.baseAddress, !rest.isEmpty {
                let written = write(descriptor, start, rest.count)
                if written < 0, errno == EINTR { continue }
                guard written > 0 else { return written < 0 ? errno : EIO }
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
            add(bytes)
            return nil
        }
        if let failed { throw Self.failure(failed, path) }
        count += bytes.count
    }

    /// What is there in full, checked: gives it its name.
    ///
    /// - Throws: `digestMismatch`, and then nothing of it is left.
    consuming func finish() throws(HubError) -> FetchedFile {
        let sum = SHA256.hexadecimal(sha256.finish())
        let found =
            switch file.digest {
            case .sha256: sum
            case .gitBlob: blob.finish()
            case .none: ""
            }
        guard file.digest.value == found else {
            unlink(path)
            unlink(tagPath)
            throw HubError(
                .digestMismatch,
                "Cannot use '\(file.name)': what came has the \(file.digest.name) \(found), expected \(file.digest.value). It was "
                    + "damaged on the way, or the hub is not to be trusted. It was removed; fetch it again.")
        }
        guard fsync(descriptor) == 0, rename(path, target) == 0 else { throw Self.failure(errno, target) }
        return FetchedFile(name: file.name, byteCount: count, sha256: sum, check: file.digest)
    }

    private mutating func readAll() throws(HubError) {
        var piece = [UInt8](repeating: 0, count: 1 << 20)
        while true {
            let read = piece.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if read < 0, errno == EINTR { continue }
            guard read >= 0 else { throw Self.failure(errno, path) }
            guard read > 0 else { return }
            piece.withUnsafeBytes { add(UnsafeRawBufferPointer(rebasing: $0[..<read])) }
            count += read
        }
    }

    private mutating func add(_ bytes: UnsafeRawBufferPointer) {
        sha256.update(bytes)
        if case .gitBlob = file.digest { blob.update(bytes) }
    }

    private static func storedTag(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 256)
        let count = read(descriptor, &bytes, bytes.count)
        guard count > 2, count <= 200 else { return nil }
        let tag = String(decoding: bytes[..<count], as: UTF8.self)
        let isTag = tag.hasPrefix("\"") && tag.hasSuffix("\"") && tag.utf8.allSatisfy { (0x21...0x7e).contains($0) }
        return isTag ? tag : nil
    }

    private static func failure(_ code: Int32, _ path: String) -> HubError {
        guard code == ENOSPC || code == EDQUOT else {
            return HubError(.cacheUnusable, "Cannot write '\(path)': \(FetchFolder.reason(code)).")
        }
        return HubError(
            .noSpace,
            "Cannot write '\(path)': \(FetchFolder.reason(code)). Make room and run the command again: it goes on.")
    }
}

/// A file that has been fetched and checked.
public struct FetchedFile: Sendable, Equatable {
    public let name: String
    public let byteCount: Int
    /// 64 lowercase hexadecimal digits, computed here.
    public let sha256: String
    /// What the hub said of it, which it agrees with.
    public let check: HubDigest
}
