internal import Synchronization

/// The watched folders by name, as the configuration has them now.
final class CaptionedFolders: Sendable {
    private struct State {
        var folders: [String: CaptionedFolder]
        /// Of every folder that was watched at some time.
        var paths: Set<String>
    }

    private let state: Mutex<State>

    init(_ folders: [String: CaptionedFolder]) {
        state = Mutex(State(folders: folders, paths: Set(folders.values.map(\.watch.path))))
    }

    /// Whoever works on a picture asks once and keeps the answer, so that a reload changes the next picture, not this one.
    subscript(name: String) -> CaptionedFolder? { state.withLock { $0.folders[name] } }

    var all: [String: CaptionedFolder] { state.withLock { $0.folders } }

    func replace(with new: [String: CaptionedFolder]) {
        state.withLock {
            $0.folders = new
            $0.paths.formUnion(new.values.map(\.watch.path))
        }
    }

    /// Whether the folder at `path` is or was watched: then a commit may still be at work in it.
    func hasWatched(_ path: String) -> Bool { state.withLock { $0.paths.contains(path) } }
}
