internal import CImageCodecs

/// A decoded picture: `height` rows of `width` RGB pixels, 8 bits a sample, upright.
public struct Picture: Sendable {
    /// Pixels of this picture: after orientation, and after scaling if the decoder was told what to cover.
    public let width: Int
    public let height: Int

    /// What the file said; nil for pictures that were not decoded from one.
    public let source: PictureInfo?

    /// The scale it was decoded at, in eighths: 1, 2, 4 or 8.
    public let eighths: Int

    let pixels: PixelStorage

    /// A picture of given pixels: `rgb` holds height x width x 3 samples, row by row.
    ///
    /// - Throws: `sizeInvalid` if the count does not fit the size, `outOfMemory`.
    public init(width: Int, height: Int, rgb: [UInt8]) throws(ImageError) {
        let (area, areaOverflow) = width.multipliedReportingOverflow(by: height)
        let (count, overflow) = area.multipliedReportingOverflow(by: 3)
        guard width > 0, height > 0, !areaOverflow, !overflow, count == rgb.count else {
            throw ImageError(
                .sizeInvalid, "Cannot make a picture of \(width) x \(height) pixels from \(rgb.count) samples.")
        }
        guard let base = fv_pixels_allocate(count) else { throw .outOfMemory("hold a picture of \(count) bytes") }
        // Unsafe: `base` has room for `count` samples, and `rgb` has as many.
        rgb.withUnsafeBufferPointer { samples in
            if let start = samples.baseAddress { base.update(from: start, count: count) }
        }
        self.init(width: width, height: height, source: nil, eighths: 8, pixels: PixelStorage(base: base, count: count))
    }

    init(width: Int, height: Int, source: PictureInfo?, eighths: Int, pixels: PixelStorage) {
        self.width = width
        self.height = height
        self.source = source
        self.eighths = eighths
        self.pixels = pixels
    }

    /// Calls `body` with the samples, [height, width, 3]; they must not be kept.
    public func withRGB<Result, Failure: Error>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(pixels) {} }
        return try body(UnsafeBufferPointer(start: pixels.base, count: pixels.count))
    }
}

/// Samples that C allocated, with `FV_IMAGE_SLACK` readable bytes after them.
final class PixelStorage: Sendable {
    // Unsafe: the samples lie where C put them, without a copy.
    // Invariant: the decoder has written them before it hands them over, nobody does after that, and
    // they are freed in `deinit`, after the last thread has let go. Nobody has to take turns to read them.
    nonisolated(unsafe) let base: UnsafePointer<UInt8>
    let count: Int

    /// Takes over `base`, which `fv_pixels_allocate(count)` gave.
    init(base: UnsafeMutablePointer<UInt8>, count: Int) {
        self.base = UnsafePointer(base)
        self.count = count
    }

    deinit { fv_pixels_free(UnsafeMutablePointer(mutating: base)) }
}

extension ImageError {
    static func outOfMemory(_ what: String) -> ImageError {
        ImageError(.outOfMemory, "Cannot \(what): the process has no more memory. Try again with less under way.")
    }
}
