internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import Sidecars

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Make one HTML page of a folder's pictures with their captions, answers and times.",
        discussion: """
            The page needs nothing else, not even the pictures, unless --link is given. Everything in it that came from a \
            picture, a model or a file's name is shown as text, and the page may not load anything.
            """)

    @Argument(help: ArgumentHelp("The folder with the pictures, or with their results.", valueName: "folder"))
    var folder: String

    @Option(help: ArgumentHelp("The page to write.", valueName: "file"))
    var out = "report.html"

    @Option(
        help: ArgumentHelp("Where the pictures are, if the results lie in a folder of their own.", valueName: "folder"))
    var pictures: String?

    @Flag(help: "Link to the pictures instead of taking them into the page.")
    var link = false

    @Option(help: "What the page is called.")
    var title: String?

    func run() throws {
        let entries = try GalleryEntries(folder: folder, pictures: pictures ?? folder)
        guard !entries.all.isEmpty else {
            throw CommandFailure(
                .inputsRefused, "Cannot make a page of '\(folder)': there is no result (*.fastvlm.json) in it.")
        }
        let temporary = out + ".tmp"
        let page = GalleryPage(title: title ?? folder.split(separator: "/").last.map(String.init) ?? folder)
        let file = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw Self.cannotWrite(out) }
        defer { unlink(temporary) }
        let bar = ProgressBar("writing the page")
        var isGood = Self.write(page.head(entries.summary), to: file)
        for (index, entry) in entries.all.enumerated() where isGood {
            let picture = link ? entry.relativePath(from: out).map(GalleryPage.link) : entry.dataURI
            isGood = Self.write(page.card(entry, picture: picture), to: file)
            bar.show(index + 1, of: entries.all.count)
        }
        bar.finish()
        isGood = isGood && Self.write(page.foot, to: file)
        close(file)
        guard isGood, rename(temporary, out) == 0 else { throw Self.cannotWrite(out) }
        Console.line("\(Console.printable(out)): \(entries.all.count) pictures")
        for problem in entries.problems { Console.error(problem) }
        if !entries.problems.isEmpty { throw ExitStatus.inputsRefused }
    }

    private static func cannotWrite(_ path: String) -> CommandFailure {
        let reason = strerror(errno).map { String(cString: $0) } ?? "error \(errno)"
        return CommandFailure(
            .inputsRefused, "Cannot write '\(path)': \(reason). Make room, or name another with --out.")
    }

    private static func write(_ text: String, to file: Int32) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // Unsafe: the system reads at most as many bytes as there are.
            let count = rest.withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}
