internal import Glibc
public import Sidecars

/// What the system says of a file. Links are followed; one that leads nowhere is itself the file, and no regular one.
///
/// Asked of the system itself: the type in which `FileManager` tells a size differs between programs that have the Swift
/// runtime in them and those that load it, and a limit that is held against nothing holds nothing.
public struct FileFacts: Sendable, Equatable {
    public var bytes: Int
    public var isRegular: Bool
    public var modified: Timestamp

    /// Nil if there is nothing at `path`, or this user may not look.
    public init?(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 || lstat(path, &status) == 0 else { return nil }
        bytes = Int(status.st_size)
        isRegular = status.st_mode & S_IFMT == S_IFREG
        modified = Timestamp(
            nanoseconds: Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec))
    }
}
