import Plots
import Testing

@Suite struct ChartTests {
    private func chart(_ title: String, _ points: [(x: Double, y: Double)]) -> Chart {
        Chart(
            title: title, subtitle: "", horizontal: "x of \(title)", range: 0...10,
            panels: [
                Chart.Panel(
                    title: "panel", unit: "ms", height: 100,
                    series: [Chart.Series(name: "dots", colour: "#000000", mark: .dots(radius: 3), points: points)])
            ])
    }

    private func heights(_ svg: String, of text: String) -> Double? {
        svg.split(separator: "\n").first { $0.hasSuffix(">\(text)</text>") }
            .flatMap { $0.firstMatch(of: /y="([0-9.]+)"/) }.flatMap { Double($0.1) }
    }

    @Test func chartsStandBelowEachOther() throws {
        let one = chart("first", [(1, 1), (2, 4)]).svg()
        let both = Chart.svg([chart("first", [(1, 1), (2, 4)]), chart("second", [(1, 3)])])
        let first = try #require(heights(both, of: "first")), second = try #require(heights(both, of: "second"))
        let height = try #require(one.firstMatch(of: /viewBox="0 0 1000 ([0-9]+)"/).flatMap { Double($0.1) })
        #expect(second == first + height)
        #expect(both.contains("viewBox=\"0 0 1000 \(Int(2 * height))\""))
        // Three points, and one dot for each legend.
        #expect(both.split(separator: "<circle").count - 1 == 3 + 2)
        #expect(both.contains(">x of first<") && both.contains(">x of second<"))
    }

    @Test func namesAreTextAndNotMarkup() {
        let svg = chart("<script>&\"\u{1}", [(1, 1)]).svg()
        #expect(svg.contains("&lt;script&gt;&amp;&quot; "))
        #expect(!svg.contains("<script"))
    }

    @Test func numbersThatAreNoneLeaveNoTrace() {
        let svg = chart("odd", [(.nan, 1), (1, .infinity), (11, 1), (2, 2)]).svg()
        #expect(svg.split(separator: "<circle").count - 1 == 1 + 1)
        #expect(!svg.contains("nan") && !svg.contains("inf"))
    }

    @Test func numbersAreShortAndWithoutExponents() {
        #expect(number(0.0449, digits: 1) == "0.0")
        #expect(number(-0.04) == "0.0")
        #expect(number(-1.25, digits: 2) == "-1.25")
        #expect(number(1e14, digits: 0) == "100000000000000")
        #expect(number(.nan) == "-" && number(1e15) == "-")
    }
}
