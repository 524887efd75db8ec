internal import Glibc
internal import Synchronization

/// One watch on one folder. A number alone would not do: they start anew whenever the watcher does.
package struct WatchID: Sendable, Hashable {
    let generation: Int
    let number: Int32

    package init(generation: Int, number: Int32) {
        self.generation = generation
        self.number = number
    }
}

/// What happened in a watched folder.
package enum WatchNotice: Sendable, Equatable {
    /// The folder's entry `name`, or the folder itself where the name is empty.
    case event(WatchID, WatchEvents, name: [UInt8])
    /// Events were lost: look at everything.
    case overflow
    /// All watches are gone; set them anew and look at everything.
    case reset
}

/// The kernel's event bits.
package struct WatchEvents: OptionSet, Sendable {
    package let rawValue: UInt32

    package init(rawValue: UInt32) { self.rawValue = rawValue }

    static let closedAfterWriting = WatchEvents(rawValue: 0x8)
    static let movedFrom = WatchEvents(rawValue: 0x40)
    static let movedTo = WatchEvents(rawValue: 0x80)
    static let created = WatchEvents(rawValue: 0x100)
    static let deleted = WatchEvents(rawValue: 0x200)
    static let selfDeleted = WatchEvents(rawValue: 0x400)
    static let selfMoved = WatchEvents(rawValue: 0x800)
    static let unmounted = WatchEvents(rawValue: 0x2000)
    static let overflowed = WatchEvents(rawValue: 0x4000)
    /// The watch is gone.
    static let ignored = WatchEvents(rawValue: 0x8000)
    static let isFolder = WatchEvents(rawValue: 0x4000_0000)
}

/// Sets watches and tells what happens; the one real implementation is `InotifyWatcher`.
package protocol FolderWatching: Sendable {
    /// From now on notices go to `mailbox`.
    ///
    /// - Returns: the subscriber's number.
    func subscribe(_ mailbox: Mailbox) -> Int

    /// Removes the subscriber and all its watches.
    func unsubscribe(_ subscriber: Int)

    /// Watches the folder behind `descriptor`, which must stay open until this returns.
    ///
    /// - Throws: the error number; `EEXIST` if the folder is watched already.
    func watch(_ descriptor: Int32, for subscriber: Int) throws(WatchFailure) -> WatchID

    /// Ends watches; without effect on those that are gone.
    func unwatch(_ watches: [WatchID])
}

/// Why a folder is not watched: an `errno` value.
package struct WatchFailure: Error, Sendable, Equatable {
    let code: Int32

    package init(code: Int32) { self.code = code }

    /// `fs.inotify.max_user_instances` is reached.
    static let instances = WatchFailure(code: EMFILE)
    /// This process, or the system, has no descriptor left that the library can use.
    static let descriptors = WatchFailure(code: ENFILE)
}

/// What waits for the thread of one watched root.
package final class Mailbox: Sendable {
    private struct Content {
        var notices: [WatchNotice] = []
        var requests: Set<Request> = []
    }

    /// What others ask of a root's thread.
    enum Request: Sendable, Hashable {
        case rescan
        case stop
        /// Look at one file again.
        case look(RelativePath)
    }

    private let content = Mutex(Content())
    private let wakeUp: WakeUp

    /// The most notices that wait; what is more counts as lost, and the root is scanned.
    private static let capacity = 16_384

    init() throws(FrameSourceError) { wakeUp = try WakeUp() }

    package func post(_ notice: WatchNotice) {
        content.withLock {
            if $0.notices.count < Self.capacity {
                $0.notices.append(notice)
            } else if $0.notices.count == Self.capacity {
                // What waits keeps its worth: the table of watches has to follow it.
                $0.notices.append(.overflow)
            } else if case .event(_, let events, _) = notice, events.contains(.ignored) {
                $0.notices.append(notice)
            } else if notice == .reset {
                $0.notices = [.reset]
            }
        }
        wakeUp.raise()
    }

    func request(_ request: Request) {
        _ = content.withLock { $0.requests.insert(request) }
        wakeUp.raise()
    }

    /// Everything that came since the last call; waits for something for at most `limit`.
    func take(waiting limit: Duration) -> (notices: [WatchNotice], requests: Set<Request>) {
        if limit > .zero, content.withLock({ $0.notices.isEmpty && $0.requests.isEmpty }) {
            wakeUp.wait(for: limit)
        }
        return content.withLock {
            let taken = ($0.notices, $0.requests)
            $0 = Content()
            return taken
        }
    }
}
