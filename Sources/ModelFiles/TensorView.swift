internal import Kernels

/// A named tensor inside a mapped file or in memory; row-major, never written.
public struct TensorView: Sendable {
    public let name: String
    public let element: TensorElement
    public let shape: [Int]

    /// Number of elements.
    public let count: Int

    private let storage: TensorStorage
    private let offset: Int

    /// A view of `storage` from `offset` on; the caller has checked that the tensor lies inside.
    init(name: String, element: TensorElement, shape: [Int], count: Int, storage: TensorStorage, offset: Int) {
        precondition(offset >= 0 && count >= 0 && offset + count * element.byteCount <= storage.bytes.count)
        self.name = name
        self.element = element
        self.shape = shape
        self.count = count
        self.storage = storage
        self.offset = offset
    }

    /// A tensor in memory.
    init(name: String, shape: [Int], floats: [Float]) {
        self.init(
            name: name, element: .f32, shape: shape, count: floats.count, storage: .memory(AlignedMemory(floats)),
            offset: 0)
    }

    public var byteCount: Int { count * element.byteCount }

    /// Calls `body` with the tensor's bytes; they are valid during the call only.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(storage) {} }
        return try body(UnsafeRawBufferPointer(start: baseAddress, count: byteCount))
    }

    // Unsafe: kernels read weights where they are mapped; `init` has checked that the tensor lies inside.
    /// The first byte: stable for as long as this view, or a copy of it, lives.
    ///
    /// In a `PreparedModel` it is aligned to the element's size; in a packed file to 64 bytes.
    public var baseAddress: UnsafeRawPointer {
        // An empty tensor has a place too: storage is never empty.
        storage.address + offset
    }

    /// True if the tensor points into a file rather than into memory of its own.
    public var isMapped: Bool { mappedFile != nil }

    /// The file that the tensor points into.
    var mappedFile: MappedFile? {
        if case .mapped(let file) = storage { file } else { nil }
    }

    /// The values as floats, exact.
    ///
    /// - Throws: `tensorElementMismatch` for integers.
    public func floats() throws(ModelFileError) -> [Float] {
        guard element.isFloat else {
            throw ModelFileError(
                .tensorElementMismatch,
                "Cannot read tensor '\(name)' as floats: element \(element.rawValue), expected F32, F16 or BF16.")
        }
        return [Float](unsafeUninitializedCapacity: count) { target, filled in
            if let start = target.baseAddress {
                FloatConversion.widen(element, baseAddress, count: count, into: start)
            }
            filled = count
        }
    }

    /// Tells the kernel how a mapped tensor will be read; without effect on one in memory.
    public func advise(_ access: MappedFile.Access) {
        if case .mapped(let file) = storage {
            file.advise(access, in: offset..<(offset + byteCount))
        }
    }

    /// The same bytes under another name and an equally large shape.
    func renamed(_ name: String, shape: [Int]) -> TensorView {
        precondition(elementCount(of: shape) == count)
        return TensorView(name: name, element: element, shape: shape, count: count, storage: storage, offset: offset)
    }

    /// This view if its address suits its element, else a copy in memory.
    func aligned() -> TensorView {
        guard Int(bitPattern: baseAddress) % element.byteCount != 0 else { return self }
        let copy = withUnsafeBytes { source in
            AlignedMemory(byteCount: byteCount) { $0.copyMemory(from: source) }
        }
        return TensorView(
            name: name, element: element, shape: shape, count: count, storage: .memory(copy), offset: 0)
    }
}

/// What keeps a tensor's bytes alive.
enum TensorStorage: Sendable {
    case mapped(MappedFile)
    case memory(AlignedMemory)

    var bytes: UnsafeRawBufferPointer {
        switch self {
        case .mapped(let file): file.bytes
        case .memory(let memory): memory.bytes
        }
    }

    var address: UnsafeRawPointer {
        switch self {
        case .mapped(let file): file.start
        case .memory(let memory): memory.baseAddress
        }
    }
}
