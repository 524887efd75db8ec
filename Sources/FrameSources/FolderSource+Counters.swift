extension FolderSource {
    /// What happened so far, by root, those included that are no longer watched. What is counted of frames is of one
    /// instant.
    public var countersByRoot: [String: FolderCounters] {
        let (roots, queued) = (roots.value, queue.counters)
        var result = roots.retired
        for (root, counted) in queued { result[root, default: FolderCounters()].take(counted) }
        for thread in roots.threads { result[thread.folder.id, default: FolderCounters()].add(thread.status) }
        return result
    }

    /// What happened so far in all roots together.
    public var counters: FolderCounters {
        countersByRoot.values.reduce(into: FolderCounters()) { sum, counters in
            sum.received += counters.received
            sum.done += counters.done
            sum.results.merge(counters.results, uniquingKeysWith: +)
            sum.superseded += counters.superseded
            sum.vanished += counters.vanished
            sum.putBack += counters.putBack
            sum.spilled += counters.spilled
            sum.dropped += counters.dropped
            sum.waiting += counters.waiting
            sum.inWork += counters.inWork
            sum.settling += counters.settling
            sum.overflows += counters.overflows
            sum.scans += counters.scans
            sum.polls += counters.polls
            sum.watches += counters.watches
            let oldest = [sum.oldestArrival, counters.oldestArrival].compactMap { $0 }.min()
            sum.oldestArrival = oldest
        }
    }
}

extension FolderCounters {
    /// What the queue counted.
    fileprivate mutating func take(_ counted: CandidateQueue.Counters) {
        received = counted.received
        done = counted.done
        results = counted.results
        superseded = counted.superseded
        vanished = counted.vanished
        putBack = counted.putBack
        spilled = counted.spilled
        dropped = counted.dropped
        waiting = counted.waiting
        inWork = counted.inWork
        oldestArrival = counted.oldestArrival
    }

    /// What a thread that runs counted.
    fileprivate mutating func add(_ status: RootThread.Status) {
        settling += status.settling
        watches += status.watches
        keep(status)
    }

    /// What stays of a thread that has ended.
    mutating func keep(_ status: RootThread.Status) {
        overflows += status.overflows
        scans += status.scans
        polls += status.polls
    }
}
