import Foundation
import Testing

/// `fastvlm report`: one page of what a folder holds.
@Suite struct ReportCommandTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(
        _ name: String, caption: String, status: String = "ok", source: String = "", more: String = ""
    ) throws {
        try folder.write(
            """
            {"schema":"fastvlm.sidecar/1","status":"\(status)","source":{"file":"x","width":640,"height":427\(source)},"caption":"\(caption)",\
            "created":"2026-11-24T10:00:00.000Z","generator":"fastvlmd 0.1.0"\(more)}
            """, to: name + ".fastvlm.json")
    }

    @Test func thePageHoldsPicturesAndWords() async throws {
        try folder.makeFolder("deep")
        try folder.write(House.china.bytes(), to: "deep/china.jpg")
        try write("deep/china.jpg", caption: "A palace & its roofs")
        try write("gone.jpg", caption: "", status: "refused", more: #","code":"jpeg_truncated","reason":"Cut off.""#)
        let page = folder["report.html"]
        let ending = try await run(.fastvlm, "report", folder.path, "--out", page, "--title", "The gate")
        #expect(ending.status == 0 && ending.errors == "", "\(ending.errors)")
        let text = String(decoding: folder.read("report.html") ?? [], as: UTF8.self)
        #expect(text.contains("<title>The gate</title>") && text.contains("A palace &amp; its roofs"))
        #expect(try sizes(in: text) == [[320, 214]])
        #expect(text.contains("alt=\"A palace &amp; its roofs\""))
        #expect(text.contains("<b>jpeg_truncated</b> Cut off.") && text.contains("the picture is gone"))
        #expect(text.hasSuffix("</html>\n") && folder.names().filter { $0.hasSuffix(".tmp") } == [])
        // Nothing is loaded from anywhere.
        #expect(!text.contains("http://") && !text.contains("https://"))

        _ = try await run(.fastvlm, "report", folder.path, "--out", page, "--link")
        let linked = String(decoding: folder.read("report.html") ?? [], as: UTF8.self)
        #expect(linked.contains("src=\"deep/china.jpg\"") && !linked.contains("base64,/9j"))
    }

    /// Width and height of each JPEG in `page`, by its frame header.
    private func sizes(in page: String) throws -> [[Int]] {
        try page.matches(of: /src="data:image\/jpeg;base64,([^"]*)"/).map { match in
            let bytes = Array(try #require(Data(base64Encoded: String(match.1))))
            var place = 2
            while place + 8 < bytes.count, bytes[place] == 0xff, !(0xc0...0xc2).contains(bytes[place + 1]) {
                place += 2 + Int(bytes[place + 2]) << 8 + Int(bytes[place + 3])
            }
            try #require(place + 8 < bytes.count)
            return [7, 5].map { Int(bytes[place + $0]) << 8 + Int(bytes[place + $0 + 1]) }
        }
    }

    @Test func aPictureIsShownAsTheModelSawIt() async throws {
        // Stored 200 x 133, with a quarter turn in its EXIF data.
        let rotated = try #require(House.pictures.first { $0.name == "rotated.jpg" })
        try folder.write(rotated.bytes(), to: "a.jpg")
        try write("a.jpg", caption: "a")
        #expect(try await run(.fastvlm, "report", folder.path, "--out", folder["r.html"]).status == 0)
        #expect(try sizes(in: String(decoding: folder.read("r.html") ?? [], as: UTF8.self)) == [[133, 200]])
    }

    @Test func whatIsNoLongerThePictureIsMarked() async throws {
        let digest = try SHA256Sum.of(House.china)
        for (name, sum) in [("same.jpg", digest), ("other.jpg", String(repeating: "0", count: 64))] {
            try folder.write(House.china.bytes(), to: name)
            try write(name, caption: name, source: ",\"sha256\":\"\(sum)\"")
        }
        try folder.write("no picture", to: "text.jpg")
        try write("text.jpg", caption: "")
        #expect(try await run(.fastvlm, "report", folder.path, "--out", folder["r.html"]).status == 0)
        let page = String(decoding: folder.read("r.html") ?? [], as: UTF8.self)
        let cards = page.components(separatedBy: "<article").dropFirst()
        #expect(cards.count == 3)
        for card in cards {
            #expect(card.contains("changed since it was described") == card.contains(">other.jpg<"))
            #expect(card.contains("cannot be shown: not_an_image") == card.contains(">text.jpg<"))
        }
    }

    @Test func aPageHoldsNoMoreThanItMay() async throws {
        for index in 0..<3 {
            try folder.write(House.china.bytes(), to: "\(index).jpg")
            try write("\(index).jpg", caption: "a", source: ",\"origin\":\"watch:<\(index % 2)>\"")
        }
        let full = try await run(.fastvlm, "report", folder.path, "--out", folder["r.html"], "--max-mb", "0")
        #expect(
            full.status == 0 && full.errors.contains("3 of them without a picture") && full.errors.contains("--max-mb"))
        let page = String(decoding: folder.read("r.html") ?? [], as: UTF8.self)
        #expect(page.components(separatedBy: "left out: the page is full").count == 4)
        // Several sources can be told apart.
        #expect(page.contains("<option>watch:&lt;0&gt;</option><option>watch:&lt;1&gt;</option>"))
        #expect(page.components(separatedBy: "data-source=\"watch:&lt;0&gt;\"").count == 3)
        (try await run(.fastvlm, "report", folder.path, "--max-mb", "-1")).expectWrongUsage("--max-mb")
    }

    @Test func whatComesFromOutsideIsText() async throws {
        let attack = #"</p><script>alert(1)</script>\" onerror=\"x '"#
        let name = "\"><img src=x onerror=alert(2)>.jpg"
        try folder.write(House.china.bytes(), to: name)
        try write(
            name, caption: attack,
            more: #","answers":[{"id":"<i>","question":"<b>q</b>","type":"text","answer":"\u202e<u>a</u>"}]"#)
        let ending = try await run(
            .fastvlm, "report", folder.path, "--out", folder["r.html"], "--title", "</title><script>")
        #expect(ending.status == 0)
        let text = String(decoding: folder.read("r.html") ?? [], as: UTF8.self)
        // The page's own script is the only one, and no tag but the page's own is there.
        #expect(text.components(separatedBy: "<script").count == 2)
        for tag in ["<b>q", "<u>", "<i>", "<img src=x", "</title><script"] { #expect(!text.contains(tag), "\(tag)") }
        #expect(text.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onerror=&quot;x &#39;"))
        #expect(!text.contains("\u{202e}"))
        let linked = try await run(.fastvlm, "report", folder.path, "--link", "--out", folder["r.html"])
        #expect(linked.status == 0)
        #expect(String(decoding: folder.read("r.html") ?? [], as: UTF8.self).contains("src=\"%22%3E%3Cimg%20src%3Dx"))
    }

    @Test func whatCannotBeReadIsSaid() async throws {
        var ending = try await run(.fastvlm, "report", folder.path)
        #expect(ending.status == 1 && ending.errors.contains("no result"))
        ending = try await run(.fastvlm, "report", folder["none"])
        #expect(ending.status == 1 && ending.errors.contains("no folder"))
        try write("a.jpg", caption: "a")
        try folder.write("no JSON", to: "b.jpg.fastvlm.json")
        ending = try await run(.fastvlm, "report", folder.path, "--out", folder["r.html"])
        #expect(ending.status == 1 && ending.errors.contains("b.jpg.fastvlm.json"))
        #expect(ending.output.contains("1 pictures"))
    }
}
