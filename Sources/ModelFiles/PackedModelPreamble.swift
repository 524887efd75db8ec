/// The fixed first bytes of a packed file's header: what it is, which version, and its digest.
struct PackedModelPreamble: Sendable {
    let version: PackedModel.Version

    /// 64 hexadecimal digits.
    let digest: String

    /// Where the digest's digits are in the file.
    let digestRange: Range<Int>

    static let digestLength = 64

    private static let start = "{\"__metadata__\":{\"format\":\"\(PackedModel.formatName)\",\"version\":\""
    private static let middle = "\",\"digest\":\"sha256:"

    /// The text for a header, without a digest as yet: the first bytes of a header, to be followed by `",` and more
    /// metadata.
    init(version: PackedModel.Version) {
        self.version = version
        digest = String(repeating: "0", count: Self.digestLength)
        let place = 8 + Self.start.utf8.count + version.description.utf8.count + Self.middle.utf8.count
        digestRange = place..<(place + Self.digestLength)
    }

    var text: String { Self.start + version.description + Self.middle + digest }

    // Unsafe: the mapped file, for the time of the call; only its slices are used, which check their bounds.
    /// Reads the preamble of `file`, the whole content of the file at `path`.
    ///
    /// It comes before every other check, so that a file of a later version is refused as such whatever else it holds.
    /// - Throws: `notAPackedModel`, `newerVersion`, `packedMetadataInvalid`.
    init(_ file: UnsafeRawBufferPointer, path: String) throws(ModelFileError) {
        var rest = file.dropFirst(8)
        guard Self.take(Self.start, from: &rest) else {
            throw ModelFileError(
                .notAPackedModel,
                "Cannot open '\(path)': it is not a packed model. Open a checkpoint by its folder, or pack it with "
                    + "'fastvlm model pack'.")
        }
        func failure(_ problem: String) -> ModelFileError {
            ModelFileError(
                .packedMetadataInvalid, "Cannot open '\(path)': \(problem). Pack the model again, or fetch it again.")
        }
        guard let major = Self.number(from: &rest), Self.take(".", from: &rest), let minor = Self.number(from: &rest)
        else { throw failure("its format version is not of the form 1.0") }
        let version = PackedModel.Version(major: major, minor: minor)
        guard major <= PackedModel.version.major else {
            throw ModelFileError(
                .newerVersion,
                "Cannot open '\(path)': its format version is \(version), this program reads "
                    + "\(PackedModel.version.major).x. Update fastvlm.")
        }
        guard major == PackedModel.version.major else {
            throw failure("its format version is \(version), expected \(PackedModel.version.major).x")
        }
        guard Self.take(Self.middle, from: &rest), rest.count > Self.digestLength else {
            throw failure("it has no digest after its version")
        }
        let digits = rest.prefix(Self.digestLength)
        guard
            digits.allSatisfy({
                UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0
            })
        else { throw failure("its digest is not hexadecimal") }
        self.version = version
        digest = String(decoding: digits, as: UTF8.self)
        digestRange = digits.startIndex..<digits.endIndex
    }

    private static func take(_ text: String, from bytes: inout Slice<UnsafeRawBufferPointer>) -> Bool {
        guard bytes.starts(with: text.utf8) else { return false }
        bytes = bytes.dropFirst(text.utf8.count)
        return true
    }

    /// At most four digits.
    private static func number(from bytes: inout Slice<UnsafeRawBufferPointer>) -> Int? {
        let digits = bytes.prefix(4).prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        bytes = bytes.dropFirst(digits.count)
        return Int(String(decoding: digits, as: UTF8.self))
    }
}
