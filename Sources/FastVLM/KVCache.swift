import Kernels

/// The keys and values of every layer for the positions that have been computed.
final class KVCache {
    /// Positions that hold keys and values.
    private(set) var length = 0
    /// Positions that fit without growing.
    private(set) var capacity = 0
    private let width: Int
    private var keys: [FloatStorage]
    private var values: [FloatStorage]

    /// - Parameter width: Floats of one layer's keys at one position: key-value heads times head dimension.
    init(layers: Int, width: Int) {
        self.width = width
        keys = (0..<layers).map { _ in FloatStorage(count: 0) }
        values = keys
    }

    /// Makes room for `positions` in all, keeping what is there.
    func reserve(_ positions: Int) {
        guard positions > capacity else { return }
        let grown = max(positions, capacity * 3 / 2)
        for layer in keys.indices {
            keys[layer] = copy(keys[layer], positions: grown)
            values[layer] = copy(values[layer], positions: grown)
        }
        capacity = grown
    }

    private func copy(_ storage: FloatStorage, positions: Int) -> FloatStorage {
        let larger = FloatStorage(count: positions * width)
        if length > 0 {
            Matrix(larger, rows: length, columns: width).set(Matrix(storage, rows: length, columns: width))
        }
        return larger
    }

    /// Forgets every position from `length` on.
    func truncate(to length: Int) {
        precondition(length >= 0 && length <= self.length)
        self.length = length
    }

    /// Counts `count` more positions, whose keys and values have been written to every layer.
    func advance(_ count: Int) {
        precondition(length + count <= capacity)
        length += count
    }

    /// The keys of `layer` at `positions`, `[positions, width]`.
    func keys(_ layer: Int, _ positions: Range<Int>) -> Matrix {
        Matrix(keys[layer], offset: positions.lowerBound * width, rows: positions.count, columns: width)
    }

    /// The values of `layer` at `positions`, `[positions, width]`.
    func values(_ layer: Int, _ positions: Range<Int>) -> Matrix {
        Matrix(values[layer], offset: positions.lowerBound * width, rows: positions.count, columns: width)
    }
}
