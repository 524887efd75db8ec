/// Where a model was fetched from, and what its files were.
public struct ModelOrigin: Sendable, Equatable, Codable {
    public struct File: Sendable, Equatable, Codable {
        public var name: String
        public var byteCount: Int
        /// 64 lowercase hexadecimal digits, computed from what came.
        public var sha256: String
        /// What it was held against: `sha256` or `git_blob` as the hub stated it, or only its `size`.
        public var checkedBy: String

        public init(name: String, byteCount: Int, sha256: String, checkedBy: String) {
            self.name = name
            self.byteCount = byteCount
            self.sha256 = sha256
            self.checkedBy = checkedBy
        }
    }

    /// The repository's address.
    public var source: String
    /// The commit, which names every byte of it.
    public var revision: String
    /// True if the person said that they accept the licence, which was shown to them.
    public var licenceAccepted: Bool
    public var files: [File]

    public init(source: String, revision: String, licenceAccepted: Bool, files: [File]) {
        self.source = source
        self.revision = revision
        self.licenceAccepted = licenceAccepted
        self.files = files
    }

    /// What is wrong with it; nil if nothing is.
    var problem: String? {
        func isPlain(_ text: String, _ longest: Int) -> Bool {
            (1...longest).contains(text.utf8.count) && text.unicodeScalars.allSatisfy { $0.value >= 0x20 }
        }
        guard isPlain(source, 2_500), isPlain(revision, 200) else {
            return "has a source or a revision that is empty, too long or holds control characters"
        }
        guard files.count <= 1_100 else { return "names \(files.count) files, expected at most 1100" }
        for file in files {
            guard isPlain(file.name, 255), file.byteCount >= 0, isPlain(file.checkedBy, 32),
                file.sha256.utf8.count == 64,
                file.sha256.allSatisfy({ $0.isASCII && $0.isHexDigit })
            else { return "describes the file '\(file.name.prefix(80))' with values that cannot be" }
        }
        return nil
    }
}
