import Foundation
import Testing

/// `etc/schema/fastvlm.sidecar-1.schema.json`, by the `jsonschema` package for Python where it is installed.
enum SidecarSchema {
    /// A Python that has the package, with the arguments that start it: Debian's own, or the first on the path.
    private static let python: [String]? = [["/usr/bin/python3"], ["/usr/bin/env", "python3"]].first { python in
        (try? start(python, ["-c", "import jsonschema"]))?.status == 0
    }

    static var isInstalled: Bool { python != nil }

    private static let program = """
        import json, sys, jsonschema
        schema = json.load(open(sys.argv[1]))
        validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        for line in open(sys.argv[2], encoding="utf-8"):
            print("; ".join(e.message.replace("\\n", " ") for e in validator.iter_errors(json.loads(line))))
        """

    /// What the schema says against each document; empty strings, or nil if there is nobody to ask.
    static func complaints(_ documents: [Sidecar]) throws -> [String]? {
        guard let python else { return nil }
        let folder = try TemporaryFolder()
        // JSON has no new lines but between its parts.
        let lines = documents.map { $0.bytes.map { $0 == UInt8(ascii: "\n") ? UInt8(ascii: " ") : $0 } }
        try folder.write(Array(lines.joined(separator: [UInt8(ascii: "\n")])), to: "documents")
        let (status, output) = try start(python, ["-c", program, schema, folder["documents"]])
        #expect(status == 0, "the validator failed: \(output)")
        return output.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map { String($0) }
    }

    private static var schema: String { House.sidecarSchema }

    /// Fails the test for each document that breaks the schema. Does nothing where there is no validator:
    /// ``SidecarSchemaTests`` says so.
    static func expectKept(by documents: [Sidecar], sourceLocation: SourceLocation = #_sourceLocation) throws {
        guard !documents.isEmpty, let complaints = try complaints(documents) else { return }
        #expect(complaints.count == documents.count, sourceLocation: sourceLocation)
        for (document, complaint) in zip(documents, complaints) {
            #expect(complaint == "", "\(document)", sourceLocation: sourceLocation)
        }
    }

    private static func start(_ python: [String], _ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(filePath: python[0])
        process.arguments = python.dropFirst() + arguments
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let output = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }
}

@Suite struct SidecarSchemaTests {
    @Test(
        .enabled(
            if: SidecarSchema.isInstalled,
            "the Python package jsonschema is not installed: no document is held against the schema"))
    func theSchemaIsAskedAndCanSayNo() async throws {
        let ending = try await run(
            .fastvlm, "caption", "--model", House.model, "--resolution", "64", "--max-tokens", "2", "--json",
            House.china.path)
        let good = try Sidecar(ending.output)
        let broken = try ["\"ok\"": "\"refused\"", "sidecar/1": "sidecar/2", "196653": "-1", "\"created\"": "\"made\""]
            .map { try Sidecar(ending.output.replacing($0, with: $1)) }
        let complaints = try #require(try SidecarSchema.complaints([good] + broken))
        #expect(complaints.first == "")
        #expect(complaints.dropFirst().allSatisfy { $0 != "" })
        #expect(complaints.count == 5)
    }
}
