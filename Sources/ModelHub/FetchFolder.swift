internal import FoundationEssentials
internal import Glibc

/// Where a repository's files are kept until they are packed: `fastvlm/pull/HOST/OWNER--NAME/COMMIT/NAME` beneath the
/// person's cache folder, locked so that two who fetch the same do not write the same files.
public final class FetchFolder: Sendable {
    /// The checkpoint's folder.
    public let path: String
    private let repositoryFolder: String
    private let lock: Int32

    /// The person's cache folder: `$XDG_CACHE_HOME`, or `.cache` in their home.
    ///
    /// - Parameter environment: The variables that count.
    /// - Throws: `cacheUnusable` if neither variable is an absolute path.
    public static func cache(_ environment: [String: String]) throws(HubError) -> String {
        if let path = environment["XDG_CACHE_HOME"], path.hasPrefix("/") { return path }
        if let home = environment["HOME"], home.hasPrefix("/") { return home + "/.cache" }
        throw HubError(
            .cacheUnusable,
            "Cannot keep what is fetched: neither XDG_CACHE_HOME nor HOME is an absolute path. Set XDG_CACHE_HOME.")
    }

    /// Makes and locks the folder of `model` from `hub`. What lies there of other commits is removed.
    ///
    /// - Throws: `cacheUnusable`, `cacheInUse`.
    public init(for model: HubModel, from hub: HubAddress, in cache: String) throws(HubError) {
        let host = [443, 80].contains(hub.port) ? hub.host : "\(hub.host)_\(hub.port)"
        let place = host.map { $0.isLetter || $0.isNumber || "._-".contains($0) ? $0 : "_" }
        repositoryFolder = "\(cache)/fastvlm/pull/\(String(place))/\(model.repository.owner)--\(model.repository.name)"
        path = "\(repositoryFolder)/\(model.commit)/\(model.repository.name)"
        let folder = repositoryFolder
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw HubError(
                .cacheUnusable,
                "Cannot make the folder '\(path)' to keep what is fetched. Is there room, and may this user write there? "
                    + "XDG_CACHE_HOME names another.")
        }
        let lock = open(folder + "/lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard lock >= 0 else {
            throw HubError(.cacheUnusable, "Cannot write in '\(folder)': \(Self.reason(errno)).")
        }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            close(lock)
            throw HubError(
                .cacheInUse,
                "Cannot fetch '\(model.repository)': another command is at it, in '\(folder)'. Wait until that has ended."
            )
        }
        self.lock = lock
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        where name != "lock" && name != model.commit {
            try? FileManager.default.removeItem(atPath: "\(folder)/\(name)")
        }
    }

    deinit { close(lock) }

    /// Removes everything that was fetched.
    public func remove() {
        try? FileManager.default.removeItem(atPath: repositoryFolder)
    }

    /// Bytes of `file` that are there already.
    func presentByteCount(of file: HubFile) -> Int {
        for name in [file.name, file.name + PartialFile.suffix] {
            var facts = stat()
            if lstat("\(path)/\(name)", &facts) == 0, facts.st_mode & S_IFMT == S_IFREG {
                return min(Int(facts.st_size), file.byteCount)
            }
        }
        return 0
    }

    /// Checks that what is missing of `files` fits on the disk.
    ///
    /// - Throws: `noSpace`.
    func checkSpace(for files: [HubFile]) throws(HubError) {
        let missing = files.reduce(0) { $0 + $1.byteCount - presentByteCount(of: $1) }
        var facts = statvfs()
        guard statvfs(path, &facts) == 0 else { return }
        let (free, overflows) = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize))
        guard overflows || free >= UInt64(missing) else {
            throw HubError(
                .noSpace,
                "Cannot fetch \(missing) bytes into '\(path)': only \(free) are free there. Make room, or name another folder "
                    + "with XDG_CACHE_HOME. Nothing was fetched.")
        }
    }

    static func reason(_ code: Int32) -> String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }
}
