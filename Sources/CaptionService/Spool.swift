internal import FoundationEssentials
internal import Glibc
public import Sidecars
internal import Synchronization

/// A folder where frames that nobody waits for are kept until their turn comes; it is watched like any other.
///
/// A frame counts as kept when its bytes and its name are on the disk. It lies in a folder of its source's name, and what
/// was asked about it, if anything was, beside it in a file that starts with a dot. ``sweep(now:)`` removes what was finished
/// long ago.
public final class Spool: Sendable {
    /// The name of the watched folder that the spool is.
    public static let watchName = "spool"

    public let path: String
    let limits: Limits
    private let calls: any FileCalls
    /// Held while anything is kept or removed; nil until it was looked for.
    private let holding = Mutex<Holding?>(nil)

    /// How much it may hold, and for how long.
    public struct Limits: Sendable, Equatable {
        /// Of all files together. The default is 1 GB.
        public var bytes = 1_000_000_000
        /// Pictures, finished or not. The default is 10,000.
        public var frames = 10_000
        /// How long a finished frame stays with its result. The default is a day.
        public var keepsFinished = Duration.seconds(86_400)

        public init() {}
    }

    /// What was asked about one frame, in place of what is asked about all.
    public struct Request: Sendable, Equatable, Codable {
        public var prompt: String?
        public var model: String?
        /// Milliseconds from when the frame is noticed.
        public var budget: Double?
        /// In place of all others; with questions and no prompt there is no caption.
        public var questions: [PictureTasks.Question]?

        public init(
            prompt: String? = nil, model: String? = nil, budget: Double? = nil, questions: [PictureTasks.Question] = []
        ) {
            self.prompt = prompt
            self.model = model
            self.budget = budget
            self.questions = questions.isEmpty ? nil : questions
        }

        public var isEmpty: Bool { prompt == nil && model == nil && budget == nil && questions == nil }

        private enum CodingKeys: String, CodingKey {
            case prompt, model, questions
            case budget = "budget_ms"
        }
    }

    /// - Parameter path: Made if it is not there, readable for the daemon's user and group alone.
    public convenience init(path: String, limits: Limits = Limits()) throws(DaemonError) {
        try self.init(path: path, limits: limits, calls: SystemFileCalls())
    }

