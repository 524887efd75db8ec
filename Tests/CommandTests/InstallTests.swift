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

    @Test func anotherPrefixIsFollowed() async throws {
        #expect(try await run(House.install, prefix: "/opt/x").status == 0)
        let unit = String(decoding: stage.read("opt/x/lib/systemd/system/fastvlmd.service") ?? [], as: UTF8.self)
        #expect(unit.contains("ExecStart=/opt/x/bin/fastvlmd --config /etc/fastvlmd/fastvlmd.toml"))
        #expect(try await run(House.install, prefix: "relative").status == 2)
    }
}
