internal import CKernels

/// Rows of activations as 8-bit numbers, in memory that grows to the largest that was needed and is then kept.
struct QuantizedRows {
    private var storage = ByteStorage(count: 0)

    /// How rows of `columns` values are laid out.
    struct Shape: Equatable {
        let columns: Int
        /// Columns that share a scale.
        let group: Int
        /// Scales of a row.
        let groups: Int
        /// Bytes of a row.
        let stride: Int

        /// For products with all of `weights`: 8-bit ones take any scales, 4-bit ones a scale each `FV_GROUP` columns.
        init(columns: Int, for weights: some Sequence<LinearWeights>) {
            self.columns = columns
            let stride = Int(fv_quant_columns(Int32(columns)))
            self.stride = stride
            group = weights.reduce(stride) {
                min($0, $1.element == .int4 ? Int(FV_GROUP) : $1.activationGroup ?? stride)
            }
            groups = Int(fv_quant_groups(Int32(columns), Int32(group)))
        }

        /// `columns` columns, in whole groups, of rows of `whole`.
        init(part columns: Int, of whole: Shape) {
            precondition(columns.isMultiple(of: whole.group), "a part of a group")
            self.columns = columns
            group = whole.group
            groups = columns / whole.group
            stride = columns
        }
    }

    /// Room for `rows` rows of `shape`; what was there is lost.
    mutating func reserve(rows: Int, _ shape: Shape) -> View {
        // Values, then scales and sums, each part at a multiple of 64 bytes.
        let values = (rows * shape.stride + 63) / 64 * 64
        let scales = (rows * shape.groups * 4 + 63) / 64 * 64
        let needed = values + 2 * scales
        if storage.count < needed { storage = ByteStorage(count: needed) }
        return View(
            values: storage.base.assumingMemoryBound(to: Int8.self),
            scales: (storage.base + values).assumingMemoryBound(to: Float.self),
            sums: (storage.base + values + scales).assumingMemoryBound(to: Int32.self), shape: shape)
    }

    /// The rows from one on. Valid until the storage that it is a view of is asked for room again.
    struct View {
        // Unsafe: parts of one storage, for C; the storage has room for all three, and outlives the view.
        let values: UnsafeMutablePointer<Int8>
        let scales: UnsafeMutablePointer<Float>
        let sums: UnsafeMutablePointer<Int32>
        let shape: Shape

        /// As the kernels take them, beginning with `row`.
        func rows(from row: Int) -> fv_i8_rows {
            fv_i8_rows(
                values: values + row * shape.stride, ld: shape.stride, scales: scales + row * shape.groups,
                sums: sums + row * shape.groups, columns: Int32(shape.columns), group: Int32(shape.group))
        }
    }
}
