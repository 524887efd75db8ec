internal import Synchronization

/// The watched folders by name, as the configuration has them now.
final class CaptionedFolders: Sendable {
    private let folders: Mutex<[String: CaptionedFolder]>

    init(_ folders: [String: CaptionedFolder]) { self.folders = Mutex(folders) }

    /// Whoever works on a picture asks once and keeps the answer, so that a reload changes the next picture, not this one.
    subscript(name: String) -> CaptionedFolder? { folders.withLock { $0[name] } }

    var all: [String: CaptionedFolder] { folders.withLock { $0 } }

    func replace(with new: [String: CaptionedFolder]) { folders.withLock { $0 = new } }
}
