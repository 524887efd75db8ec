public import Glibc

/// The system calls that a commit is made of, one method each, so that tests can make any of them fail.
///
/// Names are bytes relative to an open folder; a method throws the call's error number. `EINTR` is the
/// implementation's business and never thrown.
public protocol FileCalls: Sendable {
    /// `openat`; the caller closes the descriptor.
    func open(_ name: [UInt8], in folder: Int32, flags: Int32, mode: mode_t) throws(SystemFault) -> Int32
    /// `write`; may write less than all.
    func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) throws(SystemFault) -> Int
    /// `fsync`.
    func synchronize(_ descriptor: Int32) throws(SystemFault)
    /// `renameat2` with `RENAME_NOREPLACE`: fails with `EEXIST` if `new` is there, whatever it is.
    func renameExclusively(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault)
    /// `renameat`: replaces what stands at `new`.
    func rename(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault)
    /// `unlinkat`.
    func remove(_ name: [UInt8], in folder: Int32) throws(SystemFault)
    /// `mkdirat`.
    func makeFolder(_ name: [UInt8], in folder: Int32, mode: mode_t) throws(SystemFault)
}

/// The error number of a system call that failed.
public struct SystemFault: Error, Sendable, Equatable {
    public let code: Int32

    public init(_ code: Int32) { self.code = code }
}

/// The calls of this system.
public struct SystemFileCalls: FileCalls {
    public init() {}

    public func open(
        _ name: [UInt8], in folder: Int32, flags: Int32, mode: mode_t
    ) throws(SystemFault) -> Int32 {
        try repeated { openat(folder, cString(name), flags, mode) }
    }

    public func write(_ bytes: ArraySlice<UInt8>, to descriptor: Int32) throws(SystemFault) -> Int {
        try repeated { bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) } }
    }

    public func synchronize(_ descriptor: Int32) throws(SystemFault) {
        // Not repeated after EINTR: whether a second fsync still sees the first one's error is not defined.
        guard fsync(descriptor) == 0 else { throw SystemFault(errno) }
    }

    public func renameExclusively(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault) {
        guard let renameat2 = Self.renameat2 else { throw SystemFault(ENOSYS) }
        let noReplace: UInt32 = 1
        _ = try repeated { renameat2(folder, cString(name), folder, cString(new), noReplace) }
    }

    // Unsafe: the type is that of the system call's wrapper since glibc 2.28; older ones do not have the name.
    /// glibc has had it since 2.28, but shows it only to those who ask for GNU extensions, which Swift's importer
    /// does not; so it is looked up by name. The type is that of its declaration in stdio.h.
    private static let renameat2: RenameAt2? = dlsym(nil, "renameat2").map { unsafeBitCast($0, to: RenameAt2.self) }

    private typealias RenameAt2 =
        @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) -> Int32

    public func rename(_ name: [UInt8], to new: [UInt8], in folder: Int32) throws(SystemFault) {
        _ = try repeated { renameat(folder, cString(name), folder, cString(new)) }
    }

    public func remove(_ name: [UInt8], in folder: Int32) throws(SystemFault) {
        _ = try repeated { unlinkat(folder, cString(name), 0) }
    }

    public func makeFolder(_ name: [UInt8], in folder: Int32, mode: mode_t) throws(SystemFault) {
        _ = try repeated { mkdirat(folder, cString(name), mode) }
    }

    private func repeated<Value: SignedInteger>(_ call: () -> Value) throws(SystemFault) -> Value {
        while true {
            let value = call()
            if value >= 0 { return value }
            if errno != EINTR { throw SystemFault(errno) }
        }
    }
}

/// `name` as C takes it: signed bytes with a zero at the end.
func cString(_ name: [UInt8]) -> [CChar] {
    name.map { CChar(bitPattern: $0) } + [0]
}

/// An open file or folder; closed when it goes.
struct Descriptor: ~Copyable {
    let number: Int32

    init(_ number: Int32) { self.number = number }

    deinit { close(number) }

    /// What stands behind the descriptor.
    func status() throws(SystemFault) -> stat {
        var status = stat()
        guard fstat(number, &status) == 0 else { throw SystemFault(errno) }
        return status
    }

    /// The content, unless it is longer than `limit` bytes (nil).
    func contents(limit: Int) throws(SystemFault) -> [UInt8]? {
        var content: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = read(number, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemFault(errno) }
            if count == 0 { return content }
            content += buffer[0..<count]
            if content.count > limit { return nil }
        }
    }
}
