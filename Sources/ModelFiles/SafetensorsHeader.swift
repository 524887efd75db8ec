/// The checked header of a safetensors file: https://github.com/huggingface/safetensors#format.
struct SafetensorsHeader: Sendable {
    struct Entry: Sendable {
        let name: String
        let element: TensorElement
        let shape: [Int]
        let count: Int
        /// Bytes of the data section, which starts at `SafetensorsHeader.dataOffset` in the file.
        let range: Range<Int>
    }

    /// Largest header that is read: 8 MiB.
    static let maximumByteCount = 8 << 20

    /// Most tensors that a file may hold.
    static let maximumTensorCount = 20_000

    /// Most dimensions of a tensor.
    static let maximumRank = 8

    /// The tensors in the order of their data.
    let entries: [Entry]
    let metadata: [String: String]

    /// Where the data section starts in the file.
    let dataOffset: Int

    // Unsafe: the mapped file, for the time of the call; each access comes after a check of the count.
    /// Reads and checks the header of the file with content `file`.
    ///
    /// After it, every tensor lies inside the file, none overlaps another and no byte belongs to none.
    /// - Parameter path: for messages.
    init(_ file: UnsafeRawBufferPointer, path: String) throws(ModelFileError) {
        guard file.count >= 8 else {
            throw ModelFileError(
                .truncated,
                "Cannot read '\(path)': \(file.count) bytes, a safetensors file has at least 8. Fetch it again.")
        }
        let stated = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard stated <= UInt64(Self.maximumByteCount) else {
            throw ModelFileError(
                .headerTooLong,
                "Cannot read '\(path)': its header claims \(stated) bytes, expected at most "
                    + "\(Self.maximumByteCount). It is not a safetensors file, or it is damaged.")
        }
        let length = Int(stated)
        guard file.count - 8 >= length else {
            throw ModelFileError(
                .truncated,
                "Cannot read '\(path)': its header needs \(length) bytes, the file ends after \(file.count - 8). "
                    + "Fetch it again.")
        }
        dataOffset = 8 + length
        let parsed = try Self.parse([UInt8](file[8..<(8 + length)]), path: path)
        metadata = parsed.metadata
        entries = try Self.laidOut(parsed.entries, dataByteCount: file.count - dataOffset, path: path)
    }

    // MARK: - JSON

    private static func parse(
        _ json: [UInt8], path: String
    ) throws(ModelFileError) -> (entries: [Entry], metadata: [String: String]) {
        var entries: [Entry] = []
        var metadata: [String: String] = [:]
        var names: Set<String> = []
        var scanner = JSONScanner(json, subject: "the header of '\(path)'", code: .headerInvalid)
        guard json.first == UInt8(ascii: "{") else {
            throw scanner.failure("expected '{'; it is not a safetensors file, or it is damaged")
        }
        try scanner.object { scanner, name throws(ModelFileError) in
            guard names.insert(name).inserted else {
                throw ModelFileError(
                    .duplicateName, "Cannot read the header of '\(path)': '\(name)' is there twice.")
            }
            if name == "__metadata__" {
                try scanner.object { scanner, key throws(ModelFileError) in
                    guard metadata.updateValue(try scanner.string(), forKey: key) == nil else {
                        throw ModelFileError(
                            .duplicateName,
                            "Cannot read the header of '\(path)': metadata '\(key)' is there twice.")
                    }
                }
            } else {
                guard entries.count < maximumTensorCount else {
                    throw ModelFileError(
                        .tooManyTensors,
                        "Cannot read the header of '\(path)': more than \(maximumTensorCount) tensors.")
                }
                entries.append(try entry(named: name, &scanner, path: path))
            }
        }
        try scanner.end()
        return (entries, metadata)
    }

