/// Memory aligned to 64 bytes, written once when it is made.
public final class AlignedMemory: StoredWeights {
    // Unsafe: Swift's arrays are not aligned so, and their elements have no lasting address.
    // Invariant: what is there is written in `init` only, before any other thread can know of it, and
    // freed in `deinit`, after the last one has let go. Nobody has to take turns to read it.
    public nonisolated(unsafe) let baseAddress: UnsafeRawPointer
    private let count: Int

    /// - Parameter fill: Writes all `byteCount` bytes.
    public init(byteCount: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: 64)
        fill(UnsafeMutableRawBufferPointer(start: memory, count: byteCount))
        baseAddress = UnsafeRawPointer(memory)
        count = byteCount
    }

    /// A copy of `values`.
    public convenience init(_ values: [Float]) {
        self.init(byteCount: values.count * MemoryLayout<Float>.stride) { memory in
            values.withUnsafeBytes { memory.copyMemory(from: $0) }
        }
    }

    deinit { baseAddress.deallocate() }

    /// All of it; valid as long as this object lives.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: baseAddress, count: count) }
}
