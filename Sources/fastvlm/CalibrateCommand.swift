internal import ArgumentParser
internal import CaptionService
internal import FastVLM
internal import FoundationEssentials
internal import LatencyBudget
internal import ModelFiles

struct CalibrateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "calibrate", abstract: "Measure what each resolution takes on this device, for budgets.",
        discussion: """
            Takes about a minute on a device that is otherwise idle. The daemon uses the profile for folders with a \
            budget_ms; without one it learns from its first pictures. A profile holds for one model on one device with one \
            number of threads.
            """)

    @OptionGroup var model: ModelArguments

    @Option(
        help: ArgumentHelp(
            "Where profiles are kept. The default is $STATE_DIRECTORY, and without it /var/lib/fastvlmd.",
            valueName: "folder"), completion: .directory)
    var profileDirectory: String?

    @Option(
        help: ArgumentHelp(
            "A JPEG or PNG such as is usually sent. The default is noise of 1920 x 1080.", valueName: "file"),
        completion: .picture)
    var picture: String?

    @Option(
        help: ArgumentHelp(
            "Where to draw accuracy against time. The default is beside the profile.", valueName: "file.svg"),
        completion: .file(extensions: ["svg"]))
    var plot: String?

    @Flag(help: "Print the profile as one JSON document on one line.")
    var json = false

    func run() throws {
        let reader = try model.reader()
        do {
            let ladder = try Ladder(reader.model.prepared.identity)
            let bytes = try picture.map { try PictureFile(path: $0).bytes } ?? Calibration.usualPicture
            let bar = ProgressBar("calibrating")
            let profile: DeviceProfile
            do {
                defer { bar.finish() }
                profile = try Calibration(reader).profile(ladder, picture: bytes) { bar.show(Int($0 * 1000), of: 1000) }
            }
            let report = ParetoReport(ladder, try profile.costModel())
            Console.text(json ? try Self.line(profile) : report.text)
            let store = ProfileStore(
                directory: profileDirectory ?? ProfileStore.usualDirectory, identity: profile.identity)
            try store.save(profile)
            let drawing = plot ?? store.path.replacingSuffix(".json", with: ".svg")
            try Self.write(report.svg(device: profile.identity.device), to: drawing)
            if !json {
                Console.line("\nProfile: \(Console.printable(store.path))\nDrawing: \(Console.printable(drawing))")
            }
        } catch let error as EngineError {
            throw CommandFailure(error.code == .picture ? .inputsRefused : .setup, error.message)
        } catch let error as LatencyBudgetError {
            throw CommandFailure(.setup, error.message)
        } catch let error as ProfileStoreError {
            throw CommandFailure(.setup, error.message)
        }
    }

    private static func line(_ profile: DeviceProfile) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(profile), as: UTF8.self) + "\n"
    }

    /// Puts a drawing in its place, whole or not at all.
    static func write(_ svg: String, to path: String) throws(CommandFailure) {
        do {
            try Data(svg.utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw CommandFailure(.setup, "Cannot write '\(path)': its folder is missing or not writable by this user.")
        }
    }
}

extension String {
    func replacingSuffix(_ suffix: String, with other: String) -> String {
        (hasSuffix(suffix) ? String(dropLast(suffix.count)) : self) + other
    }
}
