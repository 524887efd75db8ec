internal import ArgumentParser
internal import CaptionService

struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Check this machine and the daemon's installation, and say how to mend what is wrong.",
        discussion: "Exit status: 0 nothing is broken, 3 something is.")

    @OptionGroup var socket: SocketArguments

    @Option(help: ArgumentHelp("The daemon's configuration.", valueName: "file"), completion: .configuration)
    var config = "/etc/fastvlmd/fastvlmd.toml"

    @Option(
        help: ArgumentHelp(
            "Look for the system's own files beneath this folder, as in a mounted image.", valueName: "folder"),
        completion: .directory)
    var root = ""

    @Flag(help: "Leave out the model's digest, for which every byte of it is read.")
    var quick = false

    @Flag(help: "Print one JSON object on one line for each check.")
    var json = false

    func run() throws {
        var machine = MachineChecks(root: root)
        var findings = machine.findings()
        let installation = InstallationChecks(
            file: config, root: root, socket: socket.client.path, readsModel: !quick)
        findings += installation.findings()
        for finding in findings { Console.line(json ? finding.json : Console.printable(finding.text)) }
        if findings.contains(where: { $0.state == .broken }) { throw ExitStatus.setup }
    }
}
