import ModelFiles
import Testing

/// What a safetensors file must be before a byte of it is used.
@Suite struct SafetensorsFileTests {
    let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func open(_ bytes: [UInt8]) throws -> SafetensorsFile {
        try folder.write(bytes, to: "model.safetensors")
        return try SafetensorsFile(path: folder["model.safetensors"])
    }

    private func open(header: String, dataByteCount: Int = 0) throws -> SafetensorsFile {
        try open(SafetensorsBytes.file(header: header, data: [UInt8](repeating: 0, count: dataByteCount)))
    }

    private static let small = SafetensorsBytes.file([
        .init(name: "a", element: "F32", shape: [2, 3], bytes: FloatBytes.f32([1, 2, 3, 4, 5, 6])),
        .init(name: "empty", element: "F32", shape: [0, 7], bytes: []),
        .init(name: "scalar", element: "I64", shape: [], bytes: [9, 0, 0, 0, 0, 0, 0, 0]),
        .init(name: "b", element: "BF16", shape: [2], bytes: FloatBytes.bf16([0.5, -2])),
    ])

    @Test func trueFilesAreRead() throws {
        let file = try open(Self.small)
        #expect(file.names == ["a", "empty", "scalar", "b"])
        #expect(file.metadata == ["format": "pt"])
        let tensor = try file.tensor("a")
        #expect(tensor.element == .f32)
        #expect(tensor.shape == [2, 3])
        #expect(try tensor.floats() == [1, 2, 3, 4, 5, 6])
        #expect(try file.tensor("b").floats() == [0.5, -2])
        #expect(try file.tensor("empty").floats() == [])
        #expect(try file.tensor("scalar").withUnsafeBytes { Array($0) } == [9, 0, 0, 0, 0, 0, 0, 0])
        #expect(try errorCode { _ = try file.tensor("scalar").floats() } == .tensorElementMismatch)
        #expect(try errorCode { _ = try file.tensor("c") } == .tensorMissing)
    }

    @Test func everyTruncationIsRefused() throws {
        for count in 0..<Self.small.count {
            let code = try errorCode { _ = try open(Array(Self.small.prefix(count))) }
            #expect(code == .truncated, "of the first \(count) bytes")
        }
        #expect(try errorCode { _ = try open(Self.small + [0]) } == .hole)
    }

