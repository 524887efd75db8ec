/// Bytes of scratch, aligned to 64, for quantized activations.
///
/// Its owner lets one computation at a time use it, so it is not `Sendable`.
final class ByteStorage {
    let count: Int
    // Unsafe: aligned memory for C; freed in `deinit`.
    let base: UnsafeMutableRawPointer

    init(count: Int) {
        self.count = count
        base = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1), alignment: 64)
    }

    deinit { base.deallocate() }
}
