internal import Glibc

/// A picture of numbers: panels above each other on one horizontal axis, written as SVG.
public struct Chart {
    public enum Mark {
        case line
        /// A line that stays until its next point.
        case steps
        case dots(radius: Double)
    }

    public struct Series {
        public var name: String
        public var colour: String
        public var mark: Mark
        public var points: [(x: Double, y: Double)]
        /// A text beside each point, if there are any.
        public var labels: [String]
        /// Whether it stands in the legend.
        public var isNamed: Bool
        public var opacity: Double

        public init(
            name: String, colour: String, mark: Mark, points: [(x: Double, y: Double)], labels: [String] = [],
            isNamed: Bool = true, opacity: Double = 1
        ) {
            self.name = name
            self.colour = colour
            self.mark = mark
            self.points = points
            self.labels = labels
            self.isNamed = isNamed
            self.opacity = opacity
        }
    }

    public struct Panel {
        public var title: String
        public var unit: String
        public var height: Double
        public var series: [Series]
        /// Rows with names instead of numbers, from the bottom: 0, 1, 2, …
        public var rows: [String]
        /// The lowest and highest value; found from the series where `nil`.
        public var range: ClosedRange<Double>?

        public init(
            title: String, unit: String, height: Double, series: [Series], rows: [String] = [],
            range: ClosedRange<Double>? = nil
        ) {
            self.title = title
            self.unit = unit
            self.height = height
            self.series = series
            self.rows = rows
            self.range = range
        }
    }

    public var title: String
    public var subtitle: String
    public var horizontal: String
    public var range: ClosedRange<Double>
    /// Whether the horizontal axis is logarithmic; its range is then above 0.
    public var isLogarithmic: Bool
    /// Stretches that are shaded in every panel.
    public var shaded: [ClosedRange<Double>]
    public var shadedName: String
    public var panels: [Panel]

    public init(
        title: String, subtitle: String, horizontal: String, range: ClosedRange<Double>, isLogarithmic: Bool = false,
        shaded: [ClosedRange<Double>] = [], shadedName: String = "", panels: [Panel]
    ) {
        self.title = title
        self.subtitle = subtitle
        self.horizontal = horizontal
        self.range = range
        self.isLogarithmic = isLogarithmic
        self.shaded = shaded
        self.shadedName = shadedName
        self.panels = panels
    }

    private static let left = 78.0
    private static let right = 24.0
    private static let width = 1000.0
    private static let gap = 62.0
    private static let top = 78.0

    /// The whole document.
    public func svg() -> String { Self.svg([self]) }

    /// One document of `charts` above each other, each with a horizontal axis of its own.
    public static func svg(_ charts: [Chart]) -> String {
        var svg = SVGWriter(width: width, height: charts.reduce(0) { $0 + $1.height })
        var start = 0.0
        for chart in charts {
            chart.draw(from: start, into: &svg)
            start += chart.height
        }
        return svg.finish()
    }

    private var height: Double { Self.top + panels.reduce(0) { $0 + $1.height + Self.gap } + 8 }

    private func draw(from start: Double, into svg: inout SVGWriter) {
        svg.text(title, x: Self.left, y: start + 28, size: 18, weight: "600")
        svg.text(subtitle, x: Self.left, y: start + 48, size: 12, colour: "#57606a")
        var top = start + Self.top
        for (index, panel) in panels.enumerated() {
            draw(panel, top: top, isLast: index == panels.count - 1, into: &svg)
            top += panel.height + Self.gap
        }
    }

    private func place(_ x: Double) -> Double {
        let span = Self.width - Self.left - Self.right
        let (low, high) = (range.lowerBound, range.upperBound)
        let share =
            isLogarithmic && low > 0 && x > 0 && high > low
            ? log(x / low) / log(high / low) : (x - low) / max(high - low, 1e-12)
        return Self.left + span * (share.isFinite ? share : 0).bounded(to: -0.01...1.01)
    }

