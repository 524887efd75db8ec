import CaptionService
import Glibc
import Images
import ModelFiles
import Sidecars

/// Everything that reads what others wrote, as targets for libFuzzer; `$FUZZ_TARGET` names the one to run.
///
/// A refusal is what a target is for. A crash is a trap, a bad access, a result that contradicts itself, more memory held at
/// once than the input allows, and more than `slowest` of the processor's time.
private enum FuzzTarget: String, CaseIterable {
    case picture
    case safetensors
    case tokenizer
    case text
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

    /// Runs with one input, within what it may hold and how long it may take.
    func test(_ bytes: [UInt8]) {
        let start = Self.processorTime()
        // TOMLKit frees nothing that it has read: some kilobytes each time that a daemon reads its configuration.
        HeldMemory.atMost(heldLimit(bytes.count), mayLeak: self == .configuration) { run(bytes) }
        let seconds = Self.processorTime() - start
        guard seconds < Self.slowest else { fatalError("\(seconds) s for \(bytes.count) bytes") }
    }

    private func run(_ bytes: [UInt8]) {
        switch self {
        case .picture: decode(bytes)
        case .safetensors: ModelInput.safetensors(bytes)
        case .tokenizer: ModelInput.tokenizer(bytes)
        case .text: ModelInput.text(bytes)
        case .packed: ModelInput.packed(bytes)
        case .prompt: _ = try? PromptTemplate(json: bytes, path: "input")
        case .configuration: configure(bytes)
        case .sidecar: record(bytes)
        case .requests: SocketInput.requests(bytes)
        case .stream: SocketInput.stream(bytes)
        case .chat: SocketInput.chat(bytes)
        }
    }

    /// Bytes that may be held at once for an input of `count` bytes.
    private func heldLimit(_ count: Int) -> Int {
        switch self {
        // Its own limits, and the pixels twice.
        case .picture: (8 << 20) + 2 * 3 * 400_000 + 8 * count
        // Ids up to 2^20 may be named: places and lengths of tokens, and four tables of the merges.
        case .tokenizer: (32 << 20) + 200 * count
        // The data, up to 1 MiB of them, as floats, and a tokenizer.
        case .packed: (5 << 20) + (32 << 20) + 200 * count
        default: (1 << 20) + 200 * count
        }
    }

    /// Seconds of the processor's time, with the sanitizer's slowness.
    private static let slowest = 2.0

    /// Of this thread: what else the machine does makes no input slow.
    private static func processorTime() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Within limits that keep a round short.
    private func decode(_ bytes: [UInt8]) {
        var limits = ImageLimits()
        limits.pixels = 400_000
        limits.scans = 50
        limits.scanPixels = 4_000_000
        limits.workingBytes = 8 << 20
        let bytes = bytes.first == 0x89 ? Checksums.png(bytes) : bytes
        let side: Int? = bytes.count.isMultiple(of: 3) ? nil : bytes.count % 300 + 1
        guard let picture = try? ImageDecoder(limits: limits).decode(bytes, covering: side) else { return }
        precondition(picture.withRGB { $0.count } == picture.width * picture.height * 3)
        // Not all: it would take most of the time.
        guard bytes.count.isMultiple(of: 4) else { return }
        let resolution = bytes.count % 61 + 1
        guard let pixels = try? picture.modelPixels(resolution: resolution, fit: side == nil ? .crop : .pad) else {
            return
        }
        precondition(pixels.count == resolution * resolution * 3 && pixels.allSatisfy { (0...1).contains($0) })
    }

    /// What is accepted is written so that it reads as the same.
    private func configure(_ bytes: [UInt8]) {
        guard let text = String(validating: bytes, as: UTF8.self),
            let configuration = try? DaemonConfiguration(toml: text, file: "input")
        else { return }
        precondition((try? DaemonConfiguration(toml: configuration.toml, file: "written")) == configuration)
    }

    private func record(_ bytes: [UInt8]) {
        guard let document = try? SidecarDocument(json: bytes), let written = try? document.json() else { return }
        precondition((try? SidecarDocument(json: written).json()) == written)
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
        HeldMemory.watch()
        exit(
            runDriver(&count, &arguments) { start, count in
                FuzzTarget.chosen.test(Array(UnsafeBufferPointer(start: start, count: count)))
                return 0
            })
    }
}
