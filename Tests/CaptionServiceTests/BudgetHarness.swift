import CaptionService
import FoundationEssentials
import LatencyBudget
import Logging
import Synchronization
import Testing

extension Logger {
    static var silent: Logger {
        var logger = Logger(label: "test")
        logger.logLevel = .critical
        return logger
    }
}

/// A device as fast as a test says: what it reports depends on the resolution and on what the picture says.
enum PretendedDevice {
    static let resolutions = [256, 512, 1024]
    static var ladder: Ladder { get throws { try .published(resolutions: resolutions) } }

    /// Idle ms of the encoder.
    static func vision(_ pixels: Int) -> Double { 100 * Double(pixels * pixels) / 65536 }

    /// Reports 100, 400 and 1,600 ms of encoding at once; a picture that says `slow` takes three times as long.
    static func engine(
        onRun: @escaping @Sendable (FramePlan?) -> Void = { _ in }
    ) throws -> StubEngine {
        StubEngine(ladder: try ladder) { (tasks, bytes, plan) throws(EngineError) in
            onRun(plan)
            let text = StubEngine.text(bytes)
            return report(tasks, plan, caption: text, slowdown: text.hasPrefix("slow") ? 3 : 1)
        }
    }

    static func report(_ tasks: PictureTasks, _ plan: FramePlan?, caption: String, slowdown: Double = 1)
        -> PictureReport
    {
        var report = StubEngine.report(tasks, caption: caption)
        let pixels = plan?.resolution ?? 256
        report.resolution = pixels
        report.visualTokens = pixels * pixels / 4096
        report.caption?.generatedTokens = 11
        report.timings.decode = 2 * slowdown
        report.timings.preprocess = 1 * slowdown
        report.timings.vision = vision(pixels) * slowdown
        report.timings.prefill = 20 * slowdown
        report.timings.generate = 10 * slowdown
        return report
    }
}

/// What a test learned from inside a closure.
final class Collected<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    func add(_ element: Element) { elements.withLock { $0.append(element) } }
    var all: [Element] { elements.withLock { $0 } }
}

extension DeviceProfile {
    /// A device that takes no time worth mentioning, at `resolutions`.
    static func instant(_ identity: Identity, resolutions: [Int]) -> DeviceProfile {
        DeviceProfile(
            identity: identity,
            points: resolutions.map {
                Point(
                    rung: Rung(pixels: $0), sourcePixels: 4096, textTokens: 10, decode: 1e-3, preprocess: 1e-3,
                    vision: 1e-3,
                    prefill: 1e-3, samples: 3)
            }, tokenPoints: [TokenPoint(context: 20, milliseconds: 1e-4)])
    }

    static let someIdentity = Identity(
        device: "test", modelDigest: "sha256:" + String(repeating: "a", count: 64), threads: 2, kernels: "scalar",
        version: "1")
}

extension FramePlanner.Decision {
    /// Nil for a frame that is not started.
    var plan: FramePlan? {
        if case .run(let plan) = self { plan } else { nil }
    }
}
