internal import CImageCodecs

extension Picture {
    /// The largest side of model pixels.
    public static let largestResolution = 8192

    /// This picture as the vision encoder takes it: [resolution, resolution, 3], RGB, 0...1.
    ///
    /// Equal to the last bit to padding to a square of black (or, for `crop`, cutting after resizing the shorter side) and
    /// Pillow's bicubic resize, then division by 255.
    ///
    /// - Throws: `sizeInvalid` for a resolution outside 1...8192, `outOfMemory`.
    public func modelPixels(resolution: Int, fit: PictureFit = .pad) throws(ImageError) -> [Float] {
        guard (1...Self.largestResolution).contains(resolution) else { throw .resolution(resolution) }
        var failure: ImageError?
        // Unsafe: C writes all of the values, or the array is thrown away; zeroing them first would cost as much.
        let pixels = [Float](unsafeUninitializedCapacity: resolution * resolution * 3) { buffer, initialized in
            do throws(ImageError) {
                try writeModelPixels(resolution: resolution, fit: fit, to: buffer)
                initialized = buffer.count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return pixels
    }

    /// Writes `modelPixels(resolution:fit:)` to `target`, which has room for resolution x resolution x 3 values.
    ///
    /// - Throws: `sizeInvalid` for a resolution outside 1...8192 or another count of values, `outOfMemory`.
    public func writeModelPixels(
        resolution: Int, fit: PictureFit = .pad, to target: UnsafeMutableBufferPointer<Float>
    ) throws(ImageError) {
        guard (1...Self.largestResolution).contains(resolution) else { throw .resolution(resolution) }
        let whole = 0..<resolution
        switch fit {
        case .pad:
            let side = max(width, height)
            let left = (side - width) / 2
            let top = (side - height) / 2
            try resample(
                horizontal: ResampleAxis(
                    source: side, target: resolution, window: whole, stored: left..<(left + width)),
                vertical: ResampleAxis(source: side, target: resolution, window: whole, stored: top..<(top + height)),
                to: target)
        case .crop:
            let shorter = min(width, height)
            // The reference computes the longer side in double and drops the fraction.
            let targetWidth = width == shorter ? resolution : Int(Double(resolution * width) / Double(shorter))
            let targetHeight = height == shorter ? resolution : Int(Double(resolution * height) / Double(shorter))
            let left = (targetWidth - resolution) / 2
            let top = (targetHeight - resolution) / 2
            try resample(
                horizontal: ResampleAxis(
                    source: width, target: targetWidth, window: left..<(left + resolution), stored: 0..<width),
                vertical: ResampleAxis(
                    source: height, target: targetHeight, window: top..<(top + resolution), stored: 0..<height),
                to: target)
        }
    }

    /// This picture padded to a square with black, resized to `across` x `across` tiles, and cut: each tile is
    /// [resolution, resolution, 3] as ``modelPixels(resolution:fit:)`` gives it, row by row.
    ///
    /// - Throws: `sizeInvalid` for a resolution or a whole outside 1...8192, `outOfMemory`.
    public func modelTiles(resolution: Int, across: Int) throws(ImageError) -> [[Float]] {
        guard (1...Self.largestResolution).contains(resolution), (1...8).contains(across),
            resolution * across <= Self.largestResolution
        else { throw .resolution(resolution) }
        let side = max(width, height)
        let left = (side - width) / 2
        let top = (side - height) / 2
        func axis(_ place: Int, _ stored: Range<Int>) -> ResampleAxis {
            ResampleAxis(
                source: side, target: resolution * across, window: place * resolution..<(place + 1) * resolution,
                stored: stored)
        }
        let columns = (0..<across).map { axis($0, left..<left + width) }
        var tiles: [[Float]] = []
        for row in 0..<across {
            let vertical = axis(row, top..<top + height)
            for horizontal in columns {
                tiles.append(try pixels(horizontal, vertical))
            }
        }
        return tiles
    }

    /// ``modelPixels(resolution:fit:)`` of the padded square without the black bars: [height, width, 3] from its middle.
    ///
    /// - Throws: `sizeInvalid` unless width and height are 1...resolution and resolution is 1...8192, `outOfMemory`.
    public func modelPixels(resolution: Int, width shownWidth: Int, height shownHeight: Int) throws(ImageError)
        -> [Float]
    {
        guard (1...Self.largestResolution).contains(resolution), (1...resolution).contains(shownWidth),
            (1...resolution).contains(shownHeight)
        else { throw .resolution(min(resolution, shownWidth, shownHeight)) }
        let side = max(width, height)
        let left = (side - width) / 2
        let top = (side - height) / 2
        func window(_ count: Int) -> Range<Int> {
            let first = (resolution - count) / 2
            return first..<first + count
        }
        return try pixels(
            ResampleAxis(
                source: side, target: resolution, window: window(shownWidth), stored: left..<left + width),
            ResampleAxis(source: side, target: resolution, window: window(shownHeight), stored: top..<top + height))
    }

    private func pixels(_ horizontal: ResampleAxis, _ vertical: ResampleAxis) throws(ImageError) -> [Float] {
        var failure: ImageError?
        let count = horizontal.first.count * vertical.first.count * 3
        let pixels = [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            do throws(ImageError) {
                try resample(
                    horizontal: horizontal, vertical: vertical,
                    to: UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
                initialized = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return pixels
    }

    private func resample(
        horizontal: ResampleAxis, vertical: ResampleAxis, to target: UnsafeMutableBufferPointer<Float>
    ) throws(ImageError) {
        guard target.count == horizontal.first.count * vertical.first.count * 3, let start = target.baseAddress else {
            throw ImageError(
                .sizeInvalid,
                "Cannot write \(horizontal.first.count) x \(vertical.first.count) model pixels: the target has room for "
                    + "\(target.count) values.")
        }
        let done = horizontal.withAxis { horizontal in
            vertical.withAxis { vertical in
                withRGB { fv_resample($0.baseAddress, width, height, horizontal, vertical, start) }
            }
        }
        guard done else { throw .outOfMemory("resize a picture of \(width) x \(height) pixels") }
    }
}

extension ResampleAxis {
    fileprivate func withAxis(_ body: (UnsafePointer<fv_resample_axis>) -> Bool) -> Bool {
        first.withUnsafeBufferPointer { first in
            count.withUnsafeBufferPointer { count in
                weights.withUnsafeBufferPointer { weights in
                    var axis = fv_resample_axis(
                        first: first.baseAddress, count: count.baseAddress, weights: weights.baseAddress,
                        stride: stride,
                        length: first.count)
                    return withUnsafePointer(to: &axis, body)
                }
            }
        }
    }
}

extension ImageError {
    fileprivate static func resolution(_ resolution: Int) -> ImageError {
        ImageError(
            .sizeInvalid,
            "Cannot make model pixels: the resolution is \(resolution), expected 1 to \(Picture.largestResolution).")
    }
}