    @Test func theHeadersLengthIsBounded() throws {
        let long = 8 << 20
        #expect(
            try errorCode { _ = try open(SafetensorsBytes.file(header: "{}", length: UInt64(long + 1))) }
                == .headerTooLong)
        #expect(try errorCode { _ = try open(SafetensorsBytes.file(header: "{}", length: .max)) } == .headerTooLong)
        #expect(try errorCode { _ = try open(SafetensorsBytes.file(header: "{}", length: UInt64(long))) } == .truncated)
        let padded = "{}" + String(repeating: " ", count: long - 2)
        #expect(try open(header: padded).names == [])
    }

    @Test(arguments: [
        "", " ", "x", "[]", "null", "\"a\"", "{", "{\"a\"", "{\"a\":", "{\"a\":{", "{\"a\":1}", "{\"a\":[]}", "{}}",
        "{} x",
        "{,}", "{\"a\":{},}", " {}", "{'a':{}}", "{a:{}}", "{\"a\":{}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,0]}}",
        "{\"a\":{\"shape\":[0],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":8,\"shape\":[0],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":0,\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[\"0\"],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[0.0],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[0e1],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[00],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[-1],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[0,],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,0]}}",
        "{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0],\"more\":1}}",
        "{\"__metadata__\":{\"a\":1}}", "{\"__metadata__\":[]}", "{\"__metadata__\":{\"a\":{}}}",
        "{\"\\x\":{}}", "{\"\\u12\":{}}", "{\"\\ud800\":{}}", "{\"\\ud800\\u0041\":{}}", "{\"\\udc00\":{}}",
        "{\"\n\":{}}",
    ])
    func textThatIsNoHeaderIsRefused(header: String) throws {
        #expect(try errorCode { _ = try open(header: header) } == .headerInvalid)
    }

    @Test func bytesThatAreNoTextAreRefused() throws {
        for bytes: [UInt8] in [[0xFF], [0xC0, 0xAF], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xE2, 0x82]] {
            let header = Array("{\"".utf8) + bytes + Array("\":{}}".utf8)
            let length = SafetensorsBytes.file(header: "", length: UInt64(header.count))
            #expect(try errorCode { _ = try open(length + header) } == .headerInvalid, "\(bytes)")
        }
    }

    @Test func nestingIsNotFollowed() throws {
        let deep = String(repeating: "[", count: 1_000_000)
        #expect(try errorCode { _ = try open(header: "{\"a\":" + deep) } == .headerInvalid)
        let objects = String(repeating: "{\"a\":", count: 1_000_000)
        #expect(try errorCode { _ = try open(header: objects) } == .headerInvalid)
    }

    private func entry(_ name: String, _ element: String, _ shape: String, _ start: String, _ end: String) -> String {
        "\"\(name)\":{\"dtype\":\"\(element)\",\"shape\":[\(shape)],\"data_offsets\":[\(start),\(end)]}"
    }

    private func code(_ entries: [String], dataByteCount: Int) throws -> ModelFileError.Code {
        try errorCode {
            _ = try open(header: "{" + entries.joined(separator: ",") + "}", dataByteCount: dataByteCount)
        }
    }

    @Test func lyingShapesAndElementsAreRefused() throws {
        #expect(try code([entry("a", "F32", "3", "0", "8")], dataByteCount: 8) == .sizeMismatch)
        #expect(try code([entry("a", "F16", "2", "0", "8")], dataByteCount: 8) == .sizeMismatch)
        #expect(try code([entry("a", "F32", "", "0", "8")], dataByteCount: 8) == .sizeMismatch)
        #expect(try code([entry("a", "F33", "2", "0", "8")], dataByteCount: 8) == .unknownElement)
        #expect(try code([entry("a", "f32", "2", "0", "8")], dataByteCount: 8) == .unknownElement)
        #expect(try code([entry("a", "F32", "4611686018427387904,4", "0", "0")], dataByteCount: 0) == .shapeInvalid)
        #expect(try code([entry("a", "F32", "4611686018427387904", "0", "0")], dataByteCount: 0) == .shapeInvalid)
        #expect(try code([entry("a", "U8", "4294967296,4294967296", "0", "0")], dataByteCount: 0) == .shapeInvalid)
        #expect(try code([entry("a", "U8", "1,1,1,1,1,1,1,1,1", "0", "1")], dataByteCount: 1) == .shapeInvalid)
    }

    @Test func lyingOffsetsAreRefused() throws {
        #expect(try code([entry("a", "U8", "4", "4", "0")], dataByteCount: 4) == .offsetsInvalid)
        #expect(try code([entry("a", "U8", "4", "0,4", "8")], dataByteCount: 4) == .shapeInvalid)
        #expect(
            try code(["\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4]}"], dataByteCount: 4)
                == .offsetsInvalid)
        let end = "9223372036854775807"
        #expect(try code([entry("a", "U8", end, "0", end)], dataByteCount: 4) == .truncated)
        #expect(try code([entry("a", "U8", "4", "0", "4")], dataByteCount: 3) == .truncated)
        #expect(try code([entry("a", "U8", "4", "9223372036854775803", end)], dataByteCount: 4) == .hole)
        #expect(try code([entry("a", "U8", "4", "0", "18446744073709551620")], dataByteCount: 4) == .headerInvalid)
    }

    @Test func overlapsAndHolesAreRefused() throws {
        let first = entry("a", "U8", "4", "0", "4")
        #expect(try code([first, entry("b", "U8", "4", "3", "7")], dataByteCount: 7) == .tensorsOverlap)
        #expect(try code([first, entry("b", "U8", "4", "0", "4")], dataByteCount: 4) == .tensorsOverlap)
        #expect(try code([entry("b", "U8", "4", "2", "6"), first], dataByteCount: 6) == .tensorsOverlap)
        #expect(try code([first, entry("b", "U8", "2", "1", "3")], dataByteCount: 4) == .tensorsOverlap)
        #expect(try code([first, entry("b", "U8", "0", "2", "2")], dataByteCount: 4) == .tensorsOverlap)
        #expect(try code([first, entry("b", "U8", "4", "5", "9")], dataByteCount: 9) == .hole)
        #expect(try code([entry("a", "U8", "4", "1", "5")], dataByteCount: 5) == .hole)
        #expect(try code([first], dataByteCount: 5) == .hole)
        #expect(try code([], dataByteCount: 1) == .hole)
        #expect(
            try open(header: "{\(entry("b", "U8", "4", "4", "8")),\(first)}", dataByteCount: 8).names == ["a", "b"])
    }

    @Test func doubledNamesAreRefused() throws {
        let tensor = entry("a", "U8", "0", "0", "0")
        #expect(try code([tensor, tensor], dataByteCount: 0) == .duplicateName)
        #expect(try code([tensor, entry("\\u0061", "U8", "0", "0", "0")], dataByteCount: 0) == .duplicateName)
        #expect(try code(["\"__metadata__\":{}", "\"__metadata__\":{}"], dataByteCount: 0) == .duplicateName)
        #expect(try code(["\"__metadata__\":{\"a\":\"\",\"a\":\"\"}"], dataByteCount: 0) == .duplicateName)
        let doubled = "\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}"
        #expect(try code([doubled], dataByteCount: 0) == .duplicateName)
    }

    @Test func theNumberOfTensorsIsBounded() throws {
        let many = (0..<20_001).map { entry("t\($0)", "U8", "0", "0", "0") }
        #expect(try code(many, dataByteCount: 0) == .tooManyTensors)
        #expect(try open(header: "{" + many.dropLast().joined(separator: ",") + "}").names.count == 20_000)
    }

    @Test func escapesInNamesAreUnderstood() throws {
        let name = "\\u00e9\\n\\\"\\\\\\/\\ud83d\\ude00"
        let file = try open(header: "{" + entry(name, "U8", "0", "0", "0") + "}")
        #expect(file.names == ["é\n\"\\/😀"])
    }

    @Test func whatIsNoRegularFileIsRefused() throws {
        #expect(try errorCode { _ = try SafetensorsFile(path: folder["none"]) } == .fileNotFound)
        #expect(try errorCode { _ = try SafetensorsFile(path: folder.path) } == .notARegularFile)
        #expect(try errorCode { _ = try SafetensorsFile(path: "/dev/zero") } == .notARegularFile)
    }

    /// Every half, against the language's own conversion.
    @Test func halvesAreReadExactly() throws {
        let bits = (0...UInt16.max).filter { !Float(Float16(bitPattern: $0)).isNaN }
        let bytes = bits.flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
        let file = try open(
            SafetensorsBytes.file([.init(name: "a", element: "F16", shape: [bits.count], bytes: bytes)]))
        #expect(
            try file.tensor("a").floats().map(\.bitPattern) == bits.map { Float(Float16(bitPattern: $0)).bitPattern })
        let nan = try open(SafetensorsBytes.file([.init(name: "a", element: "F16", shape: [1], bytes: [1, 0x7C])]))
        #expect(try nan.tensor("a").floats()[0].isNaN)
    }
}
