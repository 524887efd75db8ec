internal import CInotifyTools
internal import Glibc

extension RootLoop {
    /// A file that a scan found and that is not done.
    private struct Found {
        let path: RelativePath
        let identity: FileIdentity
    }

    /// Scans the whole root, and sets every watch that is missing.
    func scanEverything() {
        polled = []
        status.degraded = []
        checkWaiting()
        scan(.root, watching: true)
    }

    /// Drops from the queue what is gone, if no event told so; what changed is found by the scan.
    private func checkWaiting() {
        for candidate in queue.waiting(id) {
            if case .absent = candidate.folder.look(at: candidate.path) { queue.withdraw(id, candidate.path) }
        }
    }

    /// Scans the folder at `start` and everything in it: first it is watched, then listed, then its folders follow, so
    /// that what comes meanwhile is either listed or told.
    func scan(_ start: RelativePath, watching: Bool) {
        guard let root else { return }
        var found: [Found] = []
        var folders = [start]
        while let path = folders.popLast() {
            do {
                let folder = try root.openFolder(path)
                thread.turn()
                if watching { watch(folder, path) }
                for entry in try root.entries(of: folder) {
                    guard let child = path.appending(entry.name) else { continue }
                    switch entry.kind {
                    case .folder where thread.folder.isRecursive && filter.enters(child): folders.append(child)
                    case .file where filter.accepts(child):
                        if let status = root.status(of: entry.name, in: folder), status.isRegular {
                            consider(child, FileIdentity(status), &found)
                        }
                    case .file, .folder, .other: break
                    }
                }
            } catch {
                // What went meanwhile is no trouble; the root itself is looked after elsewhere.
                if error.kind == .resource { status.degraded.insert(.unreadable) }
                if path.isRoot { mustCheckRoot = true }
            }
            if found.count > 4 * thread.options.queueCapacity { shorten(&found) }
        }
        admit(found)
    }

    private func consider(_ path: RelativePath, _ identity: FileIdentity, _ found: inout [Found]) {
        if queue.knows(id, path, identity) || queue.isStale(id, modified: identity.modified, path: path) { return }
        if settler.holds(path) {
            _ = settler.note(.found, path, identity, at: now)
            return
        }
        let seen = Settler.Seen(sign: .found, first: now)
        guard let candidate = candidate(path, identity, .settled, seen), !thread.questions.isDone(candidate) else {
            return
        }
        found.append(Found(path: path, identity: identity))
    }

    /// Hands the files to the settler in the queue's order, as far as there is room.
    private func admit(_ found: [Found]) {
        for file in sorted(found) {
            switch queue.room(id, modified: file.identity.modified, path: file.path, ahead: settler.count) {
            case .free: break
            case .none: return
            case .noneForOthers:
                leftBehind = true
                return
            }
            guard settler.note(.found, file.path, file.identity, at: now) else {
                leftBehind = true
                return
            }
        }
    }

    private func shorten(_ found: inout [Found]) {
        found = Array(sorted(found).prefix(thread.options.queueCapacity))
        leftBehind = true
    }

    private func sorted(_ found: [Found]) -> [Found] {
        found.sorted {
            if $0.identity.modified == $1.identity.modified { return $0.path < $1.path }
            return thread.options.order == .oldestFirst
                ? $0.identity.modified < $1.identity.modified : $0.identity.modified > $1.identity.modified
        }
    }

    // MARK: - Watches

    /// Watches an open folder, or has it polled.
    private func watch(_ folder: borrowing Descriptor, _ path: RelativePath) {
        guard let fileStatus = folder.status() else { return }
        let number = FileNumber(fileStatus)
        if FileSystems.areQuiet(folder) { poll(path, .fileSystem) }
        if let known = table.watchedPath(of: number) {
            if known == path { return }
            if leads(known, to: number) {
                poll(path, .watchedTwice)
                return
            }
            thread.watcher.unwatch(table.remove(within: known))
        }
        // Where a watch failed for want of room, those beneath would too.
        if polled.contains(where: { path.isWithin($0) }),
            !status.degraded.isDisjoint(with: [.watchLimit, .inotifyUnavailable, .instanceLimit, .descriptorLimit])
        {
            return
        }
        do {
            table.insert(try thread.watcher.watch(folder.number, for: subscriber), path, number)
        } catch {
            switch error.code {
            case ENOENT: break
            case EEXIST: poll(path, .watchedTwice)
            case ENOSPC: poll(path, .watchLimit)
            case EACCES, EPERM: poll(path, .unreadable)
            case EMFILE: poll(.root, .instanceLimit)
            case ENFILE: poll(.root, .descriptorLimit)
            default: poll(.root, .inotifyUnavailable)
            }
        }
    }

    private func leads(_ path: RelativePath, to number: FileNumber) -> Bool {
        guard let folder = try? root?.openFolder(path), let status = folder.status() else { return false }
        return FileNumber(status) == number
    }

    private static let polledLimit = 64

    private func poll(_ path: RelativePath, _ reason: FolderDegradation) {
        status.degraded.insert(reason)
        // Many single folders cost more to keep than to scan together.
        let path = polled.count < Self.polledLimit ? path : .root
        guard !polled.contains(where: { path.isWithin($0) }) else { return }
        polled = polled.filter { !$0.isWithin(path) }
        polled.insert(path)
    }
}

/// File systems on which inotify does not see what other machines, or layers beneath, change.
private enum FileSystems {
    private static let magic: Set<Int64> = [
        0x6969,  // NFS
        0xFF53_4D42, 0xFE53_4D42, 0x517B,  // CIFS, SMB 2 and 3, SMB
        0x6573_5546,  // FUSE
        0x794C_7630,  // overlayfs
        0x0102_1997,  // 9p
        0x00C3_6400,  // Ceph
        0x5346_414F,  // AFS
        0x786F_4256,  // VirtualBox shared folders
    ]

    static func areQuiet(_ folder: borrowing Descriptor) -> Bool {
        magic.contains(fastvlm_file_system(folder.number))
    }
}
