import Foundation
import Testing

/// `fastvlm status` and `fastvlm follow`: what they ask a daemon, and what they make of its answers.
@Suite struct DaemonCommandTests {
    static let status = """
        {"budget":{"met":9,"missed":1},"configuration":{"file":"/etc/fastvlmd/fastvlmd.toml","problem":"line 3: no\\u001b[31m",\
        "reloads":2},"degraded":["blas_core"],"folders":[{"degraded":["watch_limit"],"in_work":1,"mode":"live","name":"gate",\
        "outcomes":{"dropped":4,"ok":93,"refused":2},"overflows":0,"path":"/srv/gate","polls":0,"received":102,"scans":3,\
        "settling":0,"waiting":2,"watches":1}],"generator":"fastvlmd 0.1.0","kernels":"avx2","last_result":\
        {"at":"2026-11-24T10:00:00.000Z","file":"a.jpg","origin":"watch:gate","status":"ok","total_ms":640.2},"model":\
        {"digest":"sha256:0123456789abcdef0123","name":"FastVLM-0.5B","precision":"int8"},"oldest_pending_s":3.1,"queue":2,\
        "rss_mb":512,"schema":"fastvlm.status/1","started":"2026-11-24T09:00:00.000Z","state":"watching","temperature_c":61.5,\
        "throttled":false,"a_key_of_later":1}
        """

    private static func document(_ name: String, _ caption: String) -> String {
        """
        {"schema":"fastvlm.sidecar/1","status":"ok","source":{"file":"\(name)","origin":"watch:gate"},"caption":"\(caption)",\
        "answers":[{"id":"lamp","question":"On?","type":"text","answer":"Yes."}],"timings":{"total_ms":640.2},\
        "resolution":{"pixels":512,"visual_tokens":64,"reason":"budget"},"created":"2026-11-24T10:00:00.000Z",\
        "generator":"fastvlmd 0.1.0"}
        """
    }

    @Test func statusShowsOneScreen() async throws {
        let daemon = try StubDaemonSocket(["/v1/status": StubDaemonSocket.answer(Self.status)])
        let ending = try await run(.fastvlm, "status", "--socket", daemon.path)
        #expect(ending.status == 0 && ending.errors == "")
        for part in [
            "fastvlmd 0.1.0, watching", "FastVLM-0.5B int8, avx2 kernels", "2 waiting, the oldest for 3.1 s",
            "9 in time, 1 late",
            "watch:gate a.jpg: ok, 640.0 ms", "512 MiB, 61.5 °C, at full speed", "NOT USED  line 3: no",
            "blas_core, watch_limit",
            "gate            live     93       2        0        4        3        /srv/gate",
        ] { #expect(ending.output.contains(part), "\(part) in \(ending.output)") }
        // What the daemon passes on is shown, never obeyed.
        #expect(!ending.outputBytes.contains(0x1b))
        #expect(ending.outputLines.count <= 24)
        let head = try #require(daemon.requests.first)
        #expect(head.hasPrefix("GET /v1/status HTTP/1.1\r\n") && head.lowercased().contains("host: localhost\r\n"))

        let json = try await run(.fastvlm, "status", "--json", environment: ["FASTVLM_SOCKET": daemon.path])
        #expect(json.outputLines == [Self.status])
    }

    @Test func statusReadsAFileToo() async throws {
        let folder = try TemporaryFolder()
        try folder.write(Self.status + "\n", to: "status.json")
        let ending = try await run(.fastvlm, "status", "--file", folder["status.json"])
        #expect(ending.status == 0 && ending.output.contains("FastVLM-0.5B"))
        let missing = try await run(.fastvlm, "status", "--file", folder["none.json"])
        #expect(missing.status == 4 && missing.errors.contains("none.json"))
    }

    @Test func followShowsResultsAsTheyCome() async throws {
        // Lines do not end where pieces do.
        let (first, second) = (Self.document("a.jpg", "A van."), Self.document("b.jpg", "Two\\nlines\\u001b[2J"))
        let stream = first + "\n\n" + second + "\n"
        // The second piece ends one line and begins the next.
        let cuts = [0, 100, first.count + 40, stream.count].map { stream.index(stream.startIndex, offsetBy: $0) }
        let pieces = zip(cuts, cuts.dropFirst()).map { String(stream[$0..<$1]) }
        let daemon = try StubDaemonSocket([
            "/v1/results": StubDaemonSocket.chunks(pieces),
            "/v1/results?source=watch%3Aga%20te": StubDaemonSocket.chunks([first + "\n", second + "\n"]),
        ])
        let ending = try await run(.fastvlm, "follow", "--socket", daemon.path)
        #expect(ending.status == 0 && ending.errors == "")
        #expect(
            ending.outputLines == [
                "2026-11-24T10:00:00.000Z  watch:gate  a.jpg  640 ms  512 px  A van.  [lamp: Yes.]",
                #"2026-11-24T10:00:00.000Z  watch:gate  b.jpg  640 ms  512 px  Two lines\u{1B}[2J  [lamp: Yes.]"#,
            ])
        let json = try await run(
            .fastvlm, "follow", "--json", "--count", "1", "--source", "watch:ga te", "--socket", daemon.path)
        #expect(json.status == 0 && json.outputLines == [first])
    }

    @Test func aDaemonThatIsNotThereIsSaidSo() async throws {
        let folder = try TemporaryFolder()
        for command in ["status", "follow"] {
            let ending = try await run(.fastvlm, command, "--socket", folder["none.sock"])
            #expect(ending.status == 4 && ending.output == "")
            #expect(ending.errors.contains("none.sock") && ending.errors.contains("no such socket"), "\(ending.errors)")
        }
    }

    @Test func anAnswerThatIsNoneIsSaidSo() async throws {
        let problem = #"{"title":"Too many","code":"too_many_connections"}"#
        let daemon = try StubDaemonSocket([
            "/v1/status": ["HTTP/1.1 429 Too Many Requests\r\nContent-Length: \(problem.utf8.count)\r\n\r\n", problem],
            "/v1/results": ["HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "{\"half"],
        ])
        let refused = try await run(.fastvlm, "status", "--socket", daemon.path)
        #expect(
            refused.status == 4 && refused.errors.contains("429") && refused.errors.contains("too_many_connections"))
        let cut = try await run(.fastvlm, "follow", "--socket", daemon.path)
        #expect(cut.status == 4 && cut.errors.contains("daemon"), "\(cut.errors)")
        let other = try StubDaemonSocket(["/v1/status": StubDaemonSocket.answer("[]")])
        #expect(try await run(.fastvlm, "status", "--socket", other.path).status == 4)
    }
}
