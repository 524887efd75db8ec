import CaptionService
import FastVLM
import Glibc
import Images
import ModelFiles
import Sidecars

/// Everything that reads what others wrote, as targets for libFuzzer; `$FUZZ_TARGET` names the one to run.
///
/// A refusal is what a target is for; a trap, a bad access or a use of memory beyond libFuzzer's limit is a crash.
private enum FuzzTarget: String, CaseIterable {
    case picture
    case safetensors
    case tokenizer
    case packed
    case prompt
    case configuration
    case sidecar
    case requests
    case stream
    case chat

    static let chosen: FuzzTarget = {
        let name = getenv("FUZZ_TARGET").map { String(cString: $0) } ?? ""
        guard let target = FuzzTarget(rawValue: name) else {
            print("FUZZ_TARGET names one of \(allCases.map(\.rawValue).joined(separator: ", "))")
            exit(2)
        }
        return target
    }()

    func run(_ bytes: [UInt8]) {
        switch self {
        case .picture: decode(bytes)
        case .safetensors:
            Scratch.file.hold(bytes)
            guard let file = try? SafetensorsFile(path: Scratch.file.path) else { return }
            for name in ["a", "b", "c"] { _ = try? file.tensor(name) }
        case .tokenizer:
            Scratch.folder.hold(bytes)
            guard let tokenizer = try? Tokenizer(directory: Scratch.folder.directory) else { return }
            _ = tokenizer.encode("A lamp 12.5 \u{1F600} <|im_end|>", parsingSpecialTokens: true)
        case .packed:
            // As long as the model whose header is in the corpus, so that its tensors lie within.
            Scratch.file.hold(bytes, length: max(bytes.count, 1_352_560))
            _ = try? FastVLMModel(path: Scratch.file.path)
        case .prompt: _ = try? PromptTemplate(json: bytes, path: "input")
        case .configuration:
            guard let text = String(validating: bytes, as: UTF8.self) else { return }
            _ = try? DaemonConfiguration(toml: text, file: "input")
        case .sidecar: _ = try? SidecarDocument(json: bytes)
        case .requests: SocketInput.requests(bytes)
        case .stream: SocketInput.stream(bytes)
        case .chat: SocketInput.chat(bytes)
        }
    }

    /// Within limits that keep a round short.
    private func decode(_ bytes: [UInt8]) {
        var limits = ImageLimits()
        limits.pixels = 400_000
        limits.scans = 50
        limits.scanPixels = 4_000_000
        limits.workingBytes = 8 << 20
        let bytes = bytes.first == 0x89 ? PNGChunks.withChecksums(bytes) : bytes
        let side: Int? = bytes.count.isMultiple(of: 3) ? nil : bytes.count % 300 + 1
        guard let picture = try? ImageDecoder(limits: limits).decode(bytes, covering: side) else { return }
        precondition(picture.withRGB { $0.count } == picture.width * picture.height * 3)
    }
}

/// A file in memory that a path leads to.
private final class Scratch: Sendable {
    static let file = Scratch(name: "input")
    static let folder = Scratch(name: "tokenizer.json")

    let directory: String
    let path: String
    private let descriptor: Int32

    private init(name: String) {
        directory = "/dev/shm/fuzz-\(getpid())-\(name)"
        mkdir(directory, 0o700)
        path = "\(directory)/\(name)"
        descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    }

    func hold(_ bytes: [UInt8], length: Int? = nil) {
        ftruncate(descriptor, 0)
        pwrite(descriptor, bytes, bytes.count, 0)
        if let length { ftruncate(descriptor, off_t(length)) }
    }
}

/// PNG's checksums would keep almost every change from being looked at: they are made right.
private enum PNGChunks {
    private static let table: [UInt32] = (0..<256).map { byte in
        (0..<8).reduce(UInt32(byte)) { value, _ in value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
    }

    static func withChecksums(_ bytes: [UInt8]) -> [UInt8] {
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
}

/// libFuzzer's own `main`, which the package manager's way of linking programs has no room for.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@main private enum Fuzz {
    static func main() {
        var count = CommandLine.argc
        var arguments = CommandLine.unsafeArgv
        exit(
            runDriver(&count, &arguments) { start, count in
                FuzzTarget.chosen.run(Array(UnsafeBufferPointer(start: start, count: count)))
                return 0
            })
    }
}
