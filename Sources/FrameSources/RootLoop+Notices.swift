extension RootLoop {
    func handle(_ notice: WatchNotice) {
        switch notice {
        case .overflow:
            status.overflows += 1
            mustScan = true
        case .reset:
            table.removeAll()
            mustScan = true
        case .event(let watch, let events, let name):
            // Notices of watches that were given up still come for a while.
            guard let folder = table.path(of: watch) else { return }
            if name.isEmpty {
                handleFolderItself(folder, watch, events)
            } else if let path = folder.appending(name) {
                if events.contains(.isFolder) {
                    handleFolder(path, events)
                } else if filter.accepts(path) {
                    handleFile(path, events)
                }
            }
        }
    }

    private func handleFolderItself(_ folder: RelativePath, _ watch: WatchID, _ events: WatchEvents) {
        guard !events.isDisjoint(with: [.selfDeleted, .selfMoved, .unmounted, .ignored]) else { return }
        if folder.isRoot { mustCheckRoot = true }
        if events.contains(.ignored) {
            table.remove(watch)
        } else if events.contains(.selfMoved), !folder.isRoot {
            // Its old folder's notice has not told; so where it is now is not known either.
            forget(within: folder)
            mustScan = true
        } else if events.contains(.unmounted) {
            mustScan = true
        }
    }

    private func handleFolder(_ path: RelativePath, _ events: WatchEvents) {
        guard thread.folder.isRecursive, filter.enters(path) else { return }
        if events.contains(.movedFrom) {
            forget(within: path)
        } else if events.contains(.deleted) {
            // Its watch ends with it.
            forget(within: path, unwatching: false)
        } else if !events.isDisjoint(with: [.created, .movedTo]) {
            scan(path, watching: true)
        }
    }

    private func handleFile(_ path: RelativePath, _ events: WatchEvents) {
        if events.contains(.movedTo) {
            note(.movedIn, path)
        } else if !events.isDisjoint(with: [.created, .closedAfterWriting]) {
            note(.appeared, path)
        } else if !events.isDisjoint(with: [.deleted, .movedFrom]) {
            settler.forget(path)
            queue.withdraw(id, path)
        }
    }

    /// Gives up everything within a folder that is no longer where it was.
    private func forget(within folder: RelativePath, unwatching: Bool = true) {
        let watches = table.remove(within: folder)
        if unwatching { thread.watcher.unwatch(watches) }
        polled = polled.filter { !$0.isWithin(folder) }
        settler.forget(within: folder)
        queue.withdraw(id, within: folder)
    }
}
