/// Shows replies as they are said.
struct ReplyPrinter {
    /// Whether each reply is headed by its picture's name.
    let namesPictures: Bool
    /// Heads each reply, if there is more than one question.
    let questions: [String]

    /// Shows the next piece of reply `reply` about the picture at `path`; `isFirst` if nothing was shown of it yet.
    func show(_ text: String, reply: Int, path: String, isFirst: Bool) {
        guard isFirst else { return Console.text(Console.printable(text)) }
        // Models begin a reply with a blank that belongs to no word.
        let start = text.drop { $0.isWhitespace }
        Console.text(heading(reply: reply, path: path) + Console.printable(String(start)))
    }

    /// Shows a whole reply.
    func showWhole(_ text: String, reply: Int, path: String) {
        Console.line(heading(reply: reply, path: path) + Console.printable(text))
    }

    private func heading(reply: Int, path: String) -> String {
        let picture = namesPictures ? "\(Console.printable(path)): " : ""
        let question = questions.indices.contains(reply) ? "\(Console.printable(questions[reply]))\n" : ""
        return picture + question
    }
}
