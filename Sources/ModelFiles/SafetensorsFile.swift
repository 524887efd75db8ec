/// A memory-mapped safetensors file, strictly checked.
public struct SafetensorsFile: Sendable {
    public let metadata: [String: String]

    /// The tensors' names in the order of their data.
    public let names: [String]

    let file: MappedFile
    let header: SafetensorsHeader
    private let places: [String: Int]

    /// Maps the file at `path` and checks its header; tensor data is not read.
    ///
    /// - Throws: one `ModelFileError` that names the first lie found.
    public init(path: String) throws(ModelFileError) {
        try self.init(file: MappedFile(path: path))
    }

    init(file: MappedFile) throws(ModelFileError) {
        let header = try SafetensorsHeader(file.bytes, path: file.path)
        self.file = file
        self.header = header
        metadata = header.metadata
        names = header.entries.map(\.name)
        places = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
    }

    public var path: String { file.path }

    public func contains(_ name: String) -> Bool { places[name] != nil }

    /// The tensor called `name`.
    ///
    /// - Throws: `tensorMissing`.
    public func tensor(_ name: String) throws(ModelFileError) -> TensorView {
        guard let view = optionalTensor(name) else {
            throw ModelFileError(.tensorMissing, "Cannot load tensor '\(name)' from '\(path)': it is not there.")
        }
        return view
    }

    /// The tensor called `name`, or nil.
    public func optionalTensor(_ name: String) -> TensorView? {
        guard let place = places[name] else { return nil }
        let entry = header.entries[place]
        return TensorView(
            name: name, element: entry.element, shape: entry.shape, count: entry.count, storage: .mapped(file),
            offset: header.dataOffset + entry.range.lowerBound)
    }
}
