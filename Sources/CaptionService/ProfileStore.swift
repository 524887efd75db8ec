internal import FoundationEssentials
internal import Glibc
public import LatencyBudget
internal import UntrustedJSON

/// The file in which this device's profile for one model is kept, `profile-<digest's first 16 digits>.json`.
public struct ProfileStore: Sendable {
    public let directory: String
    /// What a profile has to be measured with to hold.
    public let identity: DeviceProfile.Identity

    /// Largest file that is read: 1 MiB.
    static let maximumByteCount = 1 << 20

    public init(directory: String, identity: DeviceProfile.Identity) {
        self.directory = directory
        self.identity = identity
    }

    /// `$STATE_DIRECTORY`, and without it `/var/lib/fastvlmd`.
    public static var usualDirectory: String {
        // systemd lists several folders with colons between them.
        let stated = getenv("STATE_DIRECTORY").map { String(cString: $0) }?.split(separator: ":").first
        return stated.map(String.init) ?? "/var/lib/fastvlmd"
    }

    public var path: String {
        let digits = identity.modelDigest.split(separator: ":").last ?? ""
        return "\(directory)/profile-\(digits.filter { $0.isHexDigit }.prefix(16)).json"
    }

    /// The profile; nil if there is none.
    public func load() throws(ProfileStoreError) -> DeviceProfile? {
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        do {
            let size = FileFacts(path: path)?.bytes ?? 0
            guard size <= Self.maximumByteCount else {
                throw ProfileStoreError(
                    "Cannot use the profile '\(path)': \(size) bytes, expected at most \(Self.maximumByteCount). Remove "
                        + "it, or run 'fastvlm calibrate'.")
            }
            return try JSONDecoder().decode(
                DeviceProfile.self, fromUntrusted: try Data(contentsOf: URL(filePath: path)))
        } catch let error as ProfileStoreError {
            throw error
        } catch {
            throw ProfileStoreError(
                "Cannot use the profile '\(path)': it is not readable by this user, or no profile. Run 'fastvlm calibrate'."
            )
        }
    }

    /// Puts `profile` in its place, whole or not at all; makes the folder if it is missing.
    public func save(_ profile: DeviceProfile) throws(ProfileStoreError) {
        do {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            let data = try encoder.encode(profile)
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            try data.write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw ProfileStoreError(
                "Cannot keep the profile '\(path)': the folder cannot be made or written by this user. Check its "
                    + "permissions, or name another folder.")
        }
    }
}

/// Why a profile cannot be read or kept.
public struct ProfileStoreError: Error, Sendable, Equatable, CustomStringConvertible {
    public let message: String

    init(_ message: String) { self.message = message }

    public var description: String { message }
}

extension DeviceProfile.Identity {
    /// This device, with `threads` threads and the kernels `kernels`.
    ///
    /// - Parameter information: The default is `/proc/cpuinfo`.
    public init(modelDigest: String, threads: Int, kernels: String, information: String = "/proc/cpuinfo") {
        self.init(
            device: Self.device(information), modelDigest: modelDigest, threads: threads, kernels: kernels,
            version: Product.version)
    }

    /// The processor as the system names it, with its cores: `Intel(R) Xeon(R) Processor, 2 cores`.
    private static func device(_ information: String) -> String {
        let lines = ((try? String(contentsOfFile: information, encoding: .utf8)) ?? "").split(separator: "\n")
        func field(_ name: String) -> String? {
            lines.first { $0.hasPrefix(name) }?.split(separator: ":", maxSplits: 1).dropFirst().first.map {
                String($0).trimmed
            }
        }
        // Arm's file names the board once, or a part number for each core.
        let name = field("model name") ?? field("Model") ?? field("CPU part") ?? "unknown processor"
        return "\(name), \(lines.count { $0.hasPrefix("processor") }) cores"
    }
}
