import Foundation
import Synchronization
import Testing

/// How a program ended.
struct Ending: Sendable {
    /// The exit status; for a program that a signal ended, minus the signal.
    let status: Int32
    let outputBytes: [UInt8]
    let errorBytes: [UInt8]

    var output: String { String(decoding: outputBytes, as: UTF8.self) }
    var errors: String { String(decoding: errorBytes, as: UTF8.self) }
    var outputLines: [String] { Self.lines(output) }
    var errorLines: [String] { Self.lines(errors) }

    private static func lines(_ text: String) -> [String] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
        if lines.last == "" { lines.removeLast() }
        return lines
    }
}

/// A program that runs; killed with its last owner, so that a test that fails leaves nothing behind.
final class ProgramProcess: Sendable {
    private let process: Process
    private let end: AsyncStream<Int32>
    private let files: TemporaryFolder

    /// Starts `path`. Its output goes into files: no full pipe can stop it.
    ///
    /// - Parameters:
    ///   - input: What it reads from standard input.
    ///   - output: A file that takes the place of standard output. The default is one of our own.
    ///   - errors: The same for standard error.
    ///   - folder: Where it runs. The default is where the tests run.
    init(
        _ path: String, _ arguments: [String], input: [UInt8] = [], output: String? = nil, errors: String? = nil,
        folder: String? = nil, environment: [String: String] = [:]
    ) throws {
        files = try TemporaryFolder()
        try files.write(input, to: "input")
        try files.write("", to: "output")
        try files.write("", to: "errors")
        process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        if let folder { process.currentDirectoryURL = URL(filePath: folder) }
        process.environment = ProcessInfo.processInfo.environment.filter { $0.key != "FASTVLM_MODEL" }
            .merging(environment) { $1 }
        let input: FileHandle = try #require(FileHandle(forReadingAtPath: files["input"]))
        let output: FileHandle = try #require(FileHandle(forWritingAtPath: output ?? files["output"]))
        let errors: FileHandle = try #require(FileHandle(forWritingAtPath: errors ?? files["errors"]))
        process.standardInput = input
        process.standardOutput = output
        process.standardError = errors
        let (end, continuation) = AsyncStream<Int32>.makeStream()
        self.end = end
        process.terminationHandler = { process in
            let isSignal = process.terminationReason == .uncaughtSignal
            continuation.yield(isSignal ? -process.terminationStatus : process.terminationStatus)
            continuation.finish()
        }
        try process.run()
        // The program has its own copies.
        for handle in [input, output, errors] { try handle.close() }
    }

    deinit {
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    }

    var isRunning: Bool { process.isRunning }

    func send(_ signal: Int32) {
        if process.isRunning { kill(process.processIdentifier, signal) }
    }

    /// What it wrote to standard error so far.
    var errorsSoFar: String { String(decoding: files.read("errors") ?? [], as: UTF8.self) }

    /// Waits for its end, at most `limit`; then it is killed, and the test fails.
    func ending(within limit: Duration = .seconds(60)) async throws -> Ending {
        let process = process
        let isLate = Atomic(false)
        let status: Int32? = await withTaskGroup(of: Int32?.self) { [end] group in
            group.addTask { await end.first { _ in true } }
            group.addTask {
                try? await Task.sleep(for: limit)
                return nil
            }
            let first = await group.next() ?? nil
            if first == nil, process.isRunning {
                isLate.store(true, ordering: .relaxed)
                kill(process.processIdentifier, SIGKILL)
            }
            group.cancelAll()
            return first
        }
        let errors = files.read("errors") ?? []
        guard let status, !isLate.load(ordering: .relaxed) else {
            Issue.record(
                "\(process.arguments ?? []) did not end within \(limit): \(String(decoding: errors, as: UTF8.self))")
            throw CancellationError()
        }
        return Ending(status: status, outputBytes: files.read("output") ?? [], errorBytes: errors)
    }
}

/// Runs `program` to its end.
func run(
    _ program: Program, _ arguments: String..., input: [UInt8] = [], output: String? = nil, folder: String? = nil,
    environment: [String: String] = [:]
) async throws -> Ending {
    try await ProgramProcess(
        program.path, arguments, input: input, output: output, folder: folder, environment: environment
    ).ending()
}

/// Waits until `condition` holds, at most `limit`; then the test fails.
func eventually(
    _ what: String, within limit: Duration = .seconds(60), sourceLocation: SourceLocation = #_sourceLocation,
    _ condition: () throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try !condition() {
        guard ContinuousClock.now < deadline else {
            Issue.record("not within \(limit): \(what)", sourceLocation: sourceLocation)
            throw CancellationError()
        }
        try await Task.sleep(for: .milliseconds(20))
    }
}
