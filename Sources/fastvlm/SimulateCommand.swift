internal import ArgumentParser
internal import CaptionService
internal import FoundationEssentials
internal import LatencyBudget
internal import ModelFiles
internal import UntrustedJSON

struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate", abstract: "Show how budgets would have been kept, on recorded or generated traces.",
        discussion: """
            Replays each trace against the cost of each resolution, and prints misses, utility, changes of resolution and \
            regret beside an oracle that knows the realized times, each fixed resolution, and a table without feedback. Of an \
            answer that was cut the share that was said counts.

            A recorded trace has one JSON object a line: {"arrival_ms": 0, "budget_ms": 800, "vision_slowdown": 1.1, \
            "prefill_slowdown": 1, "generate_slowdown": 1, "tokens": 24}, and optionally source, live, question, step, \
            signals, stalls and competitors.
            """)

    @Argument(help: ArgumentHelp("Recorded traces.", valueName: "trace"), completion: .document)
    var traces: [String] = []

    @Option(
        help: ArgumentHelp(
            "A generated trace, may be given several times: \(Trace.Scenario.allCases.map(\.rawValue).joined(separator: ", ")). "
                + "The default, without a recorded trace, is all of them.", valueName: "name"))
    var scenario: [String] = []

    @Option(help: "Frames of each generated trace.")
    var frames = 2000

    @Option(help: "The same seed makes the same traces.")
    var seed: UInt64 = 1

    @Option(help: "The share of frames that may be late, 0.001 to 0.5.")
    var missTarget = 0.01

    @Option(
        name: [.customLong("model"), .customShort("m")],
        help: ArgumentHelp(
            "A model whose resolutions and utilities are used. The default is what is published of FastVLM.",
            valueName: "path"), completion: .model)
    var model: String?

    @Option(
        help: ArgumentHelp(
            "A profile that 'fastvlm calibrate' wrote. The default is a device of 50 GMAC/s with the 0.5B model.",
            valueName: "file"), completion: .document)
    var profile: String?

    @Option(
        help: ArgumentHelp(
            "Where to draw the run; with several traces, each one's name is added to the file's.", valueName: "file.svg"
        ), completion: .file(extensions: ["svg"]))
    var plot: String?

    func validate() throws {
        guard (1...1_000_000).contains(frames) else {
            throw ValidationError("--frames is \(frames), expected 1 to 1000000.")
        }
        if let unknown = scenario.first(where: { Trace.Scenario(rawValue: $0) == nil }) {
            throw ValidationError(
                "--scenario is '\(unknown)', expected one of "
                    + Trace.Scenario.allCases.map(\.rawValue).joined(separator: ", ") + ".")
        }
        guard (0.001...0.5).contains(missTarget) else {
            throw ValidationError("--miss-target is \(missTarget), expected 0.001 to 0.5.")
        }
    }

    func run() throws {
        do {
            let (ladder, costs) = try device()
            let simulation = Simulation(
                ladder: ladder, truth: costs, profile: costs,
                configuration: PlannerConfiguration(missTarget: missTarget))
            let scenarios =
                scenario.isEmpty && traces.isEmpty ? Trace.Scenario.allCases : scenario.compactMap(Trace.Scenario.init)
            let replayed =
                try traces.map { try Self.trace($0) }
                + scenarios.map {
                    try Trace.generated(
                        $0, frames: frames, seed: seed, cheapest: simulation.idleTime(at: 0),
                        dearest: simulation.idleTime(at: ladder.count - 1))
                }
            let bar = ProgressBar("simulating")
            for (index, trace) in replayed.enumerated() {
                bar.show(index, of: replayed.count)
                let report = SimulationReport(simulation, trace)
                bar.finish()
                Console.text((index > 0 ? "\n" : "") + Console.printable(report.text))
                if let plot {
                    let path =
                        replayed.count == 1
                        ? plot : plot.replacingSuffix(".svg", with: "-\(index + 1)-\(Self.plain(trace.name)).svg")
                    try CalibrateCommand.write(report.svg(), to: path)
                }
            }
        } catch let error as LatencyBudgetError {
            throw CommandFailure(.setup, error.message)
        }
    }

    /// The model's own ladder, or else the published one; what is measured, or else the nominal device.
    private func device() throws -> (Ladder, CostModel) {
        let own = try model.map { try ModelArguments.parse(["--model=\($0)"]).prepared() }
        let ladder = try own.map { try Ladder($0.identity) }
        guard let profile else { return (try ladder ?? .published(resolutions: [256, 512, 768, 1024]), .nominal) }
        let measured: DeviceProfile
        do {
            measured = try JSONDecoder().decode(
                DeviceProfile.self, fromUntrusted: try Data(contentsOf: URL(filePath: profile)))
        } catch {
            throw CommandFailure(
                .setup,
                "Cannot read the profile '\(profile)': it is missing, not readable by this user, or no profile. Run "
                    + "'fastvlm calibrate'.")
        }
        if let own, own.digest != measured.identity.modelDigest {
            throw CommandFailure(
                .setup,
                "Cannot use the profile '\(profile)': it was measured with the model \(measured.identity.modelDigest), "
                    + "expected \(own.digest). Run 'fastvlm calibrate' with this model.")
        }
        return (try ladder ?? .published(resolutions: measured.points.map(\.rung.width)), try measured.costModel())
    }

    private static func trace(_ path: String) throws -> Trace {
        let text: String
        do {
            text = try String(contentsOfFile: path, encoding: .utf8)
        } catch {
            throw CommandFailure(.setup, "Cannot read the trace '\(path)': it is missing, not readable, or not UTF-8.")
        }
        var frames: [TraceFrame] = []
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            guard line.contains(where: { !$0.isWhitespace }) else { continue }
            do {
                frames.append(try JSONDecoder().decode(TraceFrame.self, fromUntrusted: line.utf8))
            } catch {
                throw CommandFailure(
                    .setup,
                    "Cannot read the trace '\(path)': line \(index + 1) is no frame, expected for example "
                        + "{\"arrival_ms\": 0, \"budget_ms\": 800}.")
            }
        }
        return try Trace(name: path.split(separator: "/").last.map(String.init) ?? path, frames: frames)
    }

    /// `name` as a part of a file's name.
    private static func plain(_ name: String) -> String { String(name.map { $0.isLetter || $0.isNumber ? $0 : "_" }) }
}
