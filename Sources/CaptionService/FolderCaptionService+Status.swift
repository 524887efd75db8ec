internal import FrameSources

extension FolderCaptionService {
    /// The frames of each folder, those included that are no longer watched; each folder's of one instant.
    public var frames: [SourceFrames] {
        let now = ContinuousClock.now
        return source.countersByRoot.sorted { $0.key < $1.key }.map { name, counters in
            SourceFrames(
                source: "watch:\(name)", received: counters.received, outcomes: counters.outcomes,
                pending: ["waiting": counters.waiting, "in_work": counters.inWork],
                oldestPending: counters.oldestArrival.map { now - $0 })
        }
    }

    /// How each folder is.
    var statuses: [ServiceStatus.Folder] {
        let (folders, degraded) = (folders.all, source.degraded)
        return source.countersByRoot.sorted { $0.key < $1.key }.map { name, counters in
            let watch = folders[name]?.watch
            return ServiceStatus.Folder(
                name: name, path: watch?.path ?? "", mode: watch?.mode.rawValue ?? "durable",
                received: counters.received, outcomes: counters.outcomes, waiting: counters.waiting,
                inWork: counters.inWork, settling: counters.settling, watches: counters.watches,
                overflows: counters.overflows, scans: counters.scans, polls: counters.polls,
                degraded: (degraded[name] ?? []).map(\.rawValue).sorted())
        }
    }

    /// For how long the slowest of the watching threads has not gone round.
    public var slowestTurn: Duration { source.slowestTurn }
}

extension FolderCounters {
    /// How frames ended, by name.
    var outcomes: [String: Int] {
        var outcomes = ["ok": 0, "refused": 0, "expired": 0].merging(results) { $1 }
        outcomes["superseded"] = superseded
        outcomes["vanished"] = vanished
        outcomes["put_back"] = putBack
        outcomes["spilled"] = spilled
        outcomes["dropped"] = dropped
        return outcomes
    }
}
