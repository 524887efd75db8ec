internal import FoundationEssentials
internal import Glibc
internal import UntrustedJSON

/// A file that lines are appended to as they come.
final class LineFile {
    private let descriptor: Int32
    private let path: String

    /// Makes the file at `path`; one that is there is emptied, or added to.
    init(path: String, isAppended: Bool = false) throws(CommandFailure) {
        descriptor = open(path, O_WRONLY | O_CREAT | (isAppended ? O_APPEND : O_TRUNC) | O_CLOEXEC, 0o644)
        self.path = path
        guard descriptor >= 0 else {
            throw CommandFailure(.setup, "Cannot write '\(path)': its folder is missing or not writable by this user.")
        }
    }

    /// The objects in the file at `path`, one a line; none where there is no such file.
    static func objects<Object: Decodable>(_: Object.Type, at path: String) throws(CommandFailure) -> [Object] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        do {
            return try Data(contentsOf: URL(filePath: path)).split(separator: UInt8(ascii: "\n"))
                .map { try JSONDecoder().decode(Object.self, fromUntrusted: $0) }
        } catch {
            throw CommandFailure(
                .setup,
                "Cannot carry on with '\(path)': it is not readable by this user, or holds something else than this "
                    + "command writes. Remove it, or name another file.")
        }
    }

    deinit { close(descriptor) }

    func write(_ line: String) throws(CommandFailure) {
        let code = Console.write(line + "\n", to: descriptor)
        guard code == 0 else {
            let reason = strerror(code).map { String(cString: $0) } ?? "error \(code)"
            throw CommandFailure(.inputsRefused, "Cannot write '\(path)': \(reason).")
        }
    }
}