    private func draw(_ panel: Panel, top: Double, isLast: Bool, into svg: inout SVGWriter) {
        let bottom = top + panel.height
        let right = Self.width - Self.right
        let values = panel.range ?? Self.range(of: panel)
        func vertical(_ y: Double) -> Double {
            let share = (y - values.lowerBound) / max(values.upperBound - values.lowerBound, 1e-12)
            return bottom - panel.height * (share.isFinite ? share : 0).bounded(to: -0.02...1.02)
        }
        for stretch in shaded {
            svg.rectangle(
                x: place(stretch.lowerBound), y: top, width: place(stretch.upperBound) - place(stretch.lowerBound),
                height: panel.height, fill: "#fff3d6")
        }
        // The grid, then the numbers on it.
        if panel.rows.isEmpty {
            for tick in Ticks.even(values, about: max(3, Int(panel.height / 40))) {
                svg.line(x1: Self.left, y1: vertical(tick), x2: right, y2: vertical(tick), colour: "#e4e8ec")
                svg.text(
                    number(tick, digits: Ticks.digits(of: values)), x: Self.left - 8, y: vertical(tick) + 4, size: 11,
                    colour: "#57606a", anchor: "end")
            }
        } else {
            for (row, name) in panel.rows.enumerated() {
                let y = vertical(Double(row))
                svg.line(x1: Self.left, y1: y, x2: right, y2: y, colour: "#e4e8ec")
                svg.text(name, x: Self.left - 8, y: y + 4, size: 11, colour: "#57606a", anchor: "end")
            }
        }
        let ticks = isLogarithmic ? Ticks.logarithmic(range) : Ticks.even(range, about: 9)
        for tick in ticks {
            svg.line(x1: place(tick), y1: bottom, x2: place(tick), y2: bottom + 5, colour: "#8c959f")
            svg.text(
                number(tick, digits: isLogarithmic ? 0 : Ticks.digits(of: range)), x: place(tick), y: bottom + 18,
                size: 11, colour: "#57606a", anchor: "middle")
        }
        svg.line(x1: Self.left, y1: bottom, x2: right, y2: bottom, colour: "#8c959f")
        svg.line(x1: Self.left, y1: top, x2: Self.left, y2: bottom, colour: "#8c959f")
        if isLast {
            svg.text(
                horizontal, x: (Self.left + right) / 2, y: bottom + 38, size: 12, colour: "#24292f", anchor: "middle")
        }
        svg.text(panel.unit, x: 18, y: (top + bottom) / 2, size: 12, colour: "#24292f", anchor: "middle", turned: true)
        legend(panel, top: top, into: &svg)
        for series in panel.series {
            let placed = series.points.filter { $0.x.isFinite && $0.y.isFinite && range.contains($0.x) }
                .map { (place($0.x), vertical($0.y)) }
            switch series.mark {
            case .line: svg.path(placed, colour: series.colour, isStepped: false, opacity: series.opacity)
            case .steps: svg.path(placed, colour: series.colour, isStepped: true, opacity: series.opacity)
            case .dots(let radius):
                svg.dots(placed, radius: radius, colour: series.colour, opacity: series.opacity)
            }
            for (label, point) in zip(series.labels, placed) {
                svg.text(label, x: point.0 + 8, y: point.1 + 15, size: 11, colour: series.colour)
            }
        }
    }

    /// The panel's title and, from the right, its series.
    private func legend(_ panel: Panel, top: Double, into svg: inout SVGWriter) {
        svg.text(panel.title, x: Self.left, y: top - 8, size: 13, weight: "600")
        var x = Self.width - Self.right
        var entries = panel.series.filter(\.isNamed).map { ($0.name, $0.colour, $0.mark) }
        if !shaded.isEmpty, !shadedName.isEmpty, panel.title == panels.first?.title {
            entries.append((shadedName, "#f2cf7a", .dots(radius: 5)))
        }
        for (name, colour, mark) in entries.reversed() {
            x -= 6.3 * Double(name.count)
            svg.text(name, x: x, y: top - 8, size: 11, colour: "#24292f")
            x -= 8
            switch mark {
            case .dots: svg.dots([(x - 4, top - 12)], radius: 4, colour: colour, opacity: 1)
            case .line, .steps: svg.line(x1: x - 14, y1: top - 12, x2: x, y2: top - 12, colour: colour, width: 2.5)
            }
            x -= 28
        }
    }

    private static func range(of panel: Panel) -> ClosedRange<Double> {
        if !panel.rows.isEmpty { return -0.5...Double(panel.rows.count) - 0.5 }
        let values = panel.series.flatMap { $0.points.map(\.y) }.filter(\.isFinite)
        guard let low = values.min(), let high = values.max() else { return 0...1 }
        let margin = max((high - low) * 0.08, abs(high) * 0.01, 1e-9)
        return (low >= 0 && low < (high - low) ? 0 : low - margin)...(high + margin)
    }
}

/// Round numbers on an axis.
enum Ticks {
    static func even(_ range: ClosedRange<Double>, about count: Int) -> [Double] {
        let step = step(range, about: count)
        guard step > 0 else { return [range.lowerBound] }
        var ticks: [Double] = []
        var tick = (range.lowerBound / step).rounded(.up) * step
        while tick <= range.upperBound + step * 1e-9, ticks.count < 40 {
            ticks.append(tick)
            tick += step
        }
        return ticks
    }

    /// Powers of ten, twice and five times them.
    static func logarithmic(_ range: ClosedRange<Double>) -> [Double] {
        guard range.lowerBound > 0, range.upperBound < 1e12 else { return [] }
        return (-3...12).flatMap { power in [1.0, 2, 5].map { $0 * pow(10, Double(power)) } }.filter(range.contains)
    }

    /// Decimals that tell the ticks apart.
    static func digits(of range: ClosedRange<Double>) -> Int {
        let step = step(range, about: 6)
        return step >= 1 || step <= 0 ? 0 : step >= 0.1 ? 1 : 2
    }

    private static func step(_ range: ClosedRange<Double>, about count: Int) -> Double {
        let span = range.upperBound - range.lowerBound
        guard span > 0, span.isFinite else { return 0 }
        let rough = span / Double(max(1, count))
        let power = pow(10, log10(rough).rounded(.down))
        for factor in [1.0, 2, 5, 10] where rough <= factor * power * 1.0001 { return factor * power }
        return 10 * power
    }
}
