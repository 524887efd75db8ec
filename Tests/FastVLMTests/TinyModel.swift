import FastVLM
import FoundationEssentials
import Images
import Kernels
import ModelFiles

/// The checked-in model of random weights and the photographs beside it.
enum TinyModel {
    static let etc = #filePath.replacing("Tests/FastVLMTests/TinyModel.swift", with: "etc")

    static func load() throws -> FastVLMModel {
        try FastVLMModel(path: "\(etc)/tiny-model/random-tiny.fastvlm")
    }

    static func session(
        _ instructionSet: InstructionSet = .best, threads: Int = 2
    ) throws -> FastVLMSession {
        try FastVLMSession(try load(), pool: try ThreadPool(threads: threads), instructionSet: instructionSet)
    }

    /// The photograph as the model sees it, decoded at full scale.
    static func pixels(_ photograph: String, _ resolution: Int) throws -> [Float] {
        let bytes = Array(try Data(contentsOf: URL(filePath: "\(etc)/photographs/\(photograph).jpg")))
        return try ImageDecoder().decode(bytes).modelPixels(resolution: resolution)
    }
}

extension FastVLMSession {
    func encode(_ photograph: String, _ resolution: Int) throws -> EncodedPicture {
        try encode(try TinyModel.pixels(photograph, resolution), height: resolution, width: resolution)
    }
}
