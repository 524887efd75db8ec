internal import FrameSources

extension FolderCaptionService {
    /// What a reload did.
    public struct Changes: Sendable, Equatable {
        /// Names of folders.
        public var added: [String] = []
        public var removed: [String] = []
        public var changed: [String] = []

        public init(added: [String] = [], removed: [String] = [], changed: [String] = []) {
            self.added = added
            self.removed = removed
            self.changed = changed
        }
    }

    /// Watches the folders of `configuration` from now on, with its tasks and places of sidecars. A picture that is in work
    /// is finished as it was begun; no picture is lost. Calls must not overlap.
    ///
    /// - Throws: Where a folder or its sidecars' place cannot be used; then everything stays as it was.
    public func apply(_ configuration: DaemonConfiguration) async throws(DaemonError) -> Changes {
        let before = folders.all
        var after: [String: CaptionedFolder] = [:]
        var changes = Changes()
        for (number, watch) in configuration.allWatches.enumerated() {
            let old = before[watch.name]
            if var old, old.watch == watch, old.sidecars == configuration.sidecars {
                old.number = number
                after[watch.name] = old
                continue
            }
            if old == nil { changes.added.append(watch.name) } else { changes.changed.append(watch.name) }
            after[watch.name] = try CaptionedFolder(
                watch, number: number, sidecars: configuration.sidecars,
                removesTemporaries: !folders.hasWatched(watch.path), isRequired: false,
                since: old?.watch.path == watch.path ? old?.since : nil,
                logger: logger)
        }
        changes.removed = before.keys.filter { after[$0] == nil }.sorted()
        // First the new questions, then the new folders: a folder without an answer would count as done.
        folders.replace(with: before.merging(after) { $1 })
        do {
            try await source.update(configuration.allWatches.map(\.folder))
        } catch {
            if error.kind == .invalid { folders.replace(with: before) }
            throw DaemonError(.folder, error.message)
        }
        folders.replace(with: after)
        if !changes.changed.isEmpty { source.requestScan() }
        return changes
    }
}

extension DaemonConfiguration.Watch {
    /// As the watcher takes it.
    var folder: WatchedFolder {
        WatchedFolder(
            id: name, path: path, isRecursive: recursive, filter: NameFilter(include: include, exclude: exclude),
            newest: mode == .live ? keepNewest : nil)
    }
}
