internal import Digests
internal import Glibc

/// A frame's content, read and hashed once; from then on only memory is used.
public struct ClaimedFrame: Sendable {
    public let path: RelativePath
    public let bytes: [UInt8]
    /// Of `bytes`: 64 lowercase hexadecimal digits.
    public let sha256: String
    /// The file's, before and after it was read.
    public let identity: FileIdentity
}

extension FolderRoot {
    /// Reads the file at `path`.
    ///
    /// - Parameter limit: the most bytes it may have.
    /// - Throws: `vanished`, `notARegularFile`, `tooLarge`, `changed` if it changed while it was read, `resource`.
    public func claim(_ path: RelativePath, limit: Int) throws(FrameSourceError) -> ClaimedFrame {
        let file = try openForReading(path)
        guard let before = file.status() else { throw .system(errno, "examine '\(path)'") }
        let identity = FileIdentity(before)
        guard identity.size <= limit else {
            throw FrameSourceError(
                .tooLarge, "Cannot use '\(path)': \(identity.size) bytes, expected at most \(limit).")
        }
        var bytes = [UInt8](repeating: 0, count: identity.size)
        var filled = 0
        while filled < bytes.count {
            let count = read(file.number, &bytes[filled], bytes.count - filled)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw .system(errno, "read '\(path)'") }
            if count == 0 { break }
            filled += count
        }
        guard filled == bytes.count, let after = file.status(), FileIdentity(after) == identity else {
            throw FrameSourceError(.changed, "Cannot use '\(path)': it changed while it was read.")
        }
        return ClaimedFrame(path: path, bytes: bytes, sha256: SHA256.hex(bytes), identity: identity)
    }

    /// The entries of an open folder, without `.` and `..`.
    func entries(of folder: borrowing Descriptor) throws(FrameSourceError) -> [FolderEntry] {
        let copy = fcntl(folder.number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .system(errno, "list a folder beneath '\(path)'") }
        guard let listing = fdopendir(copy) else {
            let code = errno
            close(copy)
            throw .system(code, "list a folder beneath '\(path)'")
        }
        defer { closedir(listing) }
        var entries: [FolderEntry] = []
        while true {
            errno = 0
            guard let entry = readdir(listing) else {
                if errno != 0 { throw .system(errno, "list a folder beneath '\(path)'") }
                return entries
            }
            // Unsafe: an entry is valid until the next: its name is copied, up to the zero that ends it.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name == [46] || name == [46, 46] { continue }
            let kind: FolderEntry.Kind
            switch Int(entry.pointee.d_type) {
            case Int(DT_DIR): kind = .folder
            case Int(DT_REG): kind = .file
            case Int(DT_UNKNOWN):
                guard let status = status(of: name, in: folder) else { continue }
                kind = status.isFolder ? .folder : status.isRegular ? .file : .other
            default: kind = .other
            }
            entries.append(FolderEntry(name: name, kind: kind))
        }
    }

    /// What the entry `name` is, without following a link; nil if it is gone.
    func status(of name: [UInt8], in folder: borrowing Descriptor) -> stat? {
        var status = stat()
        return fstatat(folder.number, cString(name), &status, AT_SYMLINK_NOFOLLOW) == 0 ? status : nil
    }
}

struct FolderEntry {
    enum Kind {
        case file, folder, other
    }

    let name: [UInt8]
    let kind: Kind
}
