internal import Digests
internal import FoundationEssentials
internal import Sidecars

/// The page of a gallery: written piece by piece, so that it may be larger than memory.
///
/// Captions, names and codes are untrusted: they are escaped, and should one slip through, the page's own policy lets no
/// script run but the one below, and nothing be loaded.
struct GalleryPage {
    let title: String

    init(title: String) { self.title = title }

    func head(_ entries: GalleryEntries) -> String {
        let total = entries.all.count
        let sources = entries.sources.map { "<option>\(Self.escaped($0))</option>" }.joined()
        let choice =
            entries.sources.count > 1
            ? "<select id=\"source\" aria-label=\"Source\"><option value=\"\">all sources</option>\(sources)</select>"
            : ""
        let choices = entries.summary.map { status, count in
            "<label><input type=\"checkbox\" value=\"\(status)\" checked> \(status) <b>\(count)</b></label>"
        }.joined()
        return """
            <!doctype html>
            <html lang="en">
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data: file: 'self'; style-src 'unsafe-inline'; \
            script-src 'sha256-\(Self.scriptDigest)'">
            <title>\(Self.escaped(title))</title>
            <style>\(Self.style)</style>
            <header>
            <h1>\(Self.escaped(title))</h1>
            <p><output id="shown">\(total)</output> of \(total) pictures</p>
            <form id="filter"><label>Find in captions, answers and names <input type="search" id="words"></label>\
            \(choice)\(choices)<label><input type="checkbox" id="late"> only late ones</label></form>
            </header>
            <main id="cards">

            """
    }

    func card(_ entry: GalleryEntry, _ picture: GalleryPicture) -> String {
        let document = entry.document
        let isLate = document.budget.map { !$0.met } ?? false
        var text =
            "<article data-status=\"\(entry.status)\" data-late=\"\(isLate)\" "
            + "data-source=\"\(Self.escaped(document.source.origin ?? ""))\"><figure>"
        switch picture {
        case .shown(let source, let isChanged):
            let words = document.caption.flatMap { $0.isEmpty ? nil : $0 } ?? entry.path
            text +=
                "<img loading=\"lazy\" decoding=\"async\" alt=\"\(Self.escaped(words))\" src=\"\(Self.escaped(source))\">"
            if isChanged { text += "<figcaption>changed since it was described</figcaption>" }
        case .missing: text += "<div class=\"none\">the picture is gone</div>"
        case .unreadable(let code):
            text += "<div class=\"none\">the picture cannot be shown: \(Self.escaped(code))</div>"
        case .leftOut: text += "<div class=\"none\">left out: the page is full</div>"
        }
        text += "</figure>"
        text += "<div class=\"text\">"
        switch document.status {
        case .ok: text += document.caption.map { "<p class=\"caption\">\(Self.escaped($0))</p>" } ?? ""
        case .refused(let code, let reason):
            text += "<p class=\"bad\"><b>\(Self.escaped(code))</b> \(Self.escaped(reason))</p>"
        case .expired: text += "<p class=\"bad\"><b>expired</b> \(Self.escaped(document.finishReason ?? ""))</p>"
        }
        if !document.answers.isEmpty {
            text += "<dl>"
            for answer in document.answers {
                let share = answer.confidence.map { " <small>\(Int(($0 * 100).rounded())) %</small>" } ?? ""
                text += "<dt>\(Self.escaped(answer.question))</dt><dd>\(Self.escaped(answer.text))\(share)</dd>"
            }
            text += "</dl>"
        }
        text += "<p class=\"facts\">\(Self.escaped(facts(document).joined(separator: " · ")))</p>"
        text += "<p class=\"name\">\(Self.escaped(entry.path))</p></div></article>\n"
        return text
    }

    private func facts(_ document: SidecarDocument) -> [String] {
        var facts = [document.created.description]
        if let origin = document.source.origin { facts.append(origin) }
        if let total = document.timings?.total { facts.append("\(Int(total.value.rounded())) ms") }
        if let pixels = document.resolution?.pixels { facts.append("\(pixels) px") }
        if let budget = document.budget {
            facts.append("\(budget.met ? "in time" : "late") (\(Int(budget.milliseconds.value.rounded())) ms)")
        }
        if let model = document.model { facts.append("\(model.name) \(model.precision)") }
        return facts
    }

