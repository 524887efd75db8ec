internal import ArgumentParser
internal import FoundationEssentials
internal import Glibc
internal import Sidecars

struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Make one HTML page of a folder's pictures with their captions, answers and times.",
        discussion: """
            The page has small pictures in it and needs nothing else, unless --link is given. Everything in it that came from \
            a picture, a model or a file's name is shown as text, and the page may not load anything. A picture that is gone, \
            cannot be read, or is no longer the one that its result is about, is marked.
            """)

    @Argument(
        help: ArgumentHelp("The folder with the pictures, or with their results.", valueName: "folder"),
        completion: .directory)
    var folder: String

    @Option(help: ArgumentHelp("The page to write.", valueName: "file"), completion: .file(extensions: ["html"]))
    var out = "report.html"

    @Option(
        help: ArgumentHelp("Where the pictures are, if the results lie in a folder of their own.", valueName: "folder"),
        completion: .directory)
    var pictures: String?

    @Flag(help: "Link to the pictures instead of taking small ones into the page.")
    var link = false

    @Option(
        help: ArgumentHelp(
            "Most megabytes of pictures in the page, the newest first; about 60 pictures take one.", valueName: "number"
        ))
    var maxMb = 64

    @Option(help: "What the page is called.")
    var title: String?

    func validate() throws {
        guard (0...10_000).contains(maxMb) else {
            throw ValidationError("--max-mb is \(maxMb), expected 0 to 10000.")
        }
    }

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
        var isGood = Self.write(page.head(entries), to: file)
        var room = maxMb * 1_000_000
        var leftOut = 0
        for (index, entry) in entries.all.enumerated() where isGood {
            let picture =
                link ? GalleryPicture.link(to: entry, from: out) : GalleryPicture.thumbnail(of: entry, room: room)
            switch picture {
            case .shown(let source, _) where !link: room -= source.utf8.count
            case .leftOut:
                leftOut += 1
                // No smaller one is looked for among the older ones.
                room = 0
            default: break
            }
            isGood = Self.write(page.card(entry, picture), to: file)
            bar.show(index + 1, of: entries.all.count)
        }
        bar.finish()
        isGood = isGood && Self.write(page.foot, to: file)
        close(file)
        guard isGood, rename(temporary, out) == 0 else { throw Self.cannotWrite(out) }
        Console.line("\(Console.printable(out)): \(entries.all.count) pictures")
        if leftOut > 0 {
            Console.error(
                "\(leftOut) of them without a picture: the page has \(maxMb) MB of pictures, which is all it may. Allow more "
                    + "with --max-mb, or link to them with --link.")
        }
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
