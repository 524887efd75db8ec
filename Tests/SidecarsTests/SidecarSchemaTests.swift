import Foundation
import Sidecars
import Testing

/// Holds documents against `etc/schema/fastvlm.sidecar-1.schema.json` with the `jsonschema` package for Python, where
/// it is installed.
@Suite struct SidecarSchemaTests {
    @Test(.enabled(if: SchemaCheck.isInstalled, "the Python package jsonschema is not installed"))
    func everyDocumentKeepsTheSchema() throws {
        let documents = [Samples.full, Samples.refused, Samples.expired, Samples.notUTF8]
        let broken = try SchemaCheck.complaints(documents.map { try $0.json() })
        #expect(broken == Array(repeating: "", count: documents.count))
    }

    @Test(.enabled(if: SchemaCheck.isInstalled, "the Python package jsonschema is not installed"))
    func theSchemaRefusesWhatBreaksTheContract() throws {
        let good = String(decoding: try Samples.full.compactJSON(), as: UTF8.self)
        let refused = String(decoding: try Samples.refused.compactJSON(), as: UTF8.self)
        let broken = [
            good.replacing("\"ok\"", with: "\"done\""),
            good.replacing("\"ok\"", with: "\"refused\""),
            good.replacing("\"created\"", with: "\"made\""),
            good.replacing("sidecar/1", with: "sidecar/2"),
            good.replacing("183204", with: "-1"),
            good.replacing("0.97", with: "1.01"),
            good.replacing("10:00:01.000Z", with: "10:00:01Z"),
            good.replacing("\"answer\":true", with: "\"answer\":[]"),
            good.replacing("sha256:cd", with: "sha256:CD"),
            refused.replacing("jpeg_truncated", with: "JPEG truncated"),
        ]
        for text in broken { #expect(text != good && text != refused) }
        let complaints = try SchemaCheck.complaints(broken.map { Array($0.utf8) })
        for (text, complaint) in zip(broken, complaints) { #expect(!complaint.isEmpty, "accepted: \(text)") }
    }

    @Test func theSchemaIsJSONAndNamesEveryKeyThatIsWritten() throws {
        let schema = try JSONSerialization.jsonObject(with: Data(contentsOf: SchemaCheck.schema))
        var known: Set<String> = []
        func collect(_ value: Any) {
            if let object = value as? [String: Any] {
                if let properties = object["properties"] as? [String: Any] { known.formUnion(properties.keys) }
                object.values.forEach(collect)
            } else if let array = value as? [Any] {
                array.forEach(collect)
            }
        }
        collect(schema)
        var written: Set<String> = []
        func keys(_ value: Any) {
            if let object = value as? [String: Any] {
                written.formUnion(object.keys)
                object.values.forEach(keys)
            } else if let array = value as? [Any] {
                array.forEach(keys)
            }
        }
        for document in [Samples.full, Samples.refused, Samples.notUTF8] {
            keys(try JSONSerialization.jsonObject(with: Data(document.json())))
        }
        #expect(written.subtracting(known) == [])
        #expect(known.subtracting(written) == [])
    }
}

enum SchemaCheck {
    static let schema = URL(filePath: #filePath).resolvingSymlinksInPath()
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "etc/schema/fastvlm.sidecar-1.schema.json")

    static let isInstalled: Bool = (try? run(["-c", "import jsonschema"]))?.status == 0

    private static let program = """
        import json, sys, jsonschema
        schema = json.load(open(sys.argv[1]))
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for path in sys.argv[2:]:
            print("; ".join(e.message.replace("\\n", " ") for e in validator.iter_errors(json.load(open(path)))))
        """

    /// What the schema says against each document; empty if nothing.
    static func complaints(_ documents: [[UInt8]]) throws -> [String] {
        let folder = TemporaryFolder()
        var paths: [String] = []
        for (index, document) in documents.enumerated() {
            folder.write(document, "\(index).json")
            paths.append(folder.path("\(index).json"))
        }
        let (status, output) = try run(["-c", program, schema.path] + paths)
        #expect(status == 0)
        return output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map { String($0) }
    }

    private static func run(_ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3"] + arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}
