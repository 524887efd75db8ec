import Foundation
import Testing

/// What the shells offer when the tabulator is pressed.
@Suite struct CompletionTests {
    let folder: TemporaryFolder
    /// Not among what is offered.
    let scripts: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        scripts = try TemporaryFolder()
        for name in ["gate.jpg", "yard.png", "notes.txt", "small.fastvlm"] { try folder.write("", to: name) }
        try folder.makeFolder("pictures")
    }

    private func script(_ program: Program, _ shell: String) async throws -> String {
        let ending = try await run(program, "--generate-completion-script", shell)
        #expect(ending.status == 0 && ending.errors == "", "\(ending.errors)")
        try scripts.write(ending.output, to: "\(program).\(shell)")
        return scripts["\(program).\(shell)"]
    }

    /// What bash offers for the last of `words`, in the folder.
    private func offers(_ program: Program, _ words: String...) async throws -> [String] {
        let script = try await script(program, "bash")
        let ending = try await ProgramProcess(
            "/bin/bash",
            [
                "-c",
                """
                source "$0"
                COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
                _\(program) "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
                printf '%s\\n' "${COMPREPLY[@]}"
                """, script, program.rawValue,
            ] + words, folder: folder.path
        ).ending()
        return ending.outputLines.filter { $0 != "" }.sorted()
    }

    @Test(arguments: [Program.fastvlm, .fastvlmd], ["bash", "zsh", "fish"])
    func everyShellGetsAScript(_ program: Program, _ shell: String) async throws {
        let script = try await script(program, shell)
        // The others are not on every machine.
        if shell == "bash" {
            let ending = try await ProgramProcess("/bin/bash", ["-n", script]).ending()
            #expect(ending.status == 0 && ending.errors == "", "\(ending.errors)")
        }
        let text = try String(contentsOfFile: script, encoding: .utf8)
        #expect(text.contains(program == .fastvlm ? "accept-licence" : "log-level"))
    }

    @Test func commandsAndTheirOptionsAreOffered() async throws {
        #expect(try await offers(.fastvlm, "model", "pu") == ["pull"])
        #expect(try await offers(.fastvlm, "model", "pull", "--acc").contains("--accept-licence"))
        #expect(try await offers(.fastvlm, "model", "pull", "--precision", "in") == ["int4", "int8"])
        #expect(try await offers(.fastvlmd, "--log-level", "w") == ["warning"])
    }

    @Test func onlyFilesThatFitAreOffered() async throws {
        #expect(try await offers(.fastvlm, "caption", "") == ["gate.jpg", "pictures", "yard.png"])
        #expect(try await offers(.fastvlm, "model", "verify", "") == ["pictures", "small.fastvlm"])
        #expect(try await offers(.fastvlm, "report", "") == ["pictures"])
        #expect(try await offers(.fastvlmd, "--watch", "") == ["pictures"])
    }
}
