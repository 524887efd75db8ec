import Digests
import Glibc

extension PackedModel {
    /// Compares the digest of all bytes of the packed file at `path` with the one that it states, then opens it.
    ///
    /// It is read, not mapped: a disk that fails gives an error.
    /// - Parameter progress: called after each piece; returns false to stop. The default never stops.
    /// - Throws: `digestMismatch` for damage anywhere after the digest; every error of `PreparedModel.open`;
    ///   `fileUnreadable`, `fileChanged`, `cancelled`.
    @discardableResult
    public static func verify(
        path: String, progress: (Progress) -> Bool = { _ in true }
    ) throws(ModelFileError) -> Summary {
        let mapped = try MappedFile(path: path)
        let preamble = try PackedModelPreamble(mapped.bytes, path: path)
        let opened = try OpenedFile(path: path)
        guard opened.device == mapped.device, opened.inode == mapped.inode, opened.byteCount == mapped.byteCount else {
            throw changed(path)
        }
        let digest = try digest(of: opened, zeroing: preamble.digestRange, progress: progress)
        guard digest == preamble.digest else {
            throw ModelFileError(
                .digestMismatch,
                "Cannot verify '\(path)': its content has the digest sha256:\(digest), expected "
                    + "sha256:\(preamble.digest). The file is damaged; pack the model again, or fetch it again.")
        }
        let model = try PreparedModel.openPacked(PackedModelFile(mapped))
        return Summary(path: path, digest: model.digest, precision: model.precision, byteCount: opened.byteCount)
    }

    /// SHA-256 of `file` with `0` digits in place of the bytes in `range`, which lies in the first megabyte.
    private static func digest(
        of file: borrowing OpenedFile, zeroing range: Range<Int>, progress: (Progress) -> Bool
    ) throws(ModelFileError) -> String {
        var hasher = SHA256()
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var position = 0
        while position < file.byteCount {
            let count = try file.piece(into: &buffer, at: position)
            guard count > 0 else { throw changed(file.path) }
            for index in range where (position..<(position + count)).contains(index) {
                buffer[index - position] = UInt8(ascii: "0")
            }
            hasher.update(buffer[..<count])
            position += count
            guard progress(Progress(completedBytes: position, totalBytes: file.byteCount)) else {
                throw ModelFileError(.cancelled, "Cannot verify '\(file.path)': stopped on request.")
            }
        }
        return SHA256.hexadecimal(hasher.finish())
    }

    private static func changed(_ path: String) -> ModelFileError {
        ModelFileError(.fileChanged, "Cannot verify '\(path)': it was changed meanwhile. Verify it again.")
    }
}

extension OpenedFile {
    /// Reads from `offset` on into `buffer`; returns the number of bytes, 0 at the end.
    borrowing func piece(into buffer: inout [UInt8], at offset: Int) throws(ModelFileError) -> Int {
        while true {
            // Unsafe: the system writes at most as many bytes as the buffer has.
            let count = buffer.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress, $0.count, off_t(offset))
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw ModelFileError(.fileUnreadable, "Cannot read '\(path)': \(systemMessage(errno)).")
            }
            return count
        }
    }
}
