import Foundation
import Testing

/// The unit files: what they promise, and that systemd takes them, where it is installed.
@Suite struct UnitFileTests {
    private static let analyze = "/usr/bin/systemd-analyze"
    static var hasAnalyze: Bool { FileManager.default.isExecutableFile(atPath: analyze) }

    /// The settings of a unit, `Section.Key` to values in their order.
    private func settings(_ path: String) throws -> [String: [String]] {
        var section = ""
        var result: [String: [String]] = [:]
        for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") where !line.hasPrefix("#")
        {
            if line.hasPrefix("[") {
                section = String(line.dropFirst().dropLast())
            } else if let equals = line.firstIndex(of: "=") {
                result["\(section).\(line[..<equals])", default: []].append(String(line[line.index(after: equals)...]))
            }
        }
        return result
    }

    @Test func theServiceIsShutIn() throws {
        let unit = try settings(House.serviceUnit)
        let expected: [String: [String]] = [
            "Service.Type": ["notify"], "Service.WatchdogSec": ["60"], "Service.Restart": ["always"],
            "Unit.StartLimitIntervalSec": ["0"], "Service.ExecReload": ["/bin/kill -HUP $MAINPID"],
            "Service.User": ["fastvlmd"], "Service.Group": ["fastvlmd"], "Service.UMask": ["0027"],
            "Service.ProtectSystem": ["strict"], "Service.PrivateNetwork": ["yes"],
            "Service.RestrictAddressFamilies": ["AF_UNIX"], "Service.MemoryDenyWriteExecute": ["yes"],
            "Service.CapabilityBoundingSet": [""], "Service.AmbientCapabilities": [""],
            "Service.NoNewPrivileges": ["yes"],
            "Service.SystemCallFilter": ["@system-service", "~@privileged @resources", "sched_setaffinity"],
            "Service.MemorySwapMax": ["0"], "Service.TasksMax": ["64"], "Service.LimitNOFILE": ["1024"],
            "Service.OOMScoreAdjust": ["300"], "Service.Nice": ["10"], "Service.RuntimeDirectoryPreserve": ["yes"],
        ]
        for (key, value) in expected { #expect(unit[key] == value, "\(key)") }
        #expect(unit["Service.MemoryMax"]?.count == 1 && unit["Service.ReadWritePaths"]?.isEmpty == false)
        // It hides who speaks at the socket.
        #expect(unit["Service.PrivateUsers"] == nil)
        // It hides which processor this is.
        #expect(unit["Service.ProcSubset"] == nil)
    }

    @Test func theSocketIsForItsGroup() throws {
        let unit = try settings(House.socketUnit)
        #expect(unit["Socket.ListenStream"] == ["/run/fastvlmd/api.sock"])
        #expect(unit["Socket.FileDescriptorName"] == ["api"] && unit["Socket.SocketMode"] == ["0660"])
        #expect(unit["Socket.SocketUser"] == ["fastvlmd"] && unit["Socket.SocketGroup"] == ["fastvlmd"])
    }

    /// The units with a program that is there in the place of the daemon.
    private func installed() throws -> TemporaryFolder {
        let folder = try TemporaryFolder()
        for path in [House.serviceUnit, House.socketUnit] {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let name = path.split(separator: "/").last.map(String.init) ?? ""
            try folder.write(text.replacingOccurrences(of: "/usr/bin/fastvlmd", with: "/bin/true"), to: name)
        }
        return folder
    }

    @Test(.enabled(if: hasAnalyze)) func systemdHasNothingToSay() async throws {
        let folder = try installed()
        let ending = try await ProgramProcess(
            Self.analyze, ["verify", "--man=no", folder["fastvlmd.service"], folder["fastvlmd.socket"]]
        ).ending()
        #expect(ending.status == 0 && ending.errors.isEmpty, "\(ending.errors)")
    }

    /// A bare unit has 9.6.
    @Test(.enabled(if: hasAnalyze)) func itIsExposedByOneAtTheMost() async throws {
        let folder = try installed()
        let ending = try await ProgramProcess(
            Self.analyze, ["security", "--no-pager", "--offline=yes", "--threshold=10", folder["fastvlmd.service"]]
        ).ending()
        #expect(ending.status == 0, "\(ending.errors)\(ending.output)")
        let line = ending.outputLines.last { $0.contains("exposure level") } ?? ""
        let exposure = line.split(separator: " ").compactMap { Double($0) }.last
        #expect(exposure.map { $0 <= 1 } == true, "\(line)")
    }
}
