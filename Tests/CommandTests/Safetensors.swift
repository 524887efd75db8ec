import Foundation
import Testing

/// A safetensors file, taken apart without the code that the tests try.
struct Safetensors {
    var header: String
    var data: [UInt8]

    struct Tensor: Equatable {
        let element: String
        let shape: [Int]
    }

    init(header: String, data: [UInt8] = []) {
        self.header = header
        self.data = data
    }

    init(_ bytes: [UInt8]) throws {
        let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        try #require(bytes.count >= 8 + length)
        header = String(decoding: bytes[8..<(8 + length)], as: UTF8.self)
        data = Array(bytes[(8 + length)...])
    }

    var bytes: [UInt8] { bytes(claiming: UInt64(header.utf8.count)) }

    /// The file with `length` for its header's.
    func bytes(claiming length: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8) + data
    }

    /// This file with `old` in its header replaced by `new`, and the header padded anew to a multiple of 64 bytes.
    func replacing(_ old: String, _ new: String) throws -> Safetensors {
        try #require(header.contains(old), "\(old)")
        var changed = self
        changed.header = header.replacing(old, with: new)
        while changed.header.hasSuffix(" ") { changed.header.removeLast() }
        while !(8 + changed.header.utf8.count).isMultiple(of: 64) { changed.header += " " }
        return changed
    }

    private var object: [String: Any] {
        get throws { try #require(try JSONSerialization.jsonObject(with: Data(header.utf8)) as? [String: Any]) }
    }

    var metadata: [String: String] {
        get throws { try object["__metadata__"] as? [String: String] ?? [:] }
    }

    /// All tensors by name.
    var tensors: [String: Tensor] {
        get throws {
            try object.filter { $0.key != "__metadata__" }.mapValues { value in
                let entry = try #require(value as? [String: Any])
                return Tensor(
                    element: try #require(entry["dtype"] as? String), shape: try #require(entry["shape"] as? [Int]))
            }
        }
    }

    /// The bytes of `name`.
    func content(_ name: String) throws -> ArraySlice<UInt8> {
        let entry = try #require(try object[name] as? [String: Any])
        let offsets = try #require(entry["data_offsets"] as? [Int])
        return data[offsets[0]..<offsets[1]]
    }

    /// The values of `name`, which are I64.
    func integers(_ name: String) throws -> [Int] {
        let bytes = Array(try content(name))
        return stride(from: 0, to: bytes.count, by: 8).map { start in
            Int(bytes[start..<(start + 8)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }.asSigned)
        }
    }

    /// The values of `name`, which are F32.
    func floats(_ name: String) throws -> [Float] {
        let bytes = Array(try content(name))
        return stride(from: 0, to: bytes.count, by: 4).map { start in
            Float(bitPattern: bytes[start..<(start + 4)].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) })
        }
    }
}

extension UInt64 {
    fileprivate var asSigned: Int64 { Int64(bitPattern: self) }
}
