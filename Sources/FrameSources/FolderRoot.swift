internal import CInotifyTools
internal import Glibc
internal import Synchronization

/// A watched folder, held open. Everything beneath it is reached from its descriptor without following links, so
/// that no link and no folder swapped in a race leads outside.
public final class FolderRoot: Sendable {
    /// As configured.
    public let path: String

    let descriptor: Descriptor

    /// The folder itself, whatever its path comes to mean.
    let number: FileNumber

    /// False where the kernel has no `openat2` or a sandbox denies it; then the way is opened part by part.
    private let usesOpenBeneath: Atomic<Bool>

    /// Opens the folder at `path`; links in `path` itself are followed.
    ///
    /// - Throws: `vanished` if there is no folder, `resource`.
    public convenience init(path: String) throws(FrameSourceError) {
        try self.init(path: path, usesOpenBeneath: true)
    }

    /// For tests: with false, as on a kernel without `openat2`.
    package init(path: String, usesOpenBeneath: Bool) throws(FrameSourceError) {
        let number = Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard number >= 0 else { throw .system(errno, "open the watched folder '\(path)'") }
        let descriptor = Descriptor(number)
        guard let status = descriptor.status() else { throw .system(errno, "examine the watched folder '\(path)'") }
        self.path = path
        self.number = FileNumber(status)
        self.usesOpenBeneath = Atomic(usesOpenBeneath)
        self.descriptor = descriptor
    }

    /// Calls `body` with the folder's descriptor, which is readable and stays open as long as this object.
    public func withDescriptor<Result, Failure: Error>(_ body: (Int32) throws(Failure) -> Result) throws(Failure)
        -> Result
    {
        try body(descriptor.number)
    }

    /// True if `path` still leads to this folder.
    func isStillAtItsPath() -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && FileNumber(status) == number
    }

    /// The identity of the regular file at `path`; nil if there is none (any more), or something else, or the system
    /// cannot tell.
    public func identity(of path: RelativePath) -> FileIdentity? {
        if case .file(let identity) = look(at: path) { identity } else { nil }
    }

    /// What there is at `path`.
    enum Look {
        case file(FileIdentity)
        /// Nothing, or no regular file.
        case absent
        /// Cannot be told now.
        case fault
    }

    func look(at path: RelativePath) -> Look {
        do {
            guard let status = try open(path, fastvlm_o_path() | O_NOFOLLOW).status() else { return .fault }
            return status.isRegular ? .file(FileIdentity(status)) : .absent
        } catch {
            return error.kind == .resource ? .fault : .absent
        }
    }

    /// True if the file at `path` is still the one that had this identity.
    public func isUnchanged(_ path: RelativePath, _ identity: FileIdentity) -> Bool {
        self.identity(of: path) == identity
    }

    /// The time of the last change of the file's entry, in nanoseconds since 1970; nil if it cannot be told.
    func entryChanged(of path: RelativePath) -> Int64? {
        guard let status = try? open(path, fastvlm_o_path() | O_NOFOLLOW).status() else { return nil }
        return Int64(status.st_ctim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_ctim.tv_nsec)
    }

    /// The last bytes of a file, at most `limit`; nil if it cannot be read now or is not that file any more.
    func tail(of path: RelativePath, _ identity: FileIdentity, limit: Int) -> [UInt8]? {
        guard let file = try? openForReading(path), let status = file.status(), FileIdentity(status) == identity else {
            return nil
        }
        let count = min(limit, identity.size)
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = pread(file.number, &bytes[filled], count - filled, off_t(identity.size - count + filled))
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return nil }
            filled += got
        }
        return bytes
    }

    /// Opens the regular file at `path` for reading; what is no regular file is not even opened.
    func openForReading(_ path: RelativePath) throws(FrameSourceError) -> Descriptor {
        let probe = try open(path, fastvlm_o_path() | O_NOFOLLOW)
        guard let before = probe.status() else { throw .system(errno, "examine '\(path)'") }
        guard before.isRegular else {
            throw FrameSourceError(.notARegularFile, "Cannot read '\(path)': expected a regular file.")
        }
        // Non-blocking, so that a FIFO that takes the file's place now cannot hold us.
        let file = try open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY)
        guard let status = file.status() else { throw .system(errno, "examine '\(path)'") }
        guard status.isRegular else {
            throw FrameSourceError(.notARegularFile, "Cannot read '\(path)': expected a regular file.")
        }
        return file
    }

    /// Opens a folder for listing and watching.
    func openFolder(_ path: RelativePath) throws(FrameSourceError) -> Descriptor {
        try open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
    }

    /// Opens what lies at `path` beneath the root without following links.
    private func open(_ path: RelativePath, _ flags: Int32) throws(FrameSourceError) -> Descriptor {
        let code: Int32
        if usesOpenBeneath.load(ordering: .relaxed) {
            let name = path.isRoot ? cString([46]) : cString(path.bytes)
            for _ in 0..<16 {
                let opened = fastvlm_open_beneath(descriptor.number, name, flags | O_CLOEXEC)
                if opened >= 0 { return Descriptor(opened) }
                // EAGAIN: something was renamed meanwhile and the kernel could not prove that we stay beneath.
                if errno != EINTR && errno != EAGAIN { break }
            }
            code = errno
            guard code == ENOSYS || code == EPERM || code == E2BIG else { throw .system(code, "open '\(path)'") }
            if code == ENOSYS { usesOpenBeneath.store(false, ordering: .relaxed) }
        }
        return try openPartByPart(path, flags)
    }

    private func openPartByPart(_ path: RelativePath, _ flags: Int32) throws(FrameSourceError) -> Descriptor {
        let parts = path.isRoot ? [[46]] : path.parts
        var folder: Int32 = descriptor.number
        var held: Descriptor?
        for (index, part) in parts.enumerated() {
            let isLast = index == parts.count - 1
            let partFlags = isLast ? flags | O_NOFOLLOW : fastvlm_o_path() | O_DIRECTORY | O_NOFOLLOW
            var opened = openat(folder, cString(part), partFlags | O_CLOEXEC)
            while opened < 0, errno == EINTR { opened = openat(folder, cString(part), partFlags | O_CLOEXEC) }
            guard opened >= 0 else { throw .system(errno, "open '\(path)'") }
            if isLast { return Descriptor(opened) }
            held = Descriptor(opened)
            folder = opened
        }
        _ = held
        throw FrameSourceError(.invalid, "Cannot open '\(path)': the path has no parts.")
    }
}
