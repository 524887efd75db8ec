internal import Glibc

/// The folder beneath which sidecars are kept: the watched folder itself, or another root that mirrors it.
///
/// Pictures are named by their path relative to the watched root, as bytes with `/` between the parts. Every folder on
/// the way is opened without following links, so nothing outside the root is ever read or written.
public final class SidecarStore: Sendable {
    let root: Descriptor
    let rootName: String
    let makesFolders: Bool
    let calls: any FileCalls

    /// Opens the folder at `path`; links in `path` itself are followed.
    ///
    /// - Parameters:
    ///   - mirrors: true for a root other than the pictures': folders that are missing beneath it are made.
    ///     The default is false.
    ///   - calls: the system calls to use. The default is the system's own.
    /// - Throws: `placeGone` if there is no such folder, otherwise `resource`.
    public init(
        path: String, mirrors: Bool = false, calls: any FileCalls = SystemFileCalls()
    ) throws(SidecarError) {
        do {
            root = Descriptor(
                try calls.open(
                    Array(path.utf8), in: AT_FDCWD, flags: O_RDONLY | O_DIRECTORY | O_CLOEXEC, mode: 0))
        } catch {
            throw .system(error.code, "open the sidecar folder '\(path)'")
        }
        rootName = path
        makesFolders = mirrors
        self.calls = calls
    }

