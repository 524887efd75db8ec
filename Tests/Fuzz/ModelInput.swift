import FastVLM
import Glibc
import ModelFiles

/// What comes with a model: safetensors headers, tokenizers, packed files, and the texts that a tokenizer is given.
///
/// Where a checksum or a length would keep almost every change from being looked at, it is made right, and what every
/// input would have to spell out is filled in.
enum ModelInput {
    static func safetensors(_ bytes: [UInt8]) {
        Scratch.file.hold(bytes)
        guard let file = try? SafetensorsFile(path: Scratch.file.path) else { return }
        for name in ["a", "b", "c"] {
            // Its bytes lie in the file: the first and the last are read.
            guard let tensor = try? file.tensor(name) else { continue }
            tensor.withUnsafeBytes { precondition(($0.first ?? 0) | ($0.last ?? 0) >= 0) }
        }
    }

    /// A tokenizer in one of its three forms: compact if it begins like one; the files of a folder, each begun by a byte 2;
    /// else `tokenizer.json`. A byte 1 stands for a vocabulary of the 256 bytes, without its brackets.
    static func tokenizer(_ bytes: [UInt8]) {
        if bytes.starts(with: Array("FVTK".utf8)) {
            guard let tokenizer = try? Tokenizer(compact: Checksums.compact(bytes)) else { return }
            let again = tokenizer.compactBytes()
            precondition((try? Tokenizer(compact: again))?.compactBytes() == again)
            return speak(tokenizer)
        }
        let bytes = withVocabulary(bytes)
        let directory: String
        if bytes.first == 2 {
            let parts = bytes.dropFirst().split(separator: 2, maxSplits: 3, omittingEmptySubsequences: false)
            for (file, part) in zip(Scratch.tokenizerFolder, parts) { file.hold(Array(part)) }
            for file in Scratch.tokenizerFolder.dropFirst(parts.count) { file.hold([]) }
            directory = Scratch.tokenizerFolder[0].directory
        } else {
            Scratch.tokenizer.hold(bytes)
            directory = Scratch.tokenizer.directory
        }
        guard let tokenizer = try? Tokenizer(directory: directory) else { return }
        let compact = tokenizer.compactBytes()
        precondition((try? Tokenizer(compact: compact))?.compactBytes() == compact)
        speak(tokenizer)
    }

    /// Any ids are said as some text, and read again.
    private static func speak(_ tokenizer: Tokenizer) {
        let ids = tokenizer.encode("A lamp 12.5 \u{1F600} <|im_end|>", parsingSpecialTokens: true)
        precondition(ids.allSatisfy(tokenizer.isKnown))
        _ = tokenizer.decode(ids + [0, tokenizer.tokenCount, -1, .max], skippingSpecialTokens: false)
    }

    private static func withVocabulary(_ bytes: [UInt8]) -> [UInt8] {
        guard let place = bytes.firstIndex(of: 1) else { return bytes }
        return bytes[..<place] + vocabulary + bytes[(place + 1)...]
    }

    /// `"!":0,"\"":1,…`: the characters that stand for the 256 bytes, in the order of the characters.
    private static let vocabulary: [UInt8] = {
        let printable = Array(0x21...0x7E) + Array(0xA1...0xAC) + Array(0xAE...0xFF)
        let characters = (printable + Array(0x100...0x143)).compactMap(Unicode.Scalar.init).map { String($0) }
        return Array(
            characters.enumerated().map { id, character in
                (character == "\"" || character == "\\" ? "\"\\\(character)\":" : "\"\(character)\":") + String(id)
            }.joined(separator: ",").utf8)
    }()

    // MARK: - Packed files

    private static let dataStart = 12 << 10

