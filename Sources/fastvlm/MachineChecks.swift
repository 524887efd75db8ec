internal import CaptionService
internal import FoundationEssentials
internal import Glibc
internal import Kernels
internal import Sidecars

/// What of the machine the daemon depends on.
struct MachineChecks {
    /// Stands before the paths of the system's own files.
    private let root: String

    init(root: String) { self.root = root }

    mutating func findings() -> [DoctorFinding] {
        [instructionSet, blas, memory, memoryGroup] + inotify + [temperature, clock]
    }

    private func contents(_ path: String) -> String? { try? String(contentsOfFile: root + path, encoding: .utf8) }

    private func number(_ path: String) -> Int? {
        contents(path)?.split(whereSeparator: \.isWhitespace).first.flatMap { Int($0) }
    }

    private var instructionSet: DoctorFinding {
        let best = InstructionSet.best
        let supported = InstructionSet.allCases.filter(\.isSupported).map(\.rawValue).joined(separator: ", ")
        guard best == .scalar else {
            return DoctorFinding("kernels", .ok, "\(best.rawValue) (this processor has \(supported))")
        }
        return DoctorFinding(
            "kernels", .doubtful, "scalar: no vector instructions are used",
            remedy: "Unset FASTVLM_ISA; on a processor without AVX2 or NEON expect very long times.")
    }

    private var blas: DoctorFinding {
        do {
            let diagnosis = try BLAS.shared().diagnosis
            guard let warning = diagnosis.warning else {
                return DoctorFinding("OpenBLAS", .ok, "kernels for \(diagnosis.core)")
            }
            return DoctorFinding(
                "OpenBLAS", .doubtful, warning, remedy: "Unset FASTVLM_OPENBLAS_CORETYPE and OPENBLAS_CORETYPE.")
        } catch {
            return DoctorFinding(
                "OpenBLAS", .broken, error.message, remedy: "apt-get install libopenblas0")
        }
    }

    private var memory: DoctorFinding {
        let lines = contents("/proc/meminfo")?.split(separator: "\n") ?? []
        func kilobytes(_ name: String) -> Int? {
            lines.first { $0.hasPrefix(name + ":") }?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap {
                Int($0)
            }
        }
        guard let total = kilobytes("MemTotal"), let available = kilobytes("MemAvailable") else {
            return DoctorFinding("memory", .doubtful, "cannot be told: /proc/meminfo is hidden")
        }
        let found = "\(available / 1024) of \(total / 1024) MiB available"
        guard available < 256 * 1024 else { return DoctorFinding("memory", .ok, found) }
        return DoctorFinding(
            "memory", .doubtful, found, remedy: "Use a smaller model: fastvlm model pack --precision int4.")
    }

    /// Raspberry Pi firmware disables the memory controller.
    private var memoryGroup: DoctorFinding {
        let controllers = contents("/sys/fs/cgroup/cgroup.controllers")
        let isUnified = controllers?.split(whereSeparator: \.isWhitespace).contains("memory") ?? false
        let old = contents("/proc/cgroups")?.split(separator: "\n").first { $0.hasPrefix("memory\t") }
        let isOld =
            old?.split(separator: "\t").last == "1"
            && FileManager.default.fileExists(atPath: root + "/sys/fs/cgroup/memory")
        if isUnified || isOld { return DoctorFinding("memory limit", .ok, "the kernel can limit the service's memory") }
        return DoctorFinding(
            "memory limit", .doubtful, "the kernel cannot limit the service's memory: MemoryMax= has no effect",
            remedy: "On a Raspberry Pi append 'cgroup_enable=memory cgroup_memory=1' to the line of "
                + "/boot/firmware/cmdline.txt and start it anew.")
    }

    private var inotify: [DoctorFinding] {
        let limits: [(String, Int, String)] = [
            ("max_user_watches", 8192, "folders can be watched"), ("max_user_instances", 16, "programs can watch"),
            ("max_queued_events", 4096, "events can wait"),
        ]
        return limits.map { name, least, what in
            guard let limit = number("/proc/sys/fs/inotify/\(name)") else {
                return DoctorFinding(
                    "inotify", .doubtful, "\(name) cannot be read: folders may have to be polled",
                    remedy: "Use a kernel with inotify, and let this user read /proc/sys/fs/inotify.")
            }
            let state: DoctorFinding.State = limit >= least ? .ok : .doubtful
            return DoctorFinding(
                "inotify", state, "\(limit) \(what)",
                remedy: state == .ok
                    ? nil
                    : "sysctl -w fs.inotify.\(name)=\(least * 8), and the same line in /etc/sysctl.d/fastvlmd.conf.")
        }
    }

    private var temperature: DoctorFinding {
        let device = DeviceHealth.sample(thermal: root + "/sys/class/thermal")
        guard let degrees = device.temperature else {
            return DoctorFinding("temperature", .ok, "this machine shows none")
        }
        guard degrees >= 80 else { return DoctorFinding("temperature", .ok, "\(degrees) °C") }
        return DoctorFinding(
            "temperature", .doubtful, "\(degrees) °C: the processor slows itself down",
            remedy: "Cool it, or give it more air.")
    }

    /// Results carry times, and scans compare the files' times with it.
    private var clock: DoctorFinding {
        let now = Timestamp.now
        // This program is younger than 2025.
        guard now > Timestamp(milliseconds: 1_735_689_600_000) else {
            return DoctorFinding(
                "clock", .broken, "the clock says it is \(now)", remedy: "timedatectl set-ntp true, or set it by hand.")
        }
        let marks = [
            "/run/systemd/timesync/synchronized", "/run/chrony/chronyd.pid", "/run/chronyd.pid", "/run/ntpd.pid",
        ]
        if let mark = marks.first(where: { FileManager.default.fileExists(atPath: root + $0) }) {
            return DoctorFinding("clock", .ok, "\(now), kept right (\(mark))")
        }
        return DoctorFinding(
            "clock", .doubtful, "\(now); no sign of anything that keeps it right",
            remedy: "timedatectl set-ntp true (needs systemd-timesyncd or chrony).")
    }
}
