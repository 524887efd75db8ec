import Glibc

/// A file that appears at its path whole or not at all: written beside it under another name, then renamed.
///
/// Whatever fails before `commit` leaves nothing behind; a killed process may leave a hidden `.NAME.….partial`.
final class PackedModelOutput {
    let path: String
    private let folder: String
    private let temporary: String
    private let descriptor: Int32
    private let isReplacing: Bool
    private var isCommitted = false

    /// Creates the temporary file for `byteCount` bytes, whose room is taken at once where the file system can.
    ///
    /// - Parameter isReplacing: whether a file at `path` may be replaced.
    /// - Throws: `destinationInvalid`, `destinationExists`, `noSpace`, `writeFailed`.
    init(path: String, byteCount: Int, isReplacing: Bool) throws(ModelFileError) {
        let slash = path.utf8.lastIndex(of: UInt8(ascii: "/"))
        let name = slash.map { String(path[path.utf8.index(after: $0)...]) } ?? path
        folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        temporary = folder + "/.\(name).\(getpid())-\(UInt32.random(in: .min ... .max)).partial"
        self.path = path
        self.isReplacing = isReplacing
        guard name.count > PackedModel.fileExtension.count + 1, name.hasSuffix("." + PackedModel.fileExtension) else {
            throw ModelFileError(
                .destinationInvalid,
                "Cannot write '\(path)': expected a file name that ends in '.\(PackedModel.fileExtension)'.")
        }
        guard !isDirectory(path) else {
            throw ModelFileError(.destinationInvalid, "Cannot write '\(path)': it is a folder.")
        }
        guard isReplacing || !Self.isThere(path) else { throw Self.exists(path) }
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o644)
        guard descriptor >= 0 else { throw Self.failure(errno, path) }
        // Better refused now than after minutes of writing.
        let code = posix_fallocate(descriptor, 0, byteCount)
        guard code == 0 || code == EOPNOTSUPP || code == EINVAL || code == ENOSYS else {
            throw Self.failure(code, path)
        }
    }

    deinit {
        close(descriptor)
        if !isCommitted { unlink(temporary) }
    }

    /// Appends `bytes`.
    func write(_ bytes: UnsafeRawBufferPointer) throws(ModelFileError) {
        // Unsafe: the system reads at most as many bytes as `rest` has.
        var rest = bytes
        while let start = rest.baseAddress, !rest.isEmpty {
            let count = Glibc.write(descriptor, start, min(rest.count, 4 << 20))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(count < 0 ? errno : EIO, path) }
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
    }

    /// Replaces the bytes at `offset`, which have been written.
    func overwrite(_ bytes: [UInt8], at offset: Int) throws(ModelFileError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress.map { $0 + written }, $0.count - written, off_t(offset + written))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw Self.failure(count < 0 ? errno : EIO, path) }
            written += count
        }
    }

    /// Puts the file on the disk and gives it its name.
    ///
    /// - Throws: `destinationExists` if something has appeared there meanwhile; `noSpace`, `writeFailed`. If only the
    ///   folder could not be synchronized, the whole file is there, but a power cut may undo it.
    func commit() throws(ModelFileError) {
        guard fsync(descriptor) == 0 else { throw Self.failure(errno, path) }
        if isReplacing {
            guard rename(temporary, path) == 0 else { throw Self.failure(errno, path) }
        } else if link(temporary, path) == 0 {
            unlink(temporary)
        } else {
            let code = errno
            guard code != EEXIST else { throw Self.exists(path) }
            // Some file systems have no hard links: there the check and the renaming are two steps.
            guard code == EPERM || code == EOPNOTSUPP || code == ENOSYS || code == EMLINK else {
                throw Self.failure(code, path)
            }
            guard !Self.isThere(path) else { throw Self.exists(path) }
            guard rename(temporary, path) == 0 else { throw Self.failure(errno, path) }
        }
        isCommitted = true
        try synchronizeFolder()
    }

    private func synchronizeFolder() throws(ModelFileError) {
        let directory = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw Self.failure(errno, path) }
        defer { close(directory) }
        // Some file systems cannot synchronize a folder and say EINVAL.
        guard fsync(directory) == 0 || errno == EINVAL || errno == EOPNOTSUPP else {
            throw Self.failure(errno, path)
        }
    }

    /// True if there is anything at `path`, a dangling link too.
    private static func isThere(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0
    }

    private static func exists(_ path: String) -> ModelFileError {
        ModelFileError(
            .destinationExists,
            "Cannot write '\(path)': something is there already. Choose another name, or ask to replace it.")
    }

    private static func failure(_ code: Int32, _ path: String) -> ModelFileError {
        switch code {
        case ENOSPC, EDQUOT:
            ModelFileError(
                .noSpace, "Cannot write '\(path)': \(systemMessage(code)). Make room, or choose another folder.")
        case ENOENT, ENOTDIR:
            ModelFileError(.destinationInvalid, "Cannot write '\(path)': its folder is not there.")
        default:
            ModelFileError(.writeFailed, "Cannot write '\(path)': \(systemMessage(code)).")
        }
    }
}
