internal import FoundationEssentials
internal import Glibc
public import Logging
internal import Synchronization

/// Counts at how many crashes of the process each picture was in flight, so that one that brings the program down
/// cannot do so for ever.
///
/// A picture is noted before it is taken up and cleared when its sidecar is committed. What is noted and not cleared
/// when the process starts was in flight when it crashed. A note costs one write and no more: the death of a process
/// loses nothing that was written, and a power cut is rarely a picture's fault. Only what a crash has made suspect is
/// synchronized, so that it is counted even if it takes the machine down.
///
/// Where the journal cannot be kept, the pictures are captioned all the same, and it says so once.
public final class InFlightJournal: Sendable {
    /// A picture that was in flight at this many crashes is refused.
    public static let crashLimit = 3

    /// The journal's name in its directory.
    public static let fileName = "in-flight.journal"

    /// More is no journal of ours.
    static let sizeLimit = 1 << 20
    /// It is written anew, without what has ended, when it has grown by this many bytes.
    static let growthLimit = 1 << 16

    /// All about the file is guarded by the lock: it is written from any task.
    private struct State {
        var records = InFlightRecords()
        /// -1 where there is none.
        var file: Int32 = -1
        /// Keeps other processes away as long as it is open; -1 where there is none.
        var lock: Int32 = -1
        /// Bytes of the file that count, and how many of them were there when it was written anew.
        var length = 0
        var baseLength = 0
        var hasWarned = false
    }

    private let state: Mutex<State>
    private let directory: String
    private let logger: Logger

    private var path: String { "\(directory)/\(Self.fileName)" }

    /// Opens the journal in `directory`, which is made if it is missing, and counts what was in flight at a crash.
    /// A file that is no journal is set aside as `in-flight.journal.bad`.
    public init(directory: String, logger: Logger) {
        self.directory = directory
        self.logger = logger
        state = Mutex(State())
        try? FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        state.withLock { start(&$0) }
    }

    deinit {
        state.withLock {
            if $0.file >= 0 { close($0.file) }
            if $0.lock >= 0 { close($0.lock) }
        }
    }

    /// False where nothing is counted: the directory cannot be written, or another process keeps its journal there.
    public var isKept: Bool { state.withLock { $0.file >= 0 } }

    /// Notes that the picture is taken up.
    ///
    /// - Returns: at how many crashes it was in flight before.
    public func note(_ key: InFlightKey) -> Int {
        state.withLock {
            $0.records.begin(key)
            let crashes = $0.records.crashes[key] ?? 0
            append("+ \(key)", &$0)
            if crashes > 0, $0.file >= 0 { fdatasync($0.file) }
            return crashes
        }
    }

    /// Notes that the work on the picture has ended.
    ///
    /// - Parameter isSettled: false if it comes again as it is: then its crashes still count.
    public func clear(_ key: InFlightKey, isSettled: Bool) {
        state.withLock {
            $0.records.end(key)
            append("- \(key)", &$0)
            let wasSuspect = isSettled && $0.records.crashes[key] != nil
            if wasSuspect { $0.records.forget(key) }
            if wasSuspect || $0.length - $0.baseLength > Self.growthLimit { rewrite(&$0) }
        }
    }

    /// From now on an end of the process is no crash: it was asked for, or a picture only waits for the disk.
    public func pause() {
        state.withLock {
            $0.records.pause()
            // Where there is no room for that word, there is always room for less.
            if !append("pause", &$0), $0.file >= 0, ftruncate($0.file, off_t($0.baseLength)) == 0 {
                $0.length = $0.baseLength
            }
        }
    }

    /// Ends one `pause()`.
    public func resume() {
        state.withLock {
            $0.records.resume()
            append("resume", &$0)
        }
    }

    // MARK: - The file

    private func start(_ state: inout State) {
        let flags = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC
        state.lock = open("\(directory)/in-flight.lock", flags, 0o600)
        guard state.lock >= 0 else {
            return warn("make a file in '\(directory)'", errno, &state)
        }
        guard flock(state.lock, LOCK_EX | LOCK_NB) == 0 else {
            return warn("use the journal in '\(directory)', which another process keeps", errno, &state)
        }
        if let records = read(&state) {
            state.records = records.afterCrash()
        } else {
            if state.file >= 0 { close(state.file) }
            state.file = -1
            logger.warning(
                "The journal of pictures in flight cannot be read: it is set aside, and crashes are counted anew.",
                metadata: ["file": "\(path).bad"])
            guard rename(path, "\(path).bad") == 0 || errno == ENOENT else {
                return warn("set '\(path)' aside", errno, &state)
            }
        }
        for (key, count) in state.records.crashes.sorted(by: { $0.key.description < $1.key.description }) {
            logger.notice("A picture was in flight at a crash.", metadata: ["key": "\(key)", "crashes": "\(count)"])
        }
        rewrite(&state)
    }

    /// What the file says, which stays open; nil if it is no journal or cannot be read.
    private func read(_ state: inout State) -> InFlightRecords? {
        // Non-blocking, so that a FIFO cannot hold us.
        state.file = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
        guard state.file >= 0 else { return errno == ENOENT ? InFlightRecords() : nil }
        var status = stat()
        guard fstat(state.file, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_size <= Self.sizeLimit
        else { return nil }
        var text = [UInt8](repeating: 0, count: Int(status.st_size))
        var filled = 0
        while filled < text.count {
            let count = pread(state.file, &text[filled], text.count - filled, off_t(filled))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return nil }
            filled += count
        }
        state.length = (text.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
        state.baseLength = state.length
        return InFlightRecords(text: text)
    }

    /// Puts the records as they are in the file's place, durably. Where that fails, the old file goes on.
    private func rewrite(_ state: inout State) {
        let temporary = "\(path).tmp"
        let text = state.records.text
        unlink(temporary)
        let file = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard file >= 0 else { return warn("write '\(temporary)'", errno, &state) }
        guard Self.write(text, to: file, at: 0), fsync(file) == 0, rename(temporary, path) == 0 else {
            let code = errno
            close(file)
            unlink(temporary)
            return warn("write '\(path)'", code, &state)
        }
        if state.file >= 0 { close(state.file) }
        state.file = file
        state.length = text.count
        state.baseLength = text.count
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        if folder >= 0 {
            fsync(folder)
            close(folder)
        }
    }

    /// Adds a line.
    ///
    /// - Returns: false if it is not there.
    @discardableResult
    private func append(_ line: String, _ state: inout State) -> Bool {
        guard state.file >= 0 else { return false }
        let text = Array((line + "\n").utf8)
        guard Self.write(text, to: state.file, at: state.length) else {
            warn("write '\(path)'", errno, &state)
            return false
        }
        state.length += text.count
        return true
    }

    /// Writes all of `bytes`; sets `errno` where it returns false.
    private static func write(_ bytes: [UInt8], to file: Int32, at place: Int) -> Bool {
        var written = 0
        while written < bytes.count {
            let count = pwrite(file, Array(bytes[written...]), bytes.count - written, off_t(place + written))
            if count < 0, errno == EINTR { continue }
            if count == 0 { errno = ENOSPC }
            guard count > 0 else { return false }
            written += count
        }
        return true
    }

    private func warn(_ work: String, _ code: Int32, _ state: inout State) {
        guard !state.hasWarned else { return }
        state.hasWarned = true
        let reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
        logger.warning(
            "Cannot \(work): \(reason). Pictures are captioned all the same, but one that crashes the program is not found out."
        )
    }
}
