import CaptionService
import Testing

/// Configurations at which the TOML parser would end the process, were it given them, and ones that only look like them.
@Suite struct UnreadableTOMLTests {
    private func failure(_ toml: String) -> String? {
        do {
            _ = try DaemonConfiguration(toml: toml, file: "test.toml")
            return nil
        } catch {
            return error.code == .syntax ? error.description : "another error: \(error)"
        }
    }

    @Test(arguments: [
        "[", "[[", "\u{FEFF}[\u{1}", "[?]", "[ [ ]", "[\u{A0}model]", "x = 1\n  [",
        "text = \"\"\"\n[?]\"\"\"\n[#]", "list = [\n\"a\", 'b' ]\n[\u{7F}",
    ]) func aHeaderWithoutANameIsRefused(_ text: String) throws {
        let found = try #require(failure(text))
        // `[ [ ]` names nothing, which the parser itself can say.
        if text != "[ [ ]" { #expect(found.contains("has no name after it"), "\(found)") }
    }

    @Test(arguments: [
        "day = 1979-05-27T: what", "day = 1979-05-27T:7832:00Z", "day = 1979-05-27", "days = [1979-05-27T]",
        "days = { first = 1979-05-27 \u{1} }", "x = 1\nday =\t2026-",
    ]) func aDateIsRefused(_ text: String) throws {
        let found = try #require(failure(text))
        #expect(found.contains("has a date for a value"), "\(found)")
        #expect(found.contains("line \(text.split(separator: "\n").count) "))
    }

    @Test(arguments: [
        "list = [ # why\n}", "list = [}", "list = [ 1, }", "list = [[ }]", "list = [\n# a\n\n# b\n }",
        "list = [ { a = [ } ] } ]", "list = [ \u{A0}}", "list = [ \"\"\"a\"\"\", ''''b'''', } ]",
    ]) func whatIsNoValueIsRefusedInAnArray(_ text: String) throws {
        let found = try #require(failure(text))
        #expect(found.contains("in an array that is no value"), "\(found)")
    }

    /// Nothing of this is said of what stands in strings and comments, or is complete.
    @Test func textThatLooksLikeThemIsRead() throws {
        let configuration = try DaemonConfiguration(
            toml: #"""
                # [ and 1979-05-27T: and [ }
                [ "model" ] # [
                path = "/m \" [ } 1979-05-27T:.fastvlm" # }
                [[watch]]
                path = '/srv/1979-05-27T'
                exclude = [ # }
                    "[", # ]
                    ']}', "2026-11-24", """
                [ }""", ''''}''',
                ]
                prompt = """
                [?
                1979-05-27T: \""" }}
                [ }}"""
                [[watch.questions]]
                id = "1979-05-27" # a day
                question = 'what = [ }}'
                """#, file: "test.toml")
        #expect(configuration.models.map(\.path) == ["/m \" [ } 1979-05-27T:.fastvlm"])
        let watch = try #require(configuration.watches.first)
        #expect(watch.path == "/srv/1979-05-27T")
        #expect(watch.exclude == ["[", "]}", "2026-11-24", "[ }", "'}"])
        #expect(watch.tasks.prompt == "[?\n1979-05-27T: \"\"\" }}\n[ }}")
        #expect(watch.tasks.questions.map(\.text) == ["what = [ }}"])
    }
}
