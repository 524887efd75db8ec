internal import ArgumentParser
internal import CaptionService
internal import FoundationEssentials
internal import Glibc
internal import ModelFiles
internal import ModelHub

struct ModelPullCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull", abstract: "Fetch a public checkpoint from a hub and pack it.",
        discussion: """
            Shows name, size and licence first, and fetches nothing large until the licence is accepted. A command that was \
            stopped goes on where it was. What is fetched is checked against the hub's digests, kept in \
            $XDG_CACHE_HOME/fastvlm/pull (~/.cache/fastvlm/pull) until it is packed, and removed then. Source, commit, \
            digests and licence are written into the packed file: see 'fastvlm model inspect'.

            Only https is used, but for a hub on this machine itself. HF_TOKEN is sent to the hub's own host and to no \
            other. SSL_CERT_FILE names certificates to trust in place of the system's.

            Exit status: 2 where the licence was not accepted and nobody can be asked; 3 where it was declined, or the \
            checkpoint cannot be fetched or packed.
            """)

    @Argument(help: ArgumentHelp("OWNER/NAME, for example apple/FastVLM-0.5B.", valueName: "repository"))
    var repository: String

    @Option(help: "A branch, a tag or a commit.")
    var revision = "main"

    @Option(help: ArgumentHelp("The hub.", valueName: "url"))
    var endpoint = HubAddress.usual

    @Option(help: "How to store the matrices: f32, bf16, int8, or int4 (the decoder; the encoder stays int8).")
    var precision = ModelPrecision.bf16

    @Option(
        help: ArgumentHelp(
            "Where to write; must end in .\(PackedModel.fileExtension). The default is the model's name and precision, here.",
            valueName: "file"), completion: .model)
    var out: String?

    @Flag(name: [.long, .customLong("accept-license")], help: "You have read the licence and accept it.")
    var acceptLicence = false

    @Flag(help: "Replace a file that is there.")
    var replace = false

    @Flag(help: "Print the outcome as one JSON document on one line.")
    var json = false

    func run() async throws {
        let environment = ProcessInfo.processInfo.environment
        let trust = environment["SSL_CERT_FILE"].flatMap { $0.isEmpty ? nil : $0 }
        let token = environment["HF_TOKEN"].flatMap { $0.isEmpty ? nil : $0 }
        do {
            let address = try HubAddress(endpoint)
            let name = try HubRepository(repository)
            let target = out ?? "\(name.name)-\(precision.rawValue).\(PackedModel.fileExtension)"
            try checkTarget(target)
            let cache = try FetchFolder.cache(environment)
            try await ModelHub.withHub(
                at: address, token: token, agent: "fastvlm/\(Product.version)", trust: trust
            ) { hub in
                let model = try await hub.model(name, revision: revision)
                // A model of another kind is no use, however it is licensed.
                try PreparedModel.checkConfiguration(
                    try await hub.configuration(of: model), at: "\(address)/\(name)/config.json")
                let licence = try await hub.licenceText(of: model)
                try accept(model, licence: licence, from: address)
                let folder = try FetchFolder(for: model, from: address, in: cache)
                let bar = ProgressBar("fetching")
                defer { bar.finish() }
                let files = try await hub.fetch(model, into: folder, progress: bar.show)
                bar.finish()
                try pack(model, files, licence, from: address, in: folder, to: target)
                folder.remove()
            }
        } catch let error as ModelFileError {
            throw CommandFailure(.setup, "\(error.message) Nothing was fetched.")
        } catch let error as HubError {
            let isUsage = [.addressInvalid, .repositoryInvalid, .tokenInvalid].contains(error.code)
            throw CommandFailure(isUsage ? .usage : .setup, error.message)
        }
    }

    /// Better refused now than after the last byte has come.
    private func checkTarget(_ path: String) throws(CommandFailure) {
        guard path.hasSuffix(".\(PackedModel.fileExtension)") else {
            throw CommandFailure(
                .usage, "Cannot write '\(path)': expected a file name that ends in '.\(PackedModel.fileExtension)'.")
        }
        guard replace || !FileManager.default.fileExists(atPath: path) else {
            throw CommandFailure(
                .setup, "Cannot write '\(path)': something is there already. Choose another --out, or say --replace.")
        }
        let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
        guard access(folder, W_OK) == 0 else {
            throw CommandFailure(
                .setup, "Cannot write '\(path)': its folder is not there, or this user may not write in it.")
        }
    }

    /// Shows what is there to be had and under which licence; returns if the person accepts that.
    private func accept(_ model: HubModel, licence: String?, from hub: HubAddress) throws(CommandFailure) {
        let name = model.licence ?? "not stated by the hub"
        var lines = [
            ("name", "\(model.repository)"), ("source", "\(hub)/\(model.repository)"), ("revision", model.commit),
            ("size", "\(model.byteCount.asBytes) in \(model.files.count) files"),
            ("licence", name + (model.licenceLink.map { " (\($0))" } ?? "")),
        ]
        if model.isGated { lines.append(("access", "gated: its terms have to be accepted on the hub's page too")) }
        let unchecked = model.files.filter { $0.digest == .none }.map(\.name)
        if !unchecked.isEmpty {
            lines.append(
                ("not checked", "the hub states no digest of \(unchecked.joined(separator: ", ")), only sizes"))
        }
        show(lines.map { $0.padded(to: 16) + $1 }.joined(separator: "\n"))
        show(
            licence.map { "\n\($0)" }
                ?? "\nThe repository has no licence file. Read what its page says before you accept.\n")
        guard !acceptLicence else { return show("Accepted with --accept-licence.") }
        guard
            try Console.confirms(
                "Do you accept this licence?",
                or: "Read the licence above, and say --accept-licence if you accept it. Nothing was fetched.")
        else { throw CommandFailure(.setup, "The licence was not accepted. Nothing was fetched.") }
    }

    /// Among the outcome for a person, beside it for a program.
    private func show(_ text: String) {
        json ? Console.progress(Console.printable(text) + "\n") : Console.line(Console.printable(text))
    }

    private func pack(
        _ model: HubModel, _ files: [FetchedFile], _ licence: String?, from hub: HubAddress, in folder: FetchFolder,
        to target: String
    ) throws(CommandFailure) {
        do {
            let prepared = try PreparedModel.open(path: folder.path)
            var identity = prepared.identity
            identity.name = model.repository.name
            identity.licence = model.licence
            identity.licenceText = licence
            identity.origin = ModelOrigin(
                source: "\(hub)/\(model.repository)", revision: model.commit, licenceAccepted: true,
                files: files.map {
                    ModelOrigin.File(
                        name: $0.name, byteCount: $0.byteCount, sha256: $0.sha256, checkedBy: $0.check.name)
                })
            try ModelPacking(precision: precision, isReplacing: replace, json: json).run(
                prepared, to: target, as: identity)
        } catch {
            let message = (error as? CommandFailure)?.message ?? (error as? ModelFileError)?.message ?? "\(error)"
            throw CommandFailure(.setup, "\(message) What was fetched is kept in '\(folder.path)'.")
        }
    }
}
