/// One generation of a file in a watched folder that is complete and waits for its caption.
public struct FrameCandidate: Sendable {
    public enum Condition: String, Sendable, Codable {
        /// Complete, as far as can be told without decoding it.
        case settled
        /// Its end marker is still missing `settle_max` after its last change: to be refused as truncated.
        case truncated
    }

    /// The watched folder's name in the configuration.
    public let root: String
    /// The watched folder as it was when the file was found.
    public let folder: FolderRoot
    public let path: RelativePath
    public let identity: FileIdentity
    public let condition: Condition
    /// How this generation of the file came to notice.
    public let sign: Settler.Sign
    /// When it came to notice.
    public let arrival: ContinuousClock.Instant

    /// Reads and hashes the file.
    ///
    /// - Throws: as `FolderRoot.claim(_:limit:)`; `changed` also if it is no longer the generation that settled.
    public func claim(limit: Int) throws(FrameSourceError) -> ClaimedFrame {
        let frame = try folder.claim(path, limit: limit)
        guard frame.identity == identity else {
            throw FrameSourceError(.changed, "Cannot use '\(path)': it changed after it had settled.")
        }
        return frame
    }

    /// When the file's entry last changed: its content, name, place or rights; in nanoseconds since 1970. Nil if it is gone
    /// or cannot be told.
    public var entryChanged: Int64? { folder.entryChanged(of: path) }

    /// True if the file is still there and still this generation.
    public var isCurrent: Bool { folder.isUnchanged(path, identity) }
}

/// How the work on a candidate ended.
public enum FrameOutcome: String, Sendable, Codable {
    /// Its sidecar is committed.
    case done
    /// The file was gone.
    case vanished
    /// The file changed: it is looked at again.
    case superseded
    /// Nothing was committed and nothing is known to be wrong with the file: it comes again with the next scan, which
    /// is asked for.
    case putBack = "put_back"
}

/// Which of the waiting frames comes next; by the files' modification times.
public enum FrameOrder: String, Sendable, Codable, CaseIterable {
    case oldestFirst = "oldest_first"
    case newestFirst = "newest_first"
}
