internal import CaptionService
internal import FoundationEssentials
internal import Glibc
internal import ModelFiles

/// The daemon's configuration, its model, its folders, its socket and its unit.
struct InstallationChecks {
    private let file: String
    private let root: String
    private let socket: String
    private let readsModel: Bool

    init(file: String, root: String, socket: String, readsModel: Bool) {
        self.file = file
        self.root = root
        self.socket = socket
        self.readsModel = readsModel
    }

    func findings() -> [DoctorFinding] {
        let configuration: DaemonConfiguration
        do {
            configuration = try DaemonConfiguration(file: file)
        } catch {
            return [
                DoctorFinding(
                    "configuration", .broken, error.message,
                    remedy: "Correct it; fastvlm config check \(file) says when it is right.")
            ] + [UnitCheck(root: root, writable: []).finding, socketFinding]
        }
        let places = configuration.watches.flatMap { [$0.path] + Self.results(of: $0, configuration) }
        return [DoctorFinding("configuration", .ok, "\(file) is right")] + configuration.models.map { model($0.path) }
            + configuration.watches.flatMap(folders)
            + configuration.watches.flatMap { watch in
                Self.results(of: watch, configuration).map { place("results", $0) }
            } + [UnitCheck(root: root, writable: places).finding, socketFinding]
    }

    private static func results(of watch: DaemonConfiguration.Watch, _ configuration: DaemonConfiguration) -> [String] {
        switch watch.sidecars {
        case .beside: []
        case .folder(let folder): [folder]
        case .common: configuration.sidecars.directory.map { [$0] } ?? []
        }
    }

    private func model(_ path: String) -> DoctorFinding {
        do {
            let model = try PackedModel.describe(path: path)
            let facts = "\(model.name) \(model.precision.rawValue), \(model.byteCount.asBytes)"
            guard readsModel, !isFolder(path) else { return DoctorFinding("model", .ok, facts) }
            let bar = ProgressBar("reading the model")
            defer { bar.finish() }
            let summary = try PackedModel.verify(path: path, progress: bar.show)
            return DoctorFinding("model", .ok, "\(facts), intact (\(summary.digest.prefix(23))…)")
        } catch {
            return DoctorFinding(
                "model", .broken, error.message,
                remedy: "Name a packed file or a checkpoint's folder as model.path in \(file).")
        }
    }

    private func isFolder(_ path: String) -> Bool {
        var isFolder = false
        return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder
    }

    private func folders(_ watch: DaemonConfiguration.Watch) -> [DoctorFinding] { [place("folder", watch.path)] }

    /// A folder that is read and written.
    private func place(_ check: String, _ path: String) -> DoctorFinding {
        guard FileManager.default.fileExists(atPath: path) else {
            return DoctorFinding(
                check, .doubtful, "'\(path)' is not there",
                remedy: "mkdir -p '\(path)', or mount it; it is taken up when it appears.")
        }
        guard isFolder(path) else {
            return DoctorFinding(check, .broken, "'\(path)' is no folder", remedy: "Name another in \(file).")
        }
        guard access(path, R_OK | W_OK | X_OK) == 0 else {
            return DoctorFinding(
                check, .broken, "'\(path)' cannot be read and written by this user",
                remedy: "chgrp fastvlmd '\(path)' && chmod 2770 '\(path)', and run this check as the service's user.")
        }
        return DoctorFinding(check, .ok, "'\(path)' can be read and written by this user")
    }

    private var socketFinding: DoctorFinding {
        var status = stat()
        guard lstat(socket, &status) == 0 else {
            return DoctorFinding(
                "socket", .doubtful, "'\(socket)' is not there",
                remedy: "systemctl enable --now fastvlmd.socket fastvlmd.service")
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            return DoctorFinding(
                "socket", .broken, "'\(socket)' is no socket", remedy: "Remove it and start the service anew.")
        }
        let mode = String(status.st_mode & 0o777, radix: 8)
        guard status.st_mode & 0o007 == 0 else {
            return DoctorFinding(
                "socket", .doubtful, "'\(socket)' is open to everyone (\(mode))", remedy: "SocketMode=0660")
        }
        do throws(CommandFailure) {
            _ = try DaemonClient(path: socket).get("/healthz")
            return DoctorFinding("socket", .ok, "'\(socket)' (\(mode)) answers")
        } catch {
            return DoctorFinding(
                "socket", .broken, error.message, remedy: "systemctl status fastvlmd, journalctl -u fastvlmd")
        }
    }
}

/// Whether the service's unit is as it should be, drop-ins included.
struct UnitCheck {
    private let root: String
    /// Folders that it has to be allowed to write in.
    private let writable: [String]

    private static let folders = [
        "/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system",
        "/lib/systemd/system",
    ]
    private static let wanted = [
        "NoNewPrivileges": "yes", "ProtectSystem": "strict", "PrivateNetwork": "yes",
        "RestrictAddressFamilies": "AF_UNIX", "MemoryDenyWriteExecute": "yes", "CapabilityBoundingSet": "",
    ]

    init(root: String, writable: [String]) {
        self.root = root
        self.writable = writable
    }

    var finding: DoctorFinding {
        guard
            let unit = Self.folders.map({ root + $0 + "/fastvlmd.service" }).first(where: {
                FileManager.default.fileExists(atPath: $0)
            })
        else {
            return DoctorFinding(
                "unit", .doubtful, "fastvlmd.service is not installed: the daemon runs without systemd's protection",
                remedy: "etc/install, or the Debian package.")
        }
        let settings = Self.settings(in: [unit] + dropIns)
        let weak = Self.wanted.filter { settings[$0.key]?.last != $0.value }.map(\.key).sorted()
        guard weak.isEmpty else {
            return DoctorFinding(
                "unit", .doubtful, "less protected than as shipped: \(weak.joined(separator: ", "))",
                remedy: "systemctl cat fastvlmd shows who changed it.")
        }
        let allowed =
            (settings["ReadWritePaths"] ?? []).flatMap { $0.split(separator: " ") }
            .map { $0.hasPrefix("-") ? String($0.dropFirst()) : String($0) } + ["/var/lib/fastvlmd", "/run/fastvlmd"]
        let shut = writable.filter { place in !allowed.contains { place == $0 || place.hasPrefix($0 + "/") } }
        guard shut.isEmpty else {
            let paths = Array(Set(shut)).sorted().joined(separator: " ")
            return DoctorFinding(
                "unit", .broken, "the service may not write in \(paths)",
                remedy: "systemctl edit fastvlmd, and there: [Service] ReadWritePaths=\(paths)")
        }
        return DoctorFinding("unit", .ok, "\(unit.dropFirst(root.count)) is as protected as shipped")
    }

    private var dropIns: [String] {
        Self.folders.reversed().flatMap { folder -> [String] in
            let place = root + folder + "/fastvlmd.service.d"
            let names = (try? FileManager.default.contentsOfDirectory(atPath: place)) ?? []
            return names.filter { $0.hasSuffix(".conf") }.sorted().map { "\(place)/\($0)" }
        }
    }

    /// The values of each key of `[Service]`, in their order.
    private static func settings(in files: [String]) -> [String: [String]] {
        var settings: [String: [String]] = [:]
        for file in files {
            for line in ((try? String(contentsOfFile: file, encoding: .utf8)) ?? "").split(separator: "\n") {
                guard !line.hasPrefix("#"), !line.hasPrefix(";"), let equals = line.firstIndex(of: "=") else {
                    continue
                }
                settings[String(line[..<equals]), default: []].append(String(line[line.index(after: equals)...]))
            }
        }
        return settings
    }
}
