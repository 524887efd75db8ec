import Foundation
import Sidecars
import Testing

@Suite struct SidecarDocumentTests {
    @Test func theWholeDocumentIsWrittenInTheContractsOrder() throws {
        let text = """
            {
              "schema": "fastvlm.sidecar/1",
              "status": "ok",
              "source": {
                "file": "gate-0412.jpg",
                "sha256": "\(String(repeating: "ab", count: 32))",
                "bytes": 183204,
                "width": 1920,
                "height": 1080,
                "modified": "2026-11-23T10:00:00.123Z",
                "origin": "watch:gate"
              },
              "caption": "A \\"red\\" gate.\\nClosed.",
              "answers": [
                {
                  "id": "lamp",
                  "question": "Is the red lamp on?",
                  "type": "boolean",
                  "answer": true,
                  "confidence": 0.97
                },
                {
                  "id": "cars",
                  "question": "How many cars?",
                  "type": "number",
                  "answer": 3
                },
                {
                  "id": "colour",
                  "question": "Which colour?",
                  "type": "string",
                  "answer": "rouge ✓",
                  "confidence": 0.3333
                }
              ],
              "model": {
                "name": "FastVLM-0.5B",
                "digest": "sha256:\(String(repeating: "cd", count: 32))",
                "precision": "int8"
              },
              "resolution": {
                "pixels": 512,
                "visual_tokens": 80,
                "tiles": 4,
                "reason": "budget"
              },
              "budget": {
                "ms": 800,
                "predicted_ms": 640,
                "met": true
              },
              "timings": {
                "queued_ms": 3.1,
                "decode_ms": 6,
                "preprocess_ms": 4.2,
                "vision_ms": 310.5,
                "prefill_ms": 120.3,
                "ttft_ms": 441,
                "generate_ms": 190,
                "total_ms": 640.2,
                "prompt_tokens": 94,
                "generated_tokens": 21
              },
              "health": {
                "rss_mb": 512,
                "queue": 2,
                "temperature_c": 61.5,
                "throttled": false,
                "degraded": []
              },
              "finish_reason": "stop",
              "created": "2026-11-23T10:00:01.000Z",
              "generator": "fastvlmd 0.1.0"
            }

            """
        #expect(String(decoding: try Samples.full.json(), as: UTF8.self) == text)
    }

    @Test func whatIsNotKnownIsLeftOut() throws {
        let refused = String(decoding: try Samples.refused.compactJSON(), as: UTF8.self)
        #expect(
            refused == #"{"schema":"fastvlm.sidecar/1","status":"refused","code":"jpeg_truncated","#
                + #""reason":"The picture ends early.","source":{"file":"a.jpg"},"#
                + #""created":"2026-11-23T10:00:01.000Z","generator":"fastvlmd 0.1.0"}"#)
        let expired = String(decoding: try Samples.expired.compactJSON(), as: UTF8.self)
        #expect(expired.contains(#""status":"expired","source""#))
        #expect(!expired.contains("null"))
    }

    @Test(arguments: [Samples.full, Samples.refused, Samples.expired, Samples.notUTF8])
    func whatIsWrittenReadsBackTheSame(document: SidecarDocument) throws {
        #expect(try SidecarDocument(json: document.json()) == document)
        #expect(try SidecarDocument(json: document.compactJSON()) == document)
    }

    @Test func unknownKeysAreIgnored() throws {
        let text = String(decoding: try Samples.full.json(), as: UTF8.self)
            .replacingOccurrences(of: #""status""#, with: #""later": {"deep": [1]}, "status""#)
        #expect(try SidecarDocument(json: Array(text.utf8)) == Samples.full)
    }

    @Test(arguments: [
        "", "{", "[]", "null", #"{"schema":"fastvlm.sidecar/2","status":"ok"}"#, #"{"status":"ok"}"#,
        #"{"schema":"fastvlm.sidecar/1","status":"refused","source":{},"created":"2026-11-23T10:00:01Z","generator":""}"#,
        #"{"schema":"fastvlm.sidecar/1","status":"ok","source":{},"created":"yesterday","generator":""}"#,
    ])
    func whatBreaksTheContractIsAnError(text: String) {
        #expect { try SidecarDocument(json: Array(text.utf8)) } throws: { ($0 as? SidecarError)?.kind == .invalid }
    }

    @Test func aNameThatIsNotUTF8LosesNothing() throws {
        let text = String(decoding: try Samples.notUTF8.compactJSON(), as: UTF8.self)
        #expect(text.contains("\"source\":{\"file\":\"f\u{FFFD}\\n.jpg\",\"file_bytes\":\"66ff0a2e6a7067\"}"))
        #expect(try SidecarDocument(json: Array(text.utf8)).source.file == [0x66, 0xFF, 0x0A, 0x2E, 0x6A, 0x70, 0x67])
        #expect(!String(decoding: try Samples.full.json(), as: UTF8.self).contains("file_bytes"))
    }

    @Test func aLongCaptionIsCutBetweenCharacters() {
        var document = Samples.refused
        document.caption = String(repeating: "x", count: 8191) + "é" + "y"
        #expect(document.caption == String(repeating: "x", count: 8191))
        document.caption = String(repeating: "x", count: 8190) + "é" + "y"
        #expect(document.caption == String(repeating: "x", count: 8190) + "é")
        let family = "👨‍👩‍👧‍👦"
        document.caption = String(repeating: "x", count: 8190) + family
        #expect(document.caption == String(repeating: "x", count: 8190))
        // One character that is longer than everything that fits: the cut is between scalars.
        document.caption = "e" + String(repeating: "\u{301}", count: 10_000)
        #expect(document.caption?.utf8.count == 8191)
        let made = SidecarDocument(
            status: .ok, source: .init(), caption: String(repeating: "ab", count: 5000),
            created: Timestamp(milliseconds: 0), generator: "g")
        #expect(made.caption?.utf8.count == 8192)
    }

    @Test func timesAreKeptToATenthOfAMillisecond() {
        #expect(Milliseconds(12.3456).value == 12.3)
        #expect(Milliseconds(.microseconds(1250)).value == 1.3)
        #expect(Milliseconds(.nan).value == 0)
        #expect(Milliseconds(.seconds(3)).value == 3000)
    }

    @Test func aNumberThatJSONCannotWriteIsAnError() {
        var document = Samples.full
        document.answers[1].answer = .number(.infinity)
        #expect { try document.json() } throws: { ($0 as? SidecarError)?.kind == .invalid }
    }

    @Test func controlCharactersAreEscaped() throws {
        var document = Samples.refused
        document.caption = "a\u{0}\u{1b}\u{7f}\t\\"
        let text = String(decoding: try document.compactJSON(), as: UTF8.self)
        #expect(text.contains(#""caption":"a\u0000\u001b\u007f\t\\""#))
        #expect(try SidecarDocument(json: Array(text.utf8)).caption == document.caption)
    }
}

@Suite struct TimestampTests {
    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"), (1_795_428_000_123, "2026-11-23T10:00:00.123Z"),
            (4_107_542_399_999, "2100-02-28T23:59:59.999Z"), (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"), (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] as [(Int64, String)])
    func momentsAndTheirText(milliseconds: Int64, text: String) {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
        #expect(Timestamp(text)?.milliseconds == milliseconds)
    }

    @Test func theTextAgreesWithFoundationOnManyMoments() {
        let style = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let moment = Int64.random(in: -2_000_000_000_000...9_000_000_000_000, using: &generator)
            let whole = moment / 1000 * 1000
            let expected = Date(timeIntervalSince1970: Double(whole / 1000)).formatted(style)
            #expect(Timestamp(milliseconds: whole).description == expected, "at \(whole)")
        }
    }