    /// For tests: with calls that fail.
    package init(path: String, limits: Limits = Limits(), calls: any FileCalls) throws(DaemonError) {
        self.path = path
        self.limits = limits
        self.calls = calls
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o750])
        } catch {
            throw DaemonError(
                .folder,
                "Cannot use the spool '\(path)': it cannot be made by this user. Check its permissions, or set another "
                    + "socket.spool.")
        }
    }

    /// Keeps one frame. Blocks on the disk.
    ///
    /// - Parameters:
    ///   - picture: A JPEG or PNG file's bytes.
    ///   - fileExtension: `jpg` or `png`.
    ///   - source: A name that ``isSourceName(_:)``.
    /// - Returns: The frame's name beneath the spool; its sidecar's is the same with the sidecars' suffix.
    /// - Throws: `resource` for everything that can succeed later, with `EDQUOT` where the spool holds as much as it may;
    ///   `invalid`.
    public func keep(
        _ picture: [UInt8], fileExtension: String, source: String, request: Request = Request()
    ) throws(SidecarError) -> String {
        guard Self.isSourceName(source) else {
            throw SidecarError(
                .invalid, "Cannot keep a frame of '\(source)': expected 1 to 64 letters, digits, '.', '_' and '-'.")
        }
        return try holding.withLock { (holding) throws(SidecarError) in
            try makeRoom(for: picture.count, &holding)
            let name = try write(picture, fileExtension, source, request)
            holding?.add(picture.count)
            return name
        }
    }

    private func makeRoom(for bytes: Int, _ holding: inout Holding?) throws(SidecarError) {
        func fits() -> Bool { holding?.takes(bytes, limits) ?? false }
        if fits() { return }
        // Somebody may have taken finished ones away since.
        if holding.map({ ContinuousClock.now - $0.since > Self.patience }) ?? true { holding = tidy(now: time(nil)) }
        guard !fits() else { return }
        throw SidecarError(
            .resource,
            "Cannot keep a frame in the spool '\(path)': it may hold \(limits.frames) frames and \(limits.bytes) bytes. "
                + "Remove finished ones, or set socket.spool_frames and socket.spool_mb.", systemCode: EDQUOT)
    }

    /// Between two looks at a spool that is full.
    private static let patience = Duration.seconds(1)

    /// Removes what was finished long ago, and what is left of frames that are gone. Blocks on the disk.
    ///
    /// - Parameter now: Seconds since 1970. The default, nil, is the present moment.
    public func sweep(now: Int? = nil) { holding.withLock { $0 = tidy(now: now ?? time(nil)) } }

    private func write(
        _ picture: [UInt8], _ fileExtension: String, _ source: String, _ request: Request
    ) throws(SidecarError) -> String {
        do throws(SystemFault) {
            let root = try OpenFolder(path, in: AT_FDCWD, calls)
            do {
                try calls.makeFolder(Array(source.utf8), in: root.number, mode: 0o750)
                try calls.synchronize(root.number)
            } catch {
                guard error.code == EEXIST else { throw error }
            }
            let folder = try OpenFolder(source, in: root.number, calls)
            let name = "\(Timestamp.now.milliseconds)-\(Self.randomDigits()).\(fileExtension)"
            if !request.isEmpty, let note = try? JSONEncoder().encode(request) {
                try write(Array(note), to: Self.noteName(of: Array(name.utf8)), in: folder.number)
            }
            try write(picture, to: Array(name.utf8), in: folder.number)
            try calls.synchronize(folder.number)
            return "\(source)/\(name)"
        } catch {
            throw SidecarError(
                .resource, "Cannot keep a frame in the spool '\(path)': system error \(error.code).",
                systemCode: error.code)
        }
    }

    /// Whether `name` can be the name of a source: 1 to 64 letters, digits, `.`, `_` and `-`, not starting with a dot.
    public static func isSourceName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count) && !name.hasPrefix(".") && name.utf8.allSatisfy(isNameByte)
    }

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// Where it lies what was asked about the picture called `name`.
    static func noteName(of name: [UInt8]) -> [UInt8] { Array(".".utf8) + name + Array(".request.json".utf8) }

    /// Writes a whole file with its content on the disk; its name is there only with the folder's next synchronization.
    private func write(_ bytes: [UInt8], to name: [UInt8], in folder: Int32) throws(SystemFault) {
        // A name that the next start takes for a commit's remains, and removes.
        let temporary = Array(".fastvlm-\(Self.randomDigits()).tmp".utf8)
        do throws(SystemFault) {
            let file = OpenFile(
                try calls.open(
                    temporary, in: folder, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode: 0o640))
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = try calls.write(rest, to: file.number)
                if count == 0 { throw SystemFault(EIO) }
                rest = rest.dropFirst(count)
            }
            try calls.synchronize(file.number)
            try calls.rename(temporary, to: name, in: folder)
        } catch {
            try? calls.remove(temporary, in: folder)
            throw error
        }
    }

    /// 16 hexadecimal digits.
    private static func randomDigits() -> String {
        let digits = String(UInt64.random(in: 0...UInt64.max), radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Closed when it goes.
private struct OpenFile: ~Copyable {
    let number: Int32
    init(_ number: Int32) { self.number = number }
    deinit { close(number) }
}

private struct OpenFolder: ~Copyable {
    let number: Int32
    init(_ name: String, in folder: Int32, _ calls: any FileCalls) throws(SystemFault) {
        number = try calls.open(
            Array(name.utf8), in: folder, flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC, mode: 0)
    }
    deinit { close(number) }
}
