internal import FastVLM
internal import Kernels
internal import ModelFiles

/// Makes a packed file and says what it is.
struct ModelPacking {
    let precision: ModelPrecision
    let isReplacing: Bool
    let json: Bool

    /// Packs `model` as `identity` into `path`.
    ///
    /// - Throws: status 2 for an option that cannot be, 3 for everything else.
    func run(_ model: PreparedModel, to path: String, as identity: ModelIdentity) throws(CommandFailure) {
        do {
            let statistics =
                precision == .int8 || precision == .int4
                ? try FastVLMModel.calibrate(model, pool: try ThreadPool(threads: ThreadPool.availableCores)) : [:]
            let bar = ProgressBar("packing")
            defer { bar.finish() }
            let summary = try PackedModel.write(
                from: model, to: path, precision: precision, identity: identity, statistics: statistics,
                replacing: isReplacing, progress: bar.show)
            bar.finish()
            Console.line(
                json
                    ? try summary.json()
                    : "\(Console.printable(summary.path)): \(summary.precision.rawValue), \(summary.byteCount.asBytes), \(summary.digest)"
            )
        } catch let error as ModelFileError {
            throw CommandFailure(error.code == .optionInvalid ? .usage : .setup, error.message)
        } catch let error as KernelError {
            throw CommandFailure(.setup, error.message)
        } catch {
            throw CommandFailure(.setup, "Cannot pack the model: \(error).")
        }
    }
}
