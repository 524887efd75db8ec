import Foundation

/// A real folder that goes with its last owner.
final class TemporaryFolder: Sendable {
    let path: String

    init() {
        path = NSTemporaryDirectory() + "frames-" + UUID().uuidString
        mkdir(path, 0o755)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)
    }

    func path(_ name: String) -> String { path + "/" + name }

    func makeFolders(_ name: String) {
        var current = path
        for part in name.split(separator: "/") {
            current += "/" + part
            mkdir(current, 0o755)
        }
    }

    func write(_ text: String, _ name: String) {
        let descriptor = open(path(name), O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        let bytes = Array(text.utf8)
        _ = Glibc.write(descriptor, bytes, bytes.count)
        close(descriptor)
    }

    /// A file whose name is `name`, byte for byte.
    func write(_ text: String, named name: [UInt8]) {
        let bytes = Array(text.utf8)
        let descriptor = open(Self.cString(path, name), O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        _ = Glibc.write(descriptor, bytes, bytes.count)
        close(descriptor)
    }

    func append(_ text: String, _ name: String) {
        let descriptor = open(path(name), O_WRONLY | O_APPEND)
        let bytes = Array(text.utf8)
        _ = Glibc.write(descriptor, bytes, bytes.count)
        close(descriptor)
    }

    private static func cString(_ path: String, _ name: [UInt8]) -> [CChar] {
        (Array(path.utf8) + [47] + name).map { CChar(bitPattern: $0) } + [0]
    }
}
