import Foundation
import Testing

/// A real folder that goes with its last owner. Names in it are bytes, as the file system has them.
final class TemporaryFolder: Sendable {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/command-" + UUID().uuidString
        try #require(mkdir(path, 0o755) == 0)
    }

    deinit {
        // Not FileManager's: it cannot remove names that are not UTF-8.
        Self.remove(Array(path.utf8))
    }

    /// `name` inside this folder.
    subscript(name: String) -> String { path + "/" + name }

    func makeFolder(_ name: String) throws {
        try FileManager.default.createDirectory(atPath: self[name], withIntermediateDirectories: true)
    }

    func write(_ bytes: [UInt8], to name: [UInt8]) throws {
        let descriptor = open(Self.cString(whole(name)), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        try #require(descriptor >= 0, "cannot make \(String(decoding: name, as: UTF8.self))")
        defer { close(descriptor) }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            try #require(count > 0)
            rest = rest.dropFirst(count)
        }
    }

    func write(_ bytes: [UInt8], to name: String) throws { try write(bytes, to: Array(name.utf8)) }
    func write(_ text: String, to name: String) throws { try write(Array(text.utf8), to: name) }

    func rename(_ old: [UInt8], to new: [UInt8]) throws {
        try #require(Glibc.rename(Self.cString(whole(old)), Self.cString(whole(new))) == 0)
    }

    func link(_ old: [UInt8], to new: [UInt8]) throws {
        try #require(Glibc.link(Self.cString(whole(old)), Self.cString(whole(new))) == 0)
    }

    func remove(_ name: [UInt8]) throws {
        try #require(unlink(Self.cString(whole(name))) == 0)
    }

    /// The content of `name`, or nil if it cannot be read.
    func read(_ name: [UInt8]) -> [UInt8]? {
        let descriptor = open(Self.cString(whole(name)), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var content: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = piece.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            guard count >= 0 else { return nil }
            guard count > 0 else { return content }
            content += piece[..<count]
        }
    }

    func read(_ name: String) -> [UInt8]? { read(Array(name.utf8)) }

    /// What tells one version of a file from another, or nil if there is none.
    func version(of name: [UInt8]) -> FileVersion? {
        var status = stat()
        guard lstat(Self.cString(whole(name)), &status) == 0 else { return nil }
        return FileVersion(inode: status.st_ino, seconds: status.st_mtim.tv_sec, nanoseconds: status.st_mtim.tv_nsec)
    }

    /// The paths of all files beneath this folder, sorted.
    func files() -> [[UInt8]] {
        Self.files(in: Array(path.utf8)).map { Array($0.dropFirst(path.utf8.count + 1)) }
            .sorted { $0.lexicographicallyPrecedes($1) }
    }

    /// The same as text, for names that are.
    func names() -> [String] { files().map { String(decoding: $0, as: UTF8.self) } }

    private func whole(_ name: [UInt8]) -> [UInt8] { Array(path.utf8) + [UInt8(ascii: "/")] + name }

    private static func cString(_ path: [UInt8]) -> [CChar] { path.map { CChar(bitPattern: $0) } + [0] }

    private static func entries(of folder: [UInt8]) -> [[UInt8]] {
        guard let directory = opendir(cString(folder)) else { return [] }
        defer { closedir(directory) }
        var names: [[UInt8]] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name != Array(".".utf8), name != Array("..".utf8) { names.append(name) }
        }
        return names
    }

    private static func isFolder(_ path: [UInt8]) -> Bool {
        var status = stat()
        return lstat(cString(path), &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func files(in folder: [UInt8]) -> [[UInt8]] {
        entries(of: folder).flatMap { name -> [[UInt8]] in
            let path = folder + [UInt8(ascii: "/")] + name
            return isFolder(path) ? files(in: path) : [path]
        }
    }

    private static func remove(_ path: [UInt8]) {
        if isFolder(path) {
            for name in entries(of: path) { remove(path + [UInt8(ascii: "/")] + name) }
            rmdir(cString(path))
        } else {
            unlink(cString(path))
        }
    }
}

/// Differs after every replacement and every change of a file.
struct FileVersion: Equatable {
    let inode: UInt
    let seconds: Int
    let nanoseconds: Int
}
