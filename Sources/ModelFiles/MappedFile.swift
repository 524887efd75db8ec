import Glibc

/// A read-only mapping of a whole regular file; unmapped with its last owner.
///
/// The file must not shrink while it is mapped (the kernel answers a touch of a missing page with SIGBUS);
/// models are replaced by rename, never rewritten in place.
public final class MappedFile: Sendable {
    public let path: String

    /// Size of the file when it was mapped.
    public let byteCount: Int

    /// Identifies the file on this machine, whatever path leads to it.
    let device: UInt64
    let inode: UInt64

    /// The first byte.
    // Unsafe: the mapping itself, `byteCount` bytes.
    // Invariant: the mapping is read-only, made in `init` before any other thread can know of it, and
    // unmapped in `deinit`, after the last one has let go. Nobody has to take turns to read it.
    nonisolated(unsafe) let start: UnsafeRawPointer

    /// How a part of the file is about to be read; a hint to the kernel.
    public enum Access: Sendable {
        case sequential, random, soon
        /// Not again soon: its pages may leave memory.
        case done
    }

    /// Maps the file at `path`, following symbolic links.
    ///
    /// - Throws: `fileNotFound`, `fileUnreadable`, `notARegularFile`, or `truncated` for an empty file.
    public init(path: String) throws(ModelFileError) {
        let opened = try OpenedFile(path: path)
        guard opened.byteCount > 0 else {
            throw ModelFileError(.truncated, "Cannot read '\(path)': the file is empty.")
        }
        guard let address = mmap(nil, opened.byteCount, PROT_READ, MAP_PRIVATE, opened.descriptor, 0),
            Int(bitPattern: address) != -1
        else {
            throw ModelFileError(.fileUnreadable, "Cannot map '\(path)' into memory: \(systemMessage(errno)).")
        }
        self.path = path
        byteCount = opened.byteCount
        device = opened.device
        inode = opened.inode
        start = UnsafeRawPointer(address)
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: start), byteCount)
    }

    /// Device and inode of what is at `path`, or nil.
    static func identity(of path: String) -> (UInt64, UInt64)? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return (UInt64(status.st_dev), UInt64(status.st_ino))
    }

    /// The whole file; valid for as long as this object lives.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: byteCount) }

    /// Tells the kernel how the bytes in `range` will be read; without effect on their content.
    public func advise(_ access: Access, in range: Range<Int>) {
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let lower = max(0, range.lowerBound) / page * page
        let upper = min(byteCount, range.upperBound)
        guard lower < upper else { return }
        let advice =
            switch access {
            case .sequential: MADV_SEQUENTIAL
            case .random: MADV_RANDOM
            case .soon: MADV_WILLNEED
            case .done: MADV_DONTNEED
            }
        madvise(UnsafeMutableRawPointer(mutating: start + lower), upper - lower, Int32(advice))
    }
}

/// A regular file opened for reading; closed when it goes.
struct OpenedFile: ~Copyable {
    let path: String
    let descriptor: Int32
    let byteCount: Int
    let device: UInt64
    let inode: UInt64

    init(path: String) throws(ModelFileError) {
        // Non-blocking, so that a FIFO with no writer cannot hold us.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let code: ModelFileError.Code = errno == ENOENT || errno == ENOTDIR ? .fileNotFound : .fileUnreadable
            throw ModelFileError(code, "Cannot open '\(path)': \(systemMessage(errno)).")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let reason = systemMessage(errno)
            close(descriptor)
            throw ModelFileError(.fileUnreadable, "Cannot get information about '\(path)': \(reason).")
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "not a regular file"
            throw ModelFileError(.notARegularFile, "Cannot read '\(path)': it is \(kind), expected a regular file.")
        }
        self.path = path
        self.descriptor = descriptor
        byteCount = Int(status.st_size)
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }

    deinit {
        close(descriptor)
    }

    /// The content of a small file.
    ///
    /// - Throws: as `MappedFile.init`, and `fileTooLarge` above `limit` bytes.
    static func contents(of path: String, limit: Int) throws(ModelFileError) -> [UInt8] {
        let file = try OpenedFile(path: path)
        guard file.byteCount <= limit else {
            throw ModelFileError(
                .fileTooLarge, "Cannot read '\(path)': \(file.byteCount) bytes, expected at most \(limit).")
        }
        var content = [UInt8](repeating: 0, count: file.byteCount)
        var filled = 0
        while filled < content.count {
            let count = content.withUnsafeMutableBytes {
                read(file.descriptor, $0.baseAddress.map { $0 + filled }, $0.count - filled)
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let reason = count < 0 ? systemMessage(errno) : "it became shorter while it was read"
                throw ModelFileError(.fileUnreadable, "Cannot read '\(path)': \(reason).")
            }
            filled += count
        }
        return content
    }
}

/// The system's words for an `errno` value.
func systemMessage(_ code: Int32) -> String {
    guard let text = strerror(code) else { return "error \(code)" }
    return String(cString: text)
}

/// True if something is at `path`, whatever it is; a dangling link is nothing.
func fileExists(_ path: String) -> Bool {
    access(path, F_OK) == 0
}
