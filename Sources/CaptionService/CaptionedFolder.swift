internal import FoundationEssentials
internal import FrameSources
internal import Logging
internal import Sidecars

/// One watched folder with its tasks and the place of its sidecars.
struct CaptionedFolder: Sendable {
    let watch: DaemonConfiguration.Watch
    /// Its place in the configuration.
    let number: Int
    /// Tokens of its prompts, besides the picture's.
    let textTokens: Int
    /// Where sidecars go if not beside the pictures.
    private let mirror: SidecarStore?
    private let logger: Logger

    /// Checks the folder, makes the sidecars' own folder if there is one, and removes what unfinished commits left.
    init(
        _ watch: DaemonConfiguration.Watch, number: Int, textTokens: Int, sidecars: DaemonConfiguration.Sidecars,
        isRequired: Bool, logger: Logger
    ) throws(DaemonError) {
        self.watch = watch
        self.number = number
        self.textTokens = textTokens
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
        do {
            let store = try mirror ?? (isThere ? SidecarStore(path: watch.path) : nil)
            try store?.removeOwnTemporaries(recursive: watch.recursive)
        } catch {
            // They do no harm, and each commit will say what is wrong with the folder.
            logger.warning("\(error)")
        }
    }

    private static func mirror(
        of watch: DaemonConfiguration.Watch, _ sidecars: DaemonConfiguration.Sidecars
    ) throws(DaemonError) -> SidecarStore? {
        guard let directory = sidecars.directory else { return nil }
        let place = "\(directory)/\(watch.name)"
        do {
            try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
            return try SidecarStore(path: place, mirrors: true)
        } catch {
            throw DaemonError(
                .folder,
                "Cannot keep the sidecars of '\(watch.path)' in '\(place)': it cannot be made or opened by "
                    + "this user. Check its permissions, or set another sidecars.directory.")
        }
    }

    /// True if the candidate's present content has its sidecar, or never can have one.
    func isDone(_ candidate: FrameCandidate) -> Bool {
        do {
            switch try store(for: candidate).existing(for: candidate.path.bytes) {
            case .absent: return false
            case .own(let sidecar):
                return sidecar.matches(
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

    /// Commits `document` unless the picture has changed.
    func commit(_ document: SidecarDocument, for candidate: FrameCandidate) throws(SidecarError) {
        try SidecarWriter(store: try store(for: candidate)).commit(
            document, for: candidate.path.bytes, isCurrent: { candidate.isCurrent })
    }

    /// What the sidecar says of where the picture came from.
    func source(of candidate: FrameCandidate, sha256: String? = nil) -> SidecarDocument.Source {
        SidecarDocument.Source(
            file: candidate.path.name, sha256: sha256, bytes: candidate.identity.size,
            modified: Timestamp(nanoseconds: candidate.identity.modified), origin: "watch:\(watch.name)")
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
