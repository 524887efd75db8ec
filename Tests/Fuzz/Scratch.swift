import Glibc

/// A file in memory that a path leads to, for what is read from paths alone.
final class Scratch: Sendable {
    static let file = Scratch("input")
    static let packed = Scratch("packed")
    static let tokenizer = Scratch("tokenizer.json")
    static let tokenizerFolder = ["vocab.json", "merges.txt", "added_tokens.json", "tokenizer_config.json"].map {
        Scratch($0, in: "folder")
    }

    let directory: String
    let path: String
    private let descriptor: Int32

    /// In a folder of its own, or in one that others share. `$FUZZ_SCRATCH` is a folder for all of them.
    private init(_ name: String, in folder: String? = nil) {
        let all = getenv("FUZZ_SCRATCH").map { String(cString: $0) } ?? "/dev/shm"
        directory = "\(all)/fuzz-\(getpid())-\(folder ?? name)"
        mkdir(directory, 0o700)
        path = "\(directory)/\(name)"
        descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    }

    /// The file is `bytes`, and zeros up to `length` bytes.
    func hold(_ bytes: [UInt8], length: Int? = nil) {
        ftruncate(descriptor, off_t(min(bytes.count, length ?? .max)))
        pwrite(descriptor, bytes, bytes.count, 0)
        if let length { ftruncate(descriptor, off_t(length)) }
    }
}
