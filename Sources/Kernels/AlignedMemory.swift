/// Memory aligned to 64 bytes, written once when it is made.
public final class AlignedMemory: Sendable {
    /// The first byte.
    // Unsafe: Swift's arrays are not aligned so.
    // Invariant of the pointer, which no actor guards: what is behind it is written in `init` only, freed in `deinit`.
    public nonisolated(unsafe) let start: UnsafeRawPointer  // Unsafe, but never written again once it is here.
    private let count: Int

    /// - Parameter fill: Writes all `byteCount` bytes.
    public init(byteCount: Int, fill: (UnsafeMutableRawBufferPointer) -> Void) {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(byteCount, 1), alignment: 64)
        fill(UnsafeMutableRawBufferPointer(start: memory, count: byteCount))
        start = UnsafeRawPointer(memory)
        count = byteCount
    }

    /// A copy of `values`.
    public convenience init(_ values: [Float]) {
        self.init(byteCount: values.count * MemoryLayout<Float>.stride) { memory in
            values.withUnsafeBytes { memory.copyMemory(from: $0) }
        }
    }

    deinit { start.deallocate() }

    /// All of it; valid as long as this object lives.
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }
}
