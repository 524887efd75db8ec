internal import CImageCodecs

/// Turns untrusted bytes into upright RGB pictures, within limits.
///
/// JPEG: baseline, progressive and arithmetic-coded, 8 bits, gray, YCbCr, RGB, CMYK and YCCK, any subsampling; the first
/// picture if there are several. PNG: every kind; alpha is laid over black, 16-bit samples keep their upper byte, gamma
/// and colour profiles are ignored. Truncated and damaged files are refused, never half decoded.
public struct ImageDecoder: Sendable {
    public let limits: ImageLimits

    public init(limits: ImageLimits = ImageLimits()) {
        self.limits = limits
    }

    // Unsafe: bytes are looked at where they lie, array or mapped file, and never kept; every index is checked.
    /// What the header at the start of `bytes` says. The file's first bytes are enough if they reach the first scan of a
    /// JPEG or the first chunk of a PNG; limits are not looked at.
    ///
    /// - Throws: `notAnImage`, `unsupportedFormat`, `emptyPicture`, or the format's truncated and corrupt codes.
    public static func probe(_ bytes: UnsafeRawBufferPointer) throws(ImageError) -> PictureInfo {
        try PictureInfo(header: bytes)
    }

    public static func probe(_ bytes: [UInt8]) throws(ImageError) -> PictureInfo {
        try bytes.withUnsafeBufferPointer { (bytes) throws(ImageError) in try probe(UnsafeRawBufferPointer(bytes)) }
    }

    /// Decodes the picture in `bytes`.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - side: the resolution in pixels that the picture will be resized to. A JPEG is decoded at the smallest scale of
    ///     1/8, 2/8, 4/8 and 8/8 that still covers it, which saves time and memory. The default is nil: full scale.
    ///   - fit: which side has to cover it: `pad` the longer, `crop` the shorter. The default is `pad`.
    /// - Throws: one `ImageError` that says why not.
    public func decode(
        _ bytes: UnsafeRawBufferPointer, covering side: Int? = nil, fit: PictureFit = .pad
    ) throws(ImageError) -> Picture {
        guard bytes.count <= limits.bytes else {
            throw ImageError(
                .tooManyBytes,
                "Cannot decode the picture: it has \(bytes.count) bytes, at most \(limits.bytes) are allowed.")
        }
        let info = try Self.probe(bytes)
        // Both factors are below 2^32.
        let (pixels, overflow) = info.storedWidth.multipliedReportingOverflow(by: info.storedHeight)
        guard !overflow, pixels <= limits.pixels else { throw tooManyPixels(info) }

        var options = fv_image_options()
        options.limits.pixels = UInt64(clamping: limits.pixels)
        options.limits.scans = UInt32(clamping: limits.scans)
        options.limits.scan_pixels = UInt64(clamping: limits.scanPixels)
        options.limits.working_bytes = UInt64(clamping: limits.workingBytes)
        options.covering = UInt32(clamping: side ?? 0)
        options.cover_shorter = fit == .crop
        options.orientation = UInt32(info.orientation.rawValue)

        var result = fv_image_result()
        let start = bytes.bindMemory(to: UInt8.self).baseAddress
        let status =
            switch info.format {
            case .jpeg: fv_jpeg_decode(start, bytes.count, &options, &result)
            case .png: fv_png_decode(start, bytes.count, &options, &result)
            }
        guard status == FV_IMAGE_OK, let rgb = result.rgb else {
            throw error(status, result, info)
        }
        let width = Int(result.width), height = Int(result.height)
        return Picture(
            width: width, height: height, source: info, eighths: Int(result.eighths),
            pixels: PixelStorage(base: rgb, count: width * height * 3))
    }

    public func decode(
        _ bytes: [UInt8], covering side: Int? = nil, fit: PictureFit = .pad
    ) throws(ImageError) -> Picture {
        try bytes.withUnsafeBufferPointer { (bytes) throws(ImageError) in
            try decode(UnsafeRawBufferPointer(bytes), covering: side, fit: fit)
        }
    }
}

extension ImageDecoder {
    private func tooManyPixels(_ info: PictureInfo) -> ImageError {
        ImageError(
            .tooManyPixels,
            "Cannot decode the \(info.format.name): it has \(info.storedWidth) x \(info.storedHeight) pixels, "
                + "at most \(limits.pixels) are allowed. Scale it down first.")
    }

    /// The reader's words for what a codec reported.
    private func error(_ status: fv_image_status, _ result: fv_image_result, _ info: PictureInfo) -> ImageError {
        let format = info.format
        let detail = result.words
        switch status {
        case FV_IMAGE_TRUNCATED:
            return ImageError(format.truncated, .truncated(format))
        case FV_IMAGE_UNSUPPORTED:
            return ImageError(
                .unsupportedFormat,
                "Cannot decode the \(format.name): its kind is not supported (\(detail)). Convert it first.")
        case FV_IMAGE_EMPTY:
            return ImageError(.emptyPicture, "Cannot decode the \(format.name): it has no pixels.")
        case FV_IMAGE_TOO_MANY_PIXELS:
            return tooManyPixels(info)
        case FV_IMAGE_TOO_MANY_SCANS:
            return ImageError(
                .tooManyScans,
                "Cannot decode the JPEG: it has \(result.reached) scans or more of \(info.storedWidth) x \(info.storedHeight) pixels, "
                    + "at most \(limits.scans) scans and \(limits.scanPixels) scanned pixels are allowed.")
        case FV_IMAGE_TOO_MUCH_MEMORY:
            return ImageError(
                .tooMuchMemory,
                "Cannot decode the \(format.name): it needs \(result.reached) bytes besides its pixels, "
                    + "at most \(limits.workingBytes) are allowed. Scale it down or save it as baseline JPEG.")
        case FV_IMAGE_OUT_OF_MEMORY:
            return .outOfMemory("decode the \(format.name)")
        default:
            return ImageError(
                format.corrupt,
                "Cannot decode the \(format.name): \(detail.isEmpty ? "its data is invalid" : detail). "
                    + "The file is damaged; send it again.")
        }
    }
}

extension fv_image_result {
    /// The library's own words, up to their final zero.
    fileprivate var words: String {
        withUnsafeBytes(of: detail) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
