import Foundation
import Testing

/// `etc/install` and `etc/uninstall`, into a folder.
@Suite struct InstallTests {
    let stage: TemporaryFolder

    init() throws { stage = try TemporaryFolder() }

    private func run(_ script: String, _ arguments: [String] = [], prefix: String = "/usr") async throws -> Ending {
        try await ProgramProcess(
            script, arguments,
            environment: [
                "DESTDIR": stage.path, "PREFIX": prefix,
                "BIN": URL(filePath: Program.fastvlm.path).deletingLastPathComponent().path,
            ]
        ).ending()
    }

    @Test func whatIsInstalledIsRemovedAgainAndAConfigurationStays() async throws {
        let first = try await run(House.install)
        #expect(first.status == 0, "\(first.errors)")
        let names = stage.names()
        for name in [
            "usr/bin/fastvlmd", "usr/bin/fastvlm", "usr/share/fastvlmd/panel-reader.fastvlm",
            "etc/fastvlmd/fastvlmd.toml",
            "lib/systemd/system/fastvlmd.service", "lib/systemd/system/fastvlmd.socket",
            "usr/lib/sysusers.d/fastvlmd.conf",
            "usr/lib/tmpfiles.d/fastvlmd.conf", "usr/share/bash-completion/completions/fastvlm",
        ] { #expect(names.contains(name), "\(name)") }
        try await checkManual(names)
        // The configuration works as it is.
        let text = String(decoding: stage.read("etc/fastvlmd/fastvlmd.toml") ?? [], as: UTF8.self)
        #expect(text.contains("path = \"/usr/share/fastvlmd/panel-reader.fastvlm\""))
        #expect(text.contains("path = \"/var/lib/fastvlmd/pictures\""))
        let check = try await CommandTests.run(.fastvlm, "config", "check", stage["etc/fastvlmd/fastvlmd.toml"])
        #expect(check.status == 0, "\(check.errors)")

        // Once more: an edited configuration stays, nothing is added.
        try stage.write(text + "# mine\n", to: "etc/fastvlmd/fastvlmd.toml")
        #expect(try await run(House.install).status == 0)
        #expect(stage.names() == names)
        #expect(String(decoding: stage.read("etc/fastvlmd/fastvlmd.toml") ?? [], as: UTF8.self).hasSuffix("# mine\n"))

        #expect(try await run(House.uninstall).status == 0)
        #expect(stage.names() == ["etc/fastvlmd/fastvlmd.toml"])
        #expect(try await run(House.uninstall, ["--purge"]).status == 0)
        #expect(stage.names() == [])
        #expect(try await run(House.uninstall, ["--purge"]).status == 0)
        #expect(try await run(House.uninstall, ["--everything"]).status == 2)
    }

    /// The pages are there where their generator was built, name every command, and are without a fault to the formatter.
    private func checkManual(_ names: [String]) async throws {
        let generator = URL(filePath: Program.fastvlm.path).deletingLastPathComponent().path + "/generate-manual"
        let pages = names.filter { $0.hasPrefix("usr/share/man/man1/") }
        guard FileManager.default.isExecutableFile(atPath: generator) else { return #expect(pages == []) }
        #expect(pages == ["usr/share/man/man1/fastvlm.1", "usr/share/man/man1/fastvlmd.1"])
        let text = String(decoding: stage.read("usr/share/man/man1/fastvlm.1") ?? [], as: UTF8.self)
        for word in [".It Em pull", ".It Fl -accept-licence", ".It Em follow", ".Dt FASTVLM 1"] {
            #expect(text.contains(word), "\(word)")
        }
        guard FileManager.default.isExecutableFile(atPath: "/usr/bin/man") else { return }
        for page in pages {
            let ending = try await ProgramProcess(
                "/usr/bin/man", ["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", stage[page]],
                environment: ["LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"]
            ).ending()
            #expect(ending.status == 0 && ending.errors == "", "\(ending.errors)")
        }
    }

    @Test func anotherPrefixIsFollowed() async throws {
        #expect(try await run(House.install, prefix: "/opt/x").status == 0)
        let unit = String(decoding: stage.read("opt/x/lib/systemd/system/fastvlmd.service") ?? [], as: UTF8.self)
        #expect(unit.contains("ExecStart=/opt/x/bin/fastvlmd --config /etc/fastvlmd/fastvlmd.toml"))
        #expect(try await run(House.install, prefix: "relative").status == 2)
    }
}