    @Test func nanosecondsAreCutToMilliseconds() {
        #expect(Timestamp(nanoseconds: 1_999_999).milliseconds == 1)
        #expect(Timestamp(nanoseconds: -1).milliseconds == -1)
        #expect(Timestamp(milliseconds: .max).description == "9999-12-31T23:59:59.999Z")
    }

    @Test(arguments: [
        "", "2026-11-23", "2026-11-23T10:00:00", "2026-11-23T10:00:00+01:00", "2026-13-23T10:00:00Z",
        "2026-11-23T24:00:00Z", "2026-11-23T10:00:00.Z", "2026-11-23T10:00:00.1x3Z", "2026-1a-23T10:00:00Z",
    ])
    func whatIsNoUTCTimeIsRefused(text: String) {
        #expect(Timestamp(text) == nil)
    }

    @Test func aFractionOfAnyLengthIsRead() {
        #expect(Timestamp("1970-01-01T00:00:01Z")?.milliseconds == 1000)
        #expect(Timestamp("1970-01-01T00:00:01.5Z")?.milliseconds == 1500)
        #expect(Timestamp("1970-01-01T00:00:01.123456789Z")?.milliseconds == 1123)
    }
}

enum Samples {
    static let created = Timestamp(milliseconds: 1_795_428_001_000)

    static let full = SidecarDocument(
        status: .ok,
        source: .init(
            file: Array("gate-0412.jpg".utf8), sha256: String(repeating: "ab", count: 32), bytes: 183_204,
            width: 1920, height: 1080, modified: Timestamp(milliseconds: 1_795_428_000_123), origin: "watch:gate"),
        caption: "A \"red\" gate.\nClosed.",
        answers: [
            .init(
                id: "lamp", question: "Is the red lamp on?", type: "boolean", answer: .boolean(true), confidence: 0.97),
            .init(id: "cars", question: "How many cars?", type: "number", answer: .number(3)),
            .init(
                id: "colour", question: "Which colour?", type: "string", answer: .string("rouge ✓"),
                confidence: 1.0 / 3),
        ],
        model: .init(
            name: "FastVLM-0.5B", digest: "sha256:" + String(repeating: "cd", count: 32), precision: "int8"),
        resolution: .init(pixels: 512, visualTokens: 80, tiles: 4, reason: "budget"),
        budget: .init(milliseconds: 800, predicted: 640, met: true),
        timings: .init(
            queued: 3.14, decode: 6, preprocess: 4.2, vision: 310.5, prefill: 120.3, ttft: 441, generate: 190,
            total: 640.2, promptTokens: 94, generatedTokens: 21),
        health: .init(rss: 512, queue: 2, temperature: 61.49999, throttled: false, degraded: []),
        finishReason: "stop", created: created, generator: "fastvlmd 0.1.0")

    static let refused = SidecarDocument(
        status: .refused(code: "jpeg_truncated", reason: "The picture ends early."),
        source: .init(file: Array("a.jpg".utf8)), created: created, generator: "fastvlmd 0.1.0")

    static let expired = SidecarDocument(
        status: .expired, source: .init(file: Array("a.jpg".utf8), bytes: 7), created: created,
        generator: "fastvlmd 0.1.0")

    static let notUTF8 = SidecarDocument(
        status: .expired, source: .init(file: [0x66, 0xFF, 0x0A, 0x2E, 0x6A, 0x70, 0x67]), created: created,
        generator: "fastvlmd 0.1.0")
}
