import ModelFiles
import Testing

/// What a model's tensors hold, to compare models by.
struct PreparedValues: Equatable {
    var shapes: [String: [Int]] = [:]
    var floats: [String: [Float]] = [:]

    init(_ model: PreparedModel) throws {
        for name in model.tensorNames {
            let tensor = try model.tensor(name)
            shapes[name] = tensor.shape
            floats[name] = try tensor.floats()
        }
    }
}

extension TinyCheckpoint {
    /// Writes the checkpoint into a folder of its own and opens it.
    func open(in folder: TemporaryFolder, as name: String = "checkpoint") throws -> PreparedModel {
        let inner = try folder.makeFolder(name)
        try write(to: inner)
        return try PreparedModel.open(path: folder[name])
    }
}
