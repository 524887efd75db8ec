import Foundation
import Testing

/// A sidecar, or a line that `--json` prints, as a reader of the contract sees it.
struct Sidecar {
    let bytes: [UInt8]
    let object: [String: Any]

    init(_ bytes: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) throws {
        self.bytes = bytes
        let parsed = try? JSONSerialization.jsonObject(with: Data(bytes))
        object = try #require(
            parsed as? [String: Any], "no JSON object: \(String(decoding: bytes, as: UTF8.self))",
            sourceLocation: sourceLocation)
    }

    init(_ text: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        try self.init(Array(text.utf8), sourceLocation: sourceLocation)
    }

    /// The value at `path`, for example `source.file`.
    subscript<Value>(path: String, as type: Value.Type = Value.self) -> Value? {
        var value: Any? = object
        for key in path.split(separator: ".") { value = (value as? [String: Any])?[String(key)] }
        return value as? Value
    }

    var caption: String? { self["caption"] }
    var answers: [[String: Any]] { self["answers"] ?? [] }

    /// Fails the test unless this is the result of reading `picture` with the checked-in model.
    func expectOK(_ picture: Photograph, pixels: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let side = (pixels + 63) / 64
        let expected: [String: AnyHashable] = [
            "schema": "fastvlm.sidecar/1", "status": "ok", "source.bytes": try picture.bytes().count,
            "source.sha256": try SHA256Sum.of(picture), "source.width": picture.width, "source.height": picture.height,
            "model.name": "random-tiny", "model.digest": House.modelDigest, "model.precision": "bf16",
            "resolution.pixels": pixels, "resolution.visual_tokens": side * side,
        ]
        for (path, value) in expected {
            #expect(self[path, as: AnyHashable.self] == value, "\(path) of \(self)", sourceLocation: sourceLocation)
        }
        #expect(["stop", "length"].contains(self["finish_reason"]), sourceLocation: sourceLocation)
        #expect(caption != nil || !answers.isEmpty, sourceLocation: sourceLocation)
        #expect(object["code"] == nil && object["reason"] == nil, sourceLocation: sourceLocation)
        for step in ["decode", "preprocess", "vision", "prefill", "ttft", "generate", "total"] {
            let milliseconds: Double? = self["timings.\(step)_ms"]
            #expect((milliseconds ?? -1) >= 0, "\(step)", sourceLocation: sourceLocation)
        }
        #expect((self["timings.prompt_tokens"] ?? 0) > 0, sourceLocation: sourceLocation)
        #expect((self["timings.generated_tokens"] ?? 0) > 0, sourceLocation: sourceLocation)
    }

    /// Fails the test unless this is a refusal with `code`, for a reason that holds `words`.
    func expectRefused(_ code: String, _ words: String, sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(self["status"] == "refused", "\(self)", sourceLocation: sourceLocation)
        #expect(self["code"] == code, "\(self)", sourceLocation: sourceLocation)
        let reason: String = self["reason"] ?? ""
        #expect(reason.contains(words), sourceLocation: sourceLocation)
        #expect(object["caption"] == nil && object["answers"] == nil, sourceLocation: sourceLocation)
    }
}

extension Sidecar: CustomStringConvertible {
    var description: String { String(decoding: bytes, as: UTF8.self) }
}

/// The digests of the pictures, by coreutils.
enum SHA256Sum {
    private static let sums: [String: String] = {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(filePath: "/usr/bin/sha256sum")
        process.arguments = House.pictures.map(\.path)
        process.standardOutput = pipe
        guard (try? process.run()) != nil else { return [:] }
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        let sums = output.split(separator: "\n").map { String($0.prefix(64)) }
        return Dictionary(zip(House.pictures.map(\.path), sums)) { first, _ in first }
    }()

    static func of(_ picture: Photograph) throws -> String { try #require(sums[picture.path]) }
}
