internal import FoundationEssentials

/// Writes whole tensors as a safetensors file: for traces and tests, whose tensors are in memory already.
public struct SafetensorsWriter: Sendable {
    private struct Entry: Encodable {
        let dtype: String
        let shape: [Int]
        let data_offsets: [Int]
    }

    private var entries: [String: Entry] = [:]
    private var data = Data()
    private let metadata: [String: String]

    /// - Parameter metadata: Free text for the reader.
    public init(metadata: [String: String] = [:]) {
        self.metadata = metadata
    }

    /// Adds `values`, row-major, as F32.
    public mutating func add(_ name: String, shape: [Int], _ values: [Float]) {
        // Unsafe: the values' bytes are copied within the call.
        values.withUnsafeBytes { add(name, .f32, shape, $0) }
    }

    /// Adds `values`, row-major, as I64.
    public mutating func add(_ name: String, shape: [Int], _ values: [Int]) {
        values.map(Int64.init).withUnsafeBytes { add(name, .i64, shape, $0) }
    }

    private mutating func add(_ name: String, _ element: TensorElement, _ shape: [Int], _ bytes: UnsafeRawBufferPointer)
    {
        precondition(shape.reduce(element.byteCount, *) == bytes.count, "\(name): shape \(shape), \(bytes.count) bytes")
        precondition(entries[name] == nil, "\(name) twice")
        entries[name] = Entry(
            dtype: element.rawValue, shape: shape, data_offsets: [data.count, data.count + bytes.count])
        data.append(contentsOf: bytes)
    }

    /// Writes the file at `path`, replacing what is there.
    ///
    /// - Throws: `writeFailed`.
    public func write(to path: String) throws(ModelFileError) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            let tensors = try encoder.encode(entries)
            let notes = try encoder.encode(["__metadata__": metadata])
            // Two objects become one: `{"__metadata__":{…}` and `"a":{…}}`.
            var header =
                metadata.isEmpty
                ? tensors : entries.isEmpty ? notes : notes.dropLast() + Data(",".utf8) + tensors.dropFirst()
            header.append(contentsOf: [UInt8](repeating: UInt8(ascii: " "), count: (8 - header.count % 8) % 8))
            var file = Data()
            withUnsafeBytes(of: UInt64(header.count).littleEndian) { file.append(contentsOf: $0) }
            file.append(header)
            file.append(data)
            try file.write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw ModelFileError(
                .writeFailed, "Cannot write '\(path)': its folder is missing or not writable, or the disk is full.")
        }
    }
}
