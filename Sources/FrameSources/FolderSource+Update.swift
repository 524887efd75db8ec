extension FolderSource {
    /// Watches `folders` from now on, and no others. Those that are the same as before are not disturbed. Frames that were
    /// given out are finished as ever; those that wait in a folder that goes or changes stay on the disk, and are found
    /// again where the folder is watched anew. Calls must not overlap.
    ///
    /// - Throws: `invalid` as `init`, and `resource`; then nothing has changed. Where a new thread does not start, the
    ///   folders before it are watched.
    public func update(_ folders: [WatchedFolder]) async throws(FrameSourceError) {
        try Self.check(folders, options)
        let before = threads
        let kept = before.filter { folders.contains($0.folder) }
        let gone = before.filter { !folders.contains($0.folder) }
        var new: [RootThread] = []
        for folder in folders where !kept.contains(where: { $0.folder == folder }) {
            new.append(try thread(for: folder))
        }
        roots.change { $0.threads = kept }
        for thread in gone where hasStarted {
            thread.mailbox.request(.stop)
            await thread.ended()
        }
        for thread in gone {
            queue.release(thread.folder.id)
            roots.change { $0.retired[thread.folder.id, default: FolderCounters()].keep(thread.status) }
        }
        for thread in new {
            admit(thread)
            roots.change { $0.threads.append(thread) }
            if hasStarted { try thread.start() }
        }
    }
}
