/// Which folders of a root are watched: by watch, by path and by the folder's number, all three in step.
struct WatchTable {
    private struct Watched {
        let path: RelativePath
        let number: FileNumber
    }

    private var byWatch: [WatchID: Watched] = [:]
    private var byNumber: [FileNumber: WatchID] = [:]

    var count: Int { byWatch.count }

    /// Where the watched folder was when its watch was set.
    func path(of watch: WatchID) -> RelativePath? { byWatch[watch]?.path }

    /// Where the folder `number` is watched.
    func watchedPath(of number: FileNumber) -> RelativePath? { byNumber[number].flatMap { byWatch[$0]?.path } }

    mutating func insert(_ watch: WatchID, _ path: RelativePath, _ number: FileNumber) {
        remove(watch)
        byWatch[watch] = Watched(path: path, number: number)
        byNumber[number] = watch
    }

    mutating func remove(_ watch: WatchID) {
        guard let watched = byWatch.removeValue(forKey: watch) else { return }
        if byNumber[watched.number] == watch { byNumber[watched.number] = nil }
    }

    /// Removes the folder at `path` and everything beneath it.
    ///
    /// - Returns: the watches that were set on them.
    mutating func remove(within path: RelativePath) -> [WatchID] {
        let watches = byWatch.filter { $0.value.path.isWithin(path) }.map(\.key)
        for watch in watches { remove(watch) }
        return watches
    }

    mutating func removeAll() { self = WatchTable() }
}
