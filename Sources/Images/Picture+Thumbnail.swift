internal import CImageCodecs

extension Picture {
    /// This picture as a small JPEG, upright and of its own shape; a smaller picture keeps its size.
    ///
    /// - Parameters:
    ///   - side: pixels of the longer side, 1...8192.
    ///   - quality: of the JPEG, 1...100.
    /// - Throws: `sizeInvalid` for a side or a quality that cannot be, `outOfMemory`.
    public func thumbnail(side: Int, quality: Int = 80) throws(ImageError) -> [UInt8] {
        guard (1...Self.largestResolution).contains(side), (1...100).contains(quality) else {
            throw ImageError(
                .sizeInvalid,
                "Cannot make a thumbnail of \(side) pixels and quality \(quality): expected 1 to \(Self.largestResolution) and "
                    + "1 to 100.")
        }
        let longer = max(width, height)
        let target = min(side, longer)
        // Neither product is more than 8192 x 65535.
        let (columns, rows) = (max(1, width * target / longer), max(1, height * target / longer))
        let samples = try modelPixels(resolution: target, width: columns, height: rows).map { sample in
            UInt8(max(0, min(255, (sample * 255).rounded())))
        }
        // Unsafe: C makes the file in memory of its own, which is copied here and given back to it.
        var bytes: UnsafeMutablePointer<UInt8>?
        var count = 0
        let isDone = samples.withUnsafeBufferPointer {
            fv_jpeg_encode($0.baseAddress, UInt32(columns), UInt32(rows), Int32(quality), &bytes, &count)
        }
        defer { fv_jpeg_free(bytes) }
        guard isDone, let bytes else { throw .outOfMemory("encode a picture of \(columns) x \(rows) pixels") }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }
}