    let foot = "</main>\n<script>\(GalleryPage.script)</script>\n</html>\n"

    /// `path` as an address: a name may hold what means something there.
    static func link(_ path: String) -> String {
        path.utf8.map { byte in
            let isPlain =
                (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
                || [0x2d, 0x2e, 0x2f, 0x5f, 0x7e].contains(byte)
            let digits = String(byte, radix: 16, uppercase: true)
            return isPlain ? String(UnicodeScalar(byte)) : "%" + (digits.count < 2 ? "0" : "") + digits
        }.joined()
    }

    static func escaped(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            // Turns the direction of what follows, the page's own words included.
            case "\u{202a}"..."\u{202e}", "\u{2066}"..."\u{2069}": result += "\u{fffd}"
            case _ where scalar.value < 0x20 && scalar != "\n" && scalar != "\t": result += "\u{fffd}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static var scriptDigest: String {
        var hasher = SHA256()
        hasher.update(Array(script.utf8))
        return Data(hasher.finish()).base64EncodedString()
    }

    private static let script = """
        const cards=[...document.querySelectorAll('article')];
        const form=document.getElementById('filter'),words=document.getElementById('words'),late=document.getElementById('late'),source=document.getElementById('source');
        for(const card of cards)card.words=card.querySelector('.text').textContent.toLowerCase();
        function filter(){
        const find=words.value.toLowerCase().split(/\\s+/).filter(Boolean);
        const on=new Set([...form.querySelectorAll('[value]:checked')].map(box=>box.value));
        let shown=0;
        for(const card of cards){
        const fits=on.has(card.dataset.status)&&(!source||!source.value||card.dataset.source===source.value)&&(!late.checked||card.dataset.late==='true')&&find.every(word=>card.words.includes(word));
        card.hidden=!fits;shown+=fits}
        document.getElementById('shown').value=shown}
        form.addEventListener('input',filter);form.addEventListener('submit',event=>event.preventDefault());filter();
        """

    private static let style = """
        :root{color-scheme:light dark;--line:#8884;--soft:light-dark(#666,#999)}
        *{box-sizing:border-box}body{margin:0;font:16px/1.45 system-ui,sans-serif}
        header{position:sticky;top:0;z-index:1;padding:.8rem 1.2rem;background:Canvas;border-bottom:1px solid var(--line)}
        h1{display:inline;font-size:1.2rem;margin:0 .8rem 0 0;overflow-wrap:anywhere}header p{display:inline;color:var(--soft)}
        form{display:flex;flex-wrap:wrap;gap:.4rem 1rem;margin-top:.5rem;align-items:center}
        input[type=search]{flex:1 1 16rem;padding:.4rem .6rem;font:inherit;border:1px solid var(--line);border-radius:.4rem}
        main{display:grid;grid-template-columns:repeat(auto-fill,minmax(19rem,1fr));gap:1rem;padding:1.2rem;align-items:start}
        article{border:1px solid var(--line);border-radius:.6rem;overflow:hidden;display:flex;flex-direction:column}
        article[hidden]{display:none}
        figure{position:relative;margin:0;background:#8882}img{display:block;width:100%;aspect-ratio:4/3;object-fit:contain}
        figcaption{position:absolute;inset:auto .5rem .5rem auto;padding:.1rem .5rem;border-radius:.3rem;background:#a30;color:#fff;\
        font-size:.8rem}.none{aspect-ratio:4/3;display:grid;place-items:center;padding:1rem;text-align:center;color:var(--soft)}
        select{font:inherit;padding:.35rem .5rem;max-width:16rem;border:1px solid var(--line);border-radius:.4rem}
        .text{padding:.7rem .9rem;overflow-wrap:anywhere}.text p{margin:0 0 .5rem}.caption{font-size:1.02rem;max-height:12em;overflow:auto}
        .bad b{color:#c33}dl{margin:0 0 .5rem}dt{color:var(--soft);font-size:.88rem}dd{margin:0 0 .3rem;font-weight:600}
        small{font-weight:400;color:var(--soft)}.text .facts,.text .name{color:var(--soft);font-size:.8rem;margin:0}
        @media print{header{position:static}form{display:none}article{break-inside:avoid}}
        """
}
