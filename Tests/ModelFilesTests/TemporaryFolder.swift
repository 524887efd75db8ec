import Glibc
import ModelFiles
import Testing

/// A folder of its own for one test, gone with it.
final class TemporaryFolder {
    let path: String
    private let isOwned: Bool

    init() throws {
        isOwned = true
        var template = Array("/tmp/modelfiles-tests.XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        path = String(cString: try #require(made))
    }

    deinit {
        if isOwned { Self.remove(path) }
    }

    /// `name` inside this folder.
    subscript(name: String) -> String { path + "/" + name }

    /// Names of everything inside, sorted.
    var names: [String] { Self.names(in: path) }

    func write(_ bytes: [UInt8], to name: String) throws {
        let descriptor = open(self[name], O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.write(descriptor, $0.baseAddress.map { $0 + written }, $0.count - written)
            }
            try #require(count > 0)
            written += count
        }
    }

    func write(_ text: String, to name: String) throws {
        try write(Array(text.utf8), to: name)
    }

    func read(_ name: String) throws -> [UInt8] {
        let descriptor = open(self[name], O_RDONLY)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var status = stat()
        try #require(fstat(descriptor, &status) == 0)
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
        try #require(count == bytes.count)
        return bytes
    }

    /// A folder inside this one, gone with it.
    func makeFolder(_ name: String) throws -> TemporaryFolder {
        try #require(mkdir(self[name], 0o755) == 0)
        return TemporaryFolder(existing: self[name])
    }

    private init(existing: String) {
        path = existing
        isOwned = false
    }

    private static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    private static func remove(_ path: String) {
        for name in names(in: path) { remove(path + "/" + name) }
        if rmdir(path) != 0 { unlink(path) }
    }
}

/// The code of the `ModelFileError` that `body` throws, with its message in the test's report if it is another.
func errorCode(_ body: () throws -> Void) throws -> ModelFileError.Code {
    let error = #expect(throws: ModelFileError.self) { try body() }
    return try #require(error).code
}