    /// A store on a folder that is already open, so that pictures and sidecars lie in the very same folder even if
    /// its path comes to mean another. The descriptor is duplicated, not taken; it must be readable (not `O_PATH`).
    ///
    /// - Throws: `resource`.
    public init(
        duplicating descriptor: Int32, name: String, calls: any FileCalls = SystemFileCalls()
    ) throws(SidecarError) {
        let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw .system(errno, "use the sidecar folder '\(name)'") }
        root = Descriptor(copy)
        rootName = name
        makesFolders = false
        self.calls = calls
    }

    /// What stands at the sidecar's name of `picture`.
    ///
    /// - Throws: `resource` if it cannot be read now, `invalid` for a path with empty, `.` or `..` parts.
    public func existing(for picture: [UInt8]) throws(SidecarError) -> SidecarFinding {
        let place = try SidecarPlace(picture)
        do {
            return try finding(place.sidecar, in: try openFolder(place.folders))
        } catch {
            if error.code == ENOENT || error.code == ENOTDIR { return .absent }
            throw .system(error.code, "read the sidecar of \(place)")
        }
    }

    /// Removes what unfinished commits left beneath the root. Only for the start, before anything commits here:
    /// a temporary of a running commit looks the same.
    ///
    /// - Parameter recursive: the default is true.
    /// - Returns: how many were removed.
    /// - Throws: `resource` if a folder cannot be read or a temporary cannot be removed; the others are gone then.
    @discardableResult
    public func removeOwnTemporaries(recursive: Bool = true) throws(SidecarError) -> Int {
        var removed = 0
        var firstError: SidecarError?
        var folders: [[[UInt8]]] = [[]]
        while let path = folders.popLast() {
            let place = path.map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
            do {
                let folder = try openFolder(path, making: false)
                for entry in try entries(of: folder) {
                    if entry.isFolder {
                        if recursive { folders.append(path + [entry.name]) }
                    } else if SidecarName.isTemporary(entry.name) {
                        try calls.remove(entry.name, in: folder.number)
                        removed += 1
                    }
                }
            } catch {
                if error.code == ENOENT || error.code == ENOTDIR || error.code == ELOOP { continue }
                firstError = firstError ?? .system(error.code, "clean the folder '\(place)' beneath '\(rootName)'")
            }
        }
        if let firstError { throw firstError }
        return removed
    }

    /// Opens the folder `parts` beneath the root, one part after the other.
    func openFolder(_ parts: [[UInt8]], making: Bool = false) throws(SystemFault) -> Descriptor {
        let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
        var folder = Descriptor(try calls.open(Array(".".utf8), in: root.number, flags: flags, mode: 0))
        for part in parts {
            var opened: Int32
            do {
                opened = try calls.open(part, in: folder.number, flags: flags, mode: 0)
            } catch {
                guard making, error.code == ENOENT else { throw error }
                do {
                    try calls.makeFolder(part, in: folder.number, mode: 0o755)
                } catch {
                    if error.code != EEXIST { throw error }
                }
                opened = try calls.open(part, in: folder.number, flags: flags, mode: 0)
                let next = Descriptor(opened)
                try calls.synchronize(folder.number)
                folder = next
                continue
            }
            folder = Descriptor(opened)
        }
        return folder
    }

    /// What stands at `name`.
    func finding(_ name: [UInt8], in folder: borrowing Descriptor) throws(SystemFault) -> SidecarFinding {
        let file: Descriptor
        do {
            // Non-blocking, so that a FIFO cannot hold us.
            file = Descriptor(
                try calls.open(
                    name, in: folder.number, flags: O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode: 0))
        } catch {
            switch error.code {
            case ENOENT: return .absent
            case ELOOP, ENXIO, ENODEV: return .foreign
            default: throw error
            }
        }
        let status = try file.status()
        guard status.st_mode & S_IFMT == S_IFREG, status.st_size <= ExistingSidecar.sizeLimit,
            let json = try file.contents(limit: ExistingSidecar.sizeLimit),
            let sidecar = ExistingSidecar(
                json: json,
                writtenNanoseconds: Int64(status.st_mtim.tv_sec) &* 1_000_000_000 &+ Int64(status.st_mtim.tv_nsec))
        else { return .foreign }
        return .own(sidecar)
    }

    /// The entries of a folder, without `.` and `..`.
    private func entries(of folder: borrowing Descriptor) throws(SystemFault) -> [(name: [UInt8], isFolder: Bool)] {
        let copy = fcntl(folder.number, F_DUPFD_CLOEXEC, 0)
        guard copy >= 0 else { throw SystemFault(errno) }
        guard let listing = fdopendir(copy) else {
            let code = errno
            close(copy)
            throw SystemFault(code)
        }
        defer { closedir(listing) }
        var entries: [(name: [UInt8], isFolder: Bool)] = []
        while let entry = readdir(listing) {
            // Unsafe: an entry is valid until the next: its name is copied, up to the zero that ends it.
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name == Array(".".utf8) || name == Array("..".utf8) { continue }
            var isFolder = entry.pointee.d_type == UInt8(DT_DIR)
            if entry.pointee.d_type == UInt8(DT_UNKNOWN) {
                var status = stat()
                isFolder =
                    fstatat(folder.number, cString(name), &status, AT_SYMLINK_NOFOLLOW) == 0
                    && status.st_mode & S_IFMT == S_IFDIR
            }
            entries.append((name, isFolder))
        }
        return entries
    }
}

/// Where a picture's sidecar lies beneath the root.
struct SidecarPlace: CustomStringConvertible {
    let folders: [[UInt8]]
    let picture: [UInt8]
    let sidecar: [UInt8]

    init(_ path: [UInt8]) throws(SidecarError) {
        let parts = path.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { Array($0) }
        let isUsable = parts.allSatisfy {
            !$0.isEmpty && !$0.contains(0) && $0 != Array(".".utf8) && $0 != Array("..".utf8)
                && $0.count <= SidecarName.nameLimit
        }
        guard isUsable, let picture = parts.last else {
            throw SidecarError(
                .invalid,
                "Cannot name the sidecar of '\(String(decoding: path, as: UTF8.self))': expected a path beneath the "
                    + "root without empty, '.' or '..' parts.")
        }
        folders = parts.dropLast()
        self.picture = picture
        sidecar = SidecarName.sidecar(forPicture: picture)
    }

    var description: String {
        let path = (folders + [picture]).map { String(decoding: $0, as: UTF8.self) }.joined(separator: "/")
        return "'\(path)'"
    }
}