    private static func entry(
        named name: String, _ scanner: inout JSONScanner, path: String
    ) throws(ModelFileError) -> Entry {
        var element: String?
        var shape: [Int]?
        var offsets: [Int]?
        let what = "tensor '\(name)' of '\(path)'"
        try scanner.object { scanner, key throws(ModelFileError) in
            var isNew = true
            switch key {
            case "dtype":
                isNew = element == nil
                element = try scanner.string()
            case "shape":
                isNew = shape == nil
                shape = try numbers(&scanner, atMost: maximumRank, in: what)
            case "data_offsets":
                isNew = offsets == nil
                offsets = try numbers(&scanner, atMost: 2, in: what)
            default:
                throw ModelFileError(.headerInvalid, "Cannot read \(what): unknown field '\(key)'.")
            }
            guard isNew else {
                throw ModelFileError(.duplicateName, "Cannot read \(what): field '\(key)' is there twice.")
            }
        }
        guard let element, let shape, let offsets else {
            throw ModelFileError(
                .headerInvalid, "Cannot read \(what): expected the fields dtype, shape and data_offsets.")
        }
        guard let element = TensorElement(rawValue: element) else {
            let known = TensorElement.allCases.map(\.rawValue).joined(separator: ", ")
            throw ModelFileError(
                .unknownElement, "Cannot read \(what): element type '\(element)', expected one of \(known).")
        }
        guard let count = elementCount(of: shape),
            case let (byteCount, overflow) = count.multipliedReportingOverflow(by: element.byteCount), !overflow
        else {
            throw ModelFileError(.shapeInvalid, "Cannot read \(what): shape \(shape) overflows.")
        }
        guard offsets.count == 2, offsets[0] <= offsets[1] else {
            throw ModelFileError(
                .offsetsInvalid, "Cannot read \(what): data_offsets \(offsets), expected a start and an end.")
        }
        guard offsets[1] - offsets[0] == byteCount else {
            throw ModelFileError(
                .sizeMismatch,
                "Cannot read \(what): \(offsets[1] - offsets[0]) bytes stored, expected \(byteCount) for "
                    + "\(element.rawValue) \(shape).")
        }
        return Entry(name: name, element: element, shape: shape, count: count, range: offsets[0]..<offsets[1])
    }

    private static func numbers(
        _ scanner: inout JSONScanner, atMost limit: Int, in what: String
    ) throws(ModelFileError) -> [Int] {
        var numbers: [Int] = []
        try scanner.array { scanner throws(ModelFileError) in
            guard numbers.count < limit else {
                throw ModelFileError(.shapeInvalid, "Cannot read \(what): more than \(limit) numbers in a row.")
            }
            numbers.append(try scanner.unsigned())
        }
        return numbers
    }

    // MARK: - Layout

    /// The entries in data order, which must cover the data section exactly.
    private static func laidOut(
        _ entries: [Entry], dataByteCount: Int, path: String
    ) throws(ModelFileError) -> [Entry] {
        let sorted = entries.sorted {
            ($0.range.lowerBound, $0.range.upperBound, $0.name) < ($1.range.lowerBound, $1.range.upperBound, $1.name)
        }
        var end = 0
        var previous = "the header"
        for entry in sorted {
            guard entry.range.lowerBound >= end else {
                throw ModelFileError(
                    .tensorsOverlap,
                    "Cannot read '\(path)': tensor '\(entry.name)' starts at byte \(entry.range.lowerBound), inside "
                        + "'\(previous)', which ends at \(end).")
            }
            guard entry.range.lowerBound == end else {
                throw ModelFileError(
                    .hole,
                    "Cannot read '\(path)': tensor '\(entry.name)' starts at byte \(entry.range.lowerBound), expected "
                        + "\(end): the bytes between belong to no tensor.")
            }
            guard entry.range.upperBound <= dataByteCount else {
                throw ModelFileError(
                    .truncated,
                    "Cannot read '\(path)': tensor '\(entry.name)' ends at byte \(entry.range.upperBound) of the data, "
                        + "which has \(dataByteCount). Fetch the file again.")
            }
            end = entry.range.upperBound
            previous = entry.name
        }
        guard end == dataByteCount else {
            throw ModelFileError(
                .hole,
                "Cannot read '\(path)': \(dataByteCount - end) bytes after the last tensor belong to no tensor.")
        }
        return sorted
    }
}
