/// Float32 memory of a fixed size, aligned to 64 bytes, that matrices are laid over.
///
/// Its owner lets one computation at a time use it, so it is not `Sendable`.
public final class FloatStorage {
    /// Floats that fit.
    public let count: Int
    // Unsafe: memory for C that is not zeroed; freed in `deinit`, and matrices check that they lie within `count`.
    let base: UnsafeMutablePointer<Float>

    /// Reserves `count` floats. They are not set: pages that nothing writes cost nothing.
    public init(count: Int) {
        precondition(count >= 0, "a storage of \(count) floats")
        self.count = count
        let bytes = UnsafeMutableRawPointer.allocate(
            byteCount: max(count, 1) * MemoryLayout<Float>.stride, alignment: 64)
        base = bytes.bindMemory(to: Float.self, capacity: max(count, 1))
    }

    deinit {
        UnsafeMutableRawPointer(base).deallocate()
    }
}

/// A dense row-major float32 matrix `[rows, columns]` over part of a ``FloatStorage``.
public struct Matrix {
    public let storage: FloatStorage
    /// Where the matrix begins, in floats.
    public let offset: Int
    public let rows: Int
    public let columns: Int

    /// Lays a matrix over `storage`, from `offset` on. The default is its beginning.
    public init(_ storage: FloatStorage, offset: Int = 0, rows: Int, columns: Int) {
        precondition(
            rows >= 0 && columns >= 0 && offset >= 0 && offset + rows * columns <= storage.count,
            "a [\(rows), \(columns)] matrix at \(offset) in \(storage.count) floats")
        self.storage = storage
        self.offset = offset
        self.rows = rows
        self.columns = columns
    }

    /// A matrix with storage of its own.
    public init(rows: Int, columns: Int) {
        self.init(FloatStorage(count: rows * columns), rows: rows, columns: columns)
    }

    /// The rows in `range`, over the same storage.
    public func rows(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
        return Matrix(storage, offset: offset + range.lowerBound * columns, rows: range.count, columns: columns)
    }

    /// A copy of the values, row by row.
    public func values() -> [Float] {
        Array(UnsafeBufferPointer(start: base, count: rows * columns))
    }

    /// Makes `values` a copy of all values, row by row, in its memory where that has room.
    public func copy(into values: inout [Float]) {
        values.removeAll(keepingCapacity: true)
        // Unsafe: the storage behind `base` holds so many values, and nothing else runs meanwhile.
        values.append(contentsOf: UnsafeBufferPointer(start: base, count: rows * columns))
    }

    /// Sets all values, row by row.
    public func set(_ values: [Float]) {
        precondition(values.count == rows * columns, "\(values.count) values for [\(rows), \(columns)]")
        values.withUnsafeBufferPointer { source in
            guard let first = source.baseAddress else { return }
            base.update(from: first, count: source.count)
        }
    }

    /// Copies the values of `other`, which has the same shape.
    public func set(_ other: Matrix) {
        precondition(other.rows == rows && other.columns == columns)
        base.update(from: other.base, count: rows * columns)
    }

    var base: UnsafeMutablePointer<Float> { storage.base + offset }
}

/// A feature map `[height, width, channels]` (NHWC): one row of ``pixels`` a pixel, in row-major order.
public struct FeatureMap {
    public let pixels: Matrix
    public let height: Int
    public let width: Int
    public var channels: Int { pixels.columns }

    /// Lays a map over `storage`, from its beginning.
    public init(_ storage: FloatStorage, height: Int, width: Int, channels: Int) {
        self.pixels = Matrix(storage, rows: height * width, columns: channels)
        self.height = height
        self.width = width
    }

    /// A map with storage of its own.
    public init(height: Int, width: Int, channels: Int) {
        self.init(FloatStorage(count: height * width * channels), height: height, width: width, channels: channels)
    }

    /// A copy of the values as `[channels, height, width]`, the order that traces and PyTorch use.
    public func planes() -> [Float] {
        let count = height * width
        return [Float](unsafeUninitializedCapacity: count * channels) { plane, initialized in
            for channel in 0..<channels {
                for pixel in 0..<count {
                    plane[channel * count + pixel] = pixels.base[pixel * channels + channel]
                }
            }
            initialized = count * channels
        }
    }
}
