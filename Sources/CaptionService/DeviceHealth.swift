internal import FoundationEssentials
internal import Glibc

/// How the device and this process are, read from the kernel's files; what a system does not show is nil.
public struct DeviceHealth: Sendable, Equatable {
    /// Resident memory of this process, in MiB.
    public var residentMiB: Int?
    /// The hottest thermal zone, in degrees Celsius.
    public var temperature: Double?

    public init(residentMiB: Int? = nil, temperature: Double? = nil) {
        self.residentMiB = residentMiB
        self.temperature = temperature
    }

    /// Reads the present state.
    ///
    /// - Parameters:
    ///   - process: The default is `/proc/self`.
    ///   - thermal: The default is `/sys/class/thermal`.
    public static func sample(process: String = "/proc/self", thermal: String = "/sys/class/thermal") -> DeviceHealth {
        DeviceHealth(residentMiB: resident(process), temperature: hottest(thermal))
    }

    private static func resident(_ process: String) -> Int? {
        // Fields: size, resident, … in pages.
        guard let text = contents(process + "/statm"), let field = text.split(separator: " ").dropFirst().first,
            let pages = Int(field)
        else { return nil }
        return pages.multipliedReportingOverflow(by: sysconf(Int32(_SC_PAGESIZE))).partialValue >> 20
    }

    static func hottest(_ folder: String) -> Double? {
        let zones = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return zones.filter { $0.hasPrefix("thermal_zone") }.compactMap { zone -> Double? in
            guard let text = contents("\(folder)/\(zone)/temp"), let value = Int(text) else { return nil }
            // Thousandths of a degree; unused sensors show absurd values.
            let degrees = Double(value) / 1000
            return (-60...200).contains(degrees) ? degrees : nil
        }.max()
    }

    /// The beginning of one of the kernel's files, which are short and do not say how long; nil where there is none.
    ///
    /// Read in three calls: one of them is read before every frame with a budget, at its expense.
    static func contents(_ path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(file, &bytes, bytes.count)
        guard count > 0 else { return nil }
        return String(decoding: bytes[..<count], as: UTF8.self).trimmed
    }
}