    /// A packed file's header; after a byte 0 the length of its data in three bytes, and the compact tokenizer with which
    /// the data begin. All else there is 0.
    static func packed(_ bytes: [UInt8]) {
        let header = bytes.prefix(dataStart - 8).prefix { $0 != 0 }
        let rest = bytes.dropFirst(header.count + 1)
        let length = rest.prefix(3).reversed().reduce(0) { $0 << 8 | Int($1) } & 0xF_FFFF
        var file = [UInt8](repeating: UInt8(ascii: " "), count: dataStart)
        for place in 0..<8 { file[place] = UInt8(truncatingIfNeeded: (dataStart - 8) >> (8 * place)) }
        file.replaceSubrange(8..<(8 + header.count), with: header)
        let tokenizer = Checksums.compact(Array(rest.dropFirst(3).prefix(4096)))
        file += tokenizer + [UInt8](repeating: 0, count: 4096 - tokenizer.count)
        Scratch.packed.hold(file, length: dataStart + length)
        guard let model = try? FastVLMModel(path: Scratch.packed.path) else { return }
        precondition(model.prepared.resolutions.contains(model.prepared.defaultResolution))
    }

    // MARK: - Text

    /// Of the 256 bytes, eight merges and two special tokens.
    private static let speaker: Tokenizer? = {
        var bytes = Array("FVTK".utf8) + [1, 0x80, 2, 8, 2]
        for byte in 0...UInt8.max { bytes += [0, 1, byte] }
        for (rank, pair) in ["th", "in", "er", "an", "  ", "\n\n", "12", "re"].enumerated() {
            // The first merge gives id 256, each other the one after that of the merge before.
            bytes += (rank == 0 ? [0x80, 4] : [0]) + Array(pair.utf8)
        }
        for (id, text) in [(UInt8(0), "<|im_start|>"), (1, "<|im_end|>")] {
            bytes += [0x88 + id, 2, 1, UInt8(text.utf8.count)] + Array(text.utf8)
        }
        return try? Tokenizer(compact: Checksums.compact(bytes + [UInt8](repeating: 0, count: 8)))
    }()

    /// What a person asks: it comes back as it was, and never is a special token.
    static func text(_ bytes: [UInt8]) {
        guard let speaker else { preconditionFailure("the tokenizer of the target 'text' cannot be read") }
        let text = String(decoding: bytes, as: UTF8.self)
        let ids = speaker.encode(text, parsingSpecialTokens: false)
        precondition(ids.allSatisfy { $0 < 264 })
        let said = speaker.decode(ids, skippingSpecialTokens: false)
        // Text is put into normalization form C, once and for all.
        precondition(speaker.encode(said, parsingSpecialTokens: false) == ids)
        if text.utf8.allSatisfy({ $0 < 0x80 }) { precondition(said == text) }
        var decoder = speaker.makeStreamDecoder(skippingSpecialTokens: true)
        precondition(ids.map { decoder.push($0) }.joined() + decoder.finish() == said)
        let parsed = speaker.encode(text, parsingSpecialTokens: true)
        let marks = ["<|im_start|>", "<|im_end|>"].contains { Array(text.utf8).firstRange(of: Array($0.utf8)) != nil }
        precondition(parsed.contains { $0 >= 264 } == marks)
    }
}

/// Checksums would keep almost every change from being looked at: they are made right.
enum Checksums {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
    }

    /// Those of a PNG's chunks.
    static func png(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        var place = 8
        while place + 12 <= bytes.count {
            let length = bytes[place..<place + 4].reduce(0) { $0 << 8 | Int($1) }
            guard length <= bytes.count - place - 12 else { break }
            var value = UInt32.max
            for byte in bytes[place + 4..<place + 8 + length] {
                value = table[Int((value ^ UInt32(byte)) & 0xFF)] ^ (value >> 8)
            }
            value = ~value
            for index in 0..<4 {
                bytes[place + 8 + length + index] = UInt8(truncatingIfNeeded: value >> (24 - 8 * UInt32(index)))
            }
            place += length + 12
        }
        return bytes
    }

    /// The last eight bytes of a compact tokenizer: FNV-1a of those before.
    static func compact(_ bytes: [UInt8]) -> [UInt8] {
        guard bytes.count >= 8 else { return bytes }
        let content = bytes.dropLast(8)
        let value = content.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01B3 }
        return content + (0..<8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
}
