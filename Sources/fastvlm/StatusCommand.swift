internal import ArgumentParser
internal import CaptionService
internal import FoundationEssentials
internal import Glibc
internal import Sidecars

struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show how a running daemon is.")

    @OptionGroup var socket: SocketArguments

    @Option(
        help: ArgumentHelp("Read this status file instead of asking the daemon.", valueName: "file"),
        completion: .document)
    var file: String?

    @Flag(name: .shortAndLong, help: "Show it anew every second.")
    var follow = false

    @Flag(help: "Print one JSON document on one line.")
    var json = false

    func run() throws {
        repeat {
            let text = try read()
            if json {
                Console.line(String(decoding: text, as: UTF8.self).split(separator: "\n").joined())
            } else {
                guard let status = try? ServiceStatus(json: text) else {
                    throw CommandFailure(
                        .daemonUnreachable, "What the daemon says of itself is of another version of this program.")
                }
                // Up to the corner, and what is left of the last time goes.
                if follow, Console.isTerminal { Console.text("\u{1b}[H\u{1b}[2J") }
                Console.text(StatusScreen(status, now: .now).text)
                if follow, !Console.isTerminal { Console.line("") }
            }
            if follow { sleep(1) }
        } while follow
    }

    private func read() throws(CommandFailure) -> [UInt8] {
        guard let file else { return try socket.client.get("/v1/status") }
        do {
            return Array(try Data(contentsOf: URL(filePath: file)))
        } catch {
            throw CommandFailure(
                .daemonUnreachable,
                "Cannot read '\(file)': it is missing or not readable by this user. Is the daemon running, and is "
                    + "status.file configured?")
        }
    }
}

/// The status as a person reads it: one screen.
struct StatusScreen {
    let status: ServiceStatus
    let now: Timestamp

    init(_ status: ServiceStatus, now: Timestamp) {
        self.status = status
        self.now = now
    }

    var text: String {
        var lines: [(String, String)] = [
            (
                "daemon",
                "\(status.generator), \(status.state), for \(Self.span(now.milliseconds - status.started.milliseconds))"
            ),
            (
                "model",
                "\(status.model.name) \(status.model.precision), \(status.kernels) kernels, \(status.model.digest.prefix(23))…"
            ),
        ]
        if let models = status.models, models.count > 1 || models.contains(where: { $0.state != "loaded" }) {
            for model in models { lines.append(("", "\(model.id): \(model.state), loaded \(model.loads) times")) }
        }
        let pending = status.oldestPending.map { ", the oldest for \(Self.span(Int64($0 * 1000)))" } ?? ""
        lines.append(("queue", "\(status.queue) waiting\(pending)"))
        if status.budget.met + status.budget.missed > 0 {
            lines.append(("budget", "\(status.budget.met) in time, \(status.budget.missed) late"))
        }
        if let last = status.lastResult {
            let time = last.totalMilliseconds.map { ", \($0.rounded()) ms" } ?? ""
            lines.append(("last", "\(last.origin ?? "") \(last.file ?? ""): \(last.status)\(time), \(last.at)"))
        }
        let device = [
            status.memory.map { "\($0) MiB" }, status.temperature.map { "\($0) °C" },
            status.throttled.map { $0 ? "slowed down" : "at full speed" },
        ].compactMap { $0 }
        if !device.isEmpty { lines.append(("device", device.joined(separator: ", "))) }
        let file = status.configuration.file ?? "options"
        lines.append(("told by", "\(file), read anew \(status.configuration.reloads) times"))
        if let problem = status.configuration.problem { lines.append(("NOT USED", problem)) }
        lines.append(("degraded", status.allDegraded.isEmpty ? "nothing" : status.allDegraded.joined(separator: ", ")))
        var text = lines.map { "\($0.0.padded(to: 10))\(Console.printable($0.1))\n" }.joined()
        text += "\n" + Self.row(["folder", "mode", "done", "refused", "expired", "dropped", "waiting"], "path")
        for folder in status.folders {
            func count(_ outcome: String) -> String { "\(folder.outcomes[outcome] ?? 0)" }
            text += Self.row(
                [
                    folder.name, folder.mode, count("ok"), count("refused"), count("expired"), count("dropped"),
                    "\(folder.waiting + folder.inWork)",
                ], folder.path.isEmpty ? "(not watched any more)" : folder.path)
        }
        return text
    }

    private static func row(_ cells: [String], _ last: String) -> String {
        let widths = [16, 9, 9, 9, 9, 9, 9]
        return zip(cells, widths).map { cell, width in Console.printable(cell).padded(to: width) }.joined()
            + Console.printable(last) + "\n"
    }

    /// Milliseconds for people: "3 h 12 min".
    static func span(_ milliseconds: Int64) -> String {
        let seconds = max(0, milliseconds) / 1000
        switch seconds {
        case ..<60: return "\(Double(max(0, milliseconds) / 100) / 10) s"
        case ..<3600: return "\(seconds / 60) min \(seconds % 60) s"
        case ..<86_400: return "\(seconds / 3600) h \(seconds / 60 % 60) min"
        default: return "\(seconds / 86_400) days \(seconds / 3600 % 24) h"
        }
    }
}
