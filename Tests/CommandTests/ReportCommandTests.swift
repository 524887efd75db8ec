import Foundation
import Testing

/// `fastvlm report`: one page of what a folder holds.
@Suite struct ReportCommandTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ name: String, caption: String, status: String = "ok", more: String = "") throws {
        try folder.write(
            """
            {"schema":"fastvlm.sidecar/1","status":"\(status)","source":{"file":"x","width":640,"height":427},"caption":"\(caption)",\
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
        #expect(text.contains("data:image/jpeg;base64," + Data(try House.china.bytes()).base64EncodedString()))
        #expect(text.contains("<b>jpeg_truncated</b> Cut off.") && text.contains("no picture"))
        #expect(text.hasSuffix("</html>\n") && folder.names().filter { $0.hasSuffix(".tmp") } == [])
        // Nothing is loaded from anywhere.
        #expect(!text.contains("http://") && !text.contains("https://"))

        _ = try await run(.fastvlm, "report", folder.path, "--out", page, "--link")
        let linked = String(decoding: folder.read("report.html") ?? [], as: UTF8.self)
        #expect(linked.contains("src=\"deep/china.jpg\"") && !linked.contains("base64,/9j"))
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
