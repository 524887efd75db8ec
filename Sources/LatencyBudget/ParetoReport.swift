internal import Plots

/// What each rung costs and what it is worth on an idle device, for people: a table and a picture.
public struct ParetoReport: Sendable {
    public struct Row: Sendable, Equatable {
        public var rung: Rung
        public var times: PhaseTimes
        public var utility: Utility
        /// Whether no other rung is at least as good in less time, for general questions.
        public var isBest: Bool
    }

    public let rows: [Row]
    public let tokens: Int

    /// - Parameter tokens: Length of the answer whose time is shown. The default is 24.
    public init(
        _ ladder: Ladder, _ model: CostModel, tokens: Int = 24, textTokens: Int = 32,
        sourcePixels: Double = CostModel.usualSourcePixels
    ) {
        self.tokens = tokens
        let times = ladder.steps.map {
            model.phases($0.rung, sourcePixels: sourcePixels, textTokens: textTokens, tokens: tokens)
        }
        rows = ladder.steps.indices.map { index in
            let utility = ladder.steps[index].utility
            let isBeaten = ladder.steps.indices.contains { other in
                let (mine, theirs) = (utility.general, ladder.steps[other].utility.general)
                let (time, their) = (times[index].total, times[other].total)
                return theirs >= mine && their <= time && (theirs > mine || their < time)
            }
            return Row(rung: ladder.steps[index].rung, times: times[index], utility: utility, isBest: !isBeaten)
        }
    }

    /// One line a rung; a star marks those that nothing beats.
    public var text: String {
        var table = TextTable(
            headings: [
                "resolution", "visual tokens", "vision ms", "first token ms", "answer ms", "general", "text", "",
            ])
        for row in rows {
            table.add([
                row.rung.description, "\(row.rung.visualTokens)", number(row.times.vision),
                number(row.times.untilFirstToken), number(row.times.total), number(row.utility.general),
                number(row.utility[.text]), row.isBest ? "*" : "",
            ])
        }
        return table.text
    }

    /// Utility over the time of an answer.
    public func svg(device: String) -> String {
        let times = rows.map { max($0.times.total, 1e-3) }
        let (low, high) = (times.min() ?? 1, times.max() ?? 10)
        let types = QuestionType.allCases.filter { type in
            type == .general || rows.contains { $0.utility[type] != $0.utility.general }
        }
        let colours = ["#0969da", "#bc4c00", "#1a7f5a", "#8250df"]
        let best = rows.filter(\.isBest).sorted { $0.times.total < $1.times.total }
        var series = zip(types, colours).flatMap { type, colour in
            [
                Chart.Series(
                    name: type.rawValue, colour: colour, mark: .line,
                    points: best.map { ($0.times.total, $0.utility[type]) }, opacity: 0.45),
                Chart.Series(
                    name: type.rawValue, colour: colour, mark: .dots(radius: 4.5),
                    points: rows.map { ($0.times.total, $0.utility[type]) },
                    labels: type == .general ? rows.map(\.rung.description) : [], isNamed: false),
            ]
        }
        if series.isEmpty { series = [] }
        return Chart(
            title: "Accuracy against time on \(device)", subtitle: "answers of \(tokens) tokens on an idle device",
            horizontal: "time of an answer, ms", range: (low / 1.4)...(high * 1.4), isLogarithmic: true,
            panels: [Chart.Panel(title: "Utility by question", unit: "utility", height: 320, series: series)]
        ).svg()
    }
}

/// Columns of text: the first to the left, the others to the right.
struct TextTable {
    private var rows: [[String]]

    init(headings: [String]) {
        rows = [headings]
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    var text: String {
        let widths = (rows.first ?? []).indices.map { column in
            rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
        }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() where column < widths.count {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                line += column == 0 ? cell + space : "  " + space + cell
            }
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }
}
