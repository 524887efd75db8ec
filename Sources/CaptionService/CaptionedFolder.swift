internal import FoundationEssentials
internal import FrameSources
internal import Glibc
internal import Logging
internal import Sidecars
internal import UntrustedJSON

/// One watched folder with its tasks and the place of its sidecars.
struct CaptionedFolder: Sendable {
    let watch: DaemonConfiguration.Watch
    /// Its place in the configuration.
    var number: Int
    /// What holds for the folders that name no place of their own.
    let sidecars: DaemonConfiguration.Sidecars
    /// When it began to be watched, in nanoseconds since 1970.
    let since: Int64
    /// Where sidecars go if not beside the pictures.
    private let mirror: SidecarStore?
    private let logger: Logger

    /// Checks the folder, makes the sidecars' own folder if there is one, and removes what unfinished commits left.
    ///
    /// - Parameters:
    ///   - removesTemporaries: Whether what unfinished commits left is removed; only where no commit can be at work.
    ///   - since: When it began to be watched. The default, nil, is now.
    init(
        _ watch: DaemonConfiguration.Watch, number: Int, sidecars: DaemonConfiguration.Sidecars,
        removesTemporaries: Bool = true, isRequired: Bool, since: Int64? = nil, logger: Logger
    ) throws(DaemonError) {
        self.watch = watch
        self.sidecars = sidecars
        self.since = since ?? Self.fileClock
        self.number = number
        self.logger = logger
        var isDirectory = false
        let isThere = FileManager.default.fileExists(atPath: watch.path, isDirectory: &isDirectory)
        guard isThere || !isRequired else {
            throw DaemonError(
                .folder, "Cannot watch '\(watch.path)': there is no such folder. Make it, or name another.")
        }
        guard !isThere || isDirectory else {
            throw DaemonError(.folder, "Cannot watch '\(watch.path)': it is not a folder.")
        }
        if !isThere {
            logger.warning(
                "A watched folder is missing; it is taken up when it appears.", metadata: ["folder": "\(watch.path)"])
        }
        mirror = try Self.mirror(of: watch, sidecars)
        guard removesTemporaries else { return }
        do {
            let store = try mirror ?? (isThere ? SidecarStore(path: watch.path) : nil)
            try store?.removeOwnTemporaries(recursive: watch.recursive)
        } catch {
            // They do no harm, and each commit will say what is wrong with the folder.
            logger.warning("\(error)")
        }
    }

    /// The clock that the kernel stamps files with, in nanoseconds since 1970. It lies some milliseconds behind the exact one:
    /// by that, a file of this moment would seem to have been there before.
    private static var fileClock: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }

    private static func mirror(
        of watch: DaemonConfiguration.Watch, _ sidecars: DaemonConfiguration.Sidecars
    ) throws(DaemonError) -> SidecarStore? {
        let (place, key): (String, String)
        switch (watch.sidecars, sidecars.directory) {
        case (.folder(let folder), _): (place, key) = (folder, "the folder's 'sidecars'")
        case (.common, let directory?): (place, key) = ("\(directory)/\(watch.name)", "'sidecars.directory'")
        case (.beside, _), (.common, nil): return nil
        }
        do {
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            return try SidecarStore(path: place, mirrors: true)
        } catch {
            throw DaemonError(
                .folder,
                "Cannot keep the sidecars of '\(watch.path)' in '\(place)': it cannot be made or opened by "
                    + "this user. Check its permissions, or name another place as \(key) in the configuration.")
        }
    }

    /// True if the candidate's present content has its sidecar, or never can have one.
    func isDone(_ candidate: FrameCandidate) -> Bool {
        do {
            switch try store(for: candidate).existing(for: candidate.path.bytes) {
            case .absent: return watch.reprocess == .new && wasThereBefore(candidate)
            case .own(let sidecar):
                return watch.reprocess != .changed
                    || sidecar.matches(
                        bytes: candidate.identity.size, modifiedNanoseconds: candidate.identity.modified)
            case .foreign:
                logger.warning(
                    "A file that is no sidecar of ours has the sidecar's name: the picture is left alone.",
                    metadata: ["picture": "\(candidate.root)/\(candidate.path)"])
                return true
            }
        } catch {
            // Not known now: the commit looks again before it writes anything.
            return false
        }
    }

    /// True if a scan found the picture and it lay there before the folder was watched: moving a file into place changes
    /// its entry's time, if not its content's.
    private func wasThereBefore(_ candidate: FrameCandidate) -> Bool {
        candidate.sign == .found && candidate.entryChanged.map { $0 < since } ?? false
    }

    /// Commits `document` unless the picture has changed.
    func commit(_ document: SidecarDocument, for candidate: FrameCandidate) throws(SidecarError) {
        try SidecarWriter(store: try store(for: candidate)).commit(
            document, for: candidate.path.bytes, isCurrent: { candidate.isCurrent })
    }

    /// What is asked about the picture.
    func tasks(for candidate: FrameCandidate) -> PictureTasks {
        guard watch.isSpool, let note = candidate.path.parent.appending(Spool.noteName(of: candidate.path.name)),
            let frame = try? candidate.folder.claim(note, limit: 65_536),
            let request = try? JSONDecoder().decode(Spool.Request.self, fromUntrusted: frame.bytes)
        else { return watch.tasks.filledIn(facts(of: candidate)) }
        var tasks = watch.tasks.filledIn(facts(of: candidate))
        if let prompt = request.prompt { tasks.prompt = prompt }
        if let questions = request.questions, !questions.isEmpty {
            tasks.questions = questions
            tasks.prompt = request.prompt ?? ""
        }
        if let model = request.model { tasks.model = model }
        if let budget = request.budget { tasks.budget = budget }
        return tasks
    }

    /// What the results say of where its pictures came from.
    func origin(of candidate: FrameCandidate) -> String {
        guard watch.isSpool, let source = candidate.path.parts.dropLast().first else { return "watch:\(watch.name)" }
        return "\(watch.name):\(String(decoding: source, as: UTF8.self))"
    }

    /// What the sidecar says of where the picture came from.
    func source(of candidate: FrameCandidate, sha256: String? = nil) -> SidecarDocument.Source {
        SidecarDocument.Source(
            file: candidate.path.name, sha256: sha256, bytes: candidate.identity.size,
            modified: Timestamp(nanoseconds: candidate.identity.modified), origin: origin(of: candidate))
    }

    /// What its prompts can say of a picture.
    func facts(of candidate: FrameCandidate) -> PromptFacts {
        let inner = candidate.path.parent.name
        return PromptFacts(
            source(of: candidate),
            folder: inner.isEmpty ? watch.path.split(separator: "/").last.map { Array($0.utf8) } ?? [] : inner)
    }

    /// Beside the pictures, the store is on the very folder that the picture was found in.
    private func store(for candidate: FrameCandidate) throws(SidecarError) -> SidecarStore {
        if let mirror { return mirror }
        return try candidate.folder.withDescriptor { (descriptor) throws(SidecarError) in
            try SidecarStore(duplicating: descriptor, name: candidate.folder.path)
        }
    }
}
