import Glibc
import NotifySocket
import ServiceManager
import Testing

@Suite struct ServiceNotifierTests {
    private func notifier(_ name: String) throws -> ServiceNotifier {
        try #require(try ServiceNotifier(ServiceEnvironment(["NOTIFY_SOCKET": name], process: getpid())))
    }

    @Test(arguments: [true, false]) func statesOfOneCallArriveInOneMessage(isAbstract: Bool) throws {
        let socket = try NotifySocket(isAbstract: isAbstract)
        let notifier = try notifier(socket.name)
        #expect(notifier.tell(.ready, .status("Watching")))
        #expect(socket.next() == "READY=1\nSTATUS=Watching\n")
        #expect(notifier.tell(.watchdog))
        #expect(notifier.tell(.stopping))
        #expect(socket.next() == "WATCHDOG=1\n")
        #expect(socket.next() == "STOPPING=1\n")
    }

    @Test func reloadingCarriesTheTimeOfTheMonotonicClock() throws {
        let socket = try NotifySocket()
        var before = timespec()
        clock_gettime(CLOCK_MONOTONIC, &before)
        try notifier(socket.name).tell(.reloadingNow)
        let lines = try #require(socket.next()).split(separator: "\n")
        #expect(lines.first == "RELOADING=1")
        let time = try #require(lines.last?.split(separator: "=").last.flatMap { UInt64($0) })
        #expect(lines.last?.hasPrefix("MONOTONIC_USEC=") == true)
        let start = UInt64(before.tv_sec) * 1_000_000 + UInt64(before.tv_nsec) / 1000
        #expect((start...start + 60_000_000).contains(time))
    }

    @Test func moreTimeIsAskedForInMicroseconds() throws {
        let socket = try NotifySocket()
        try notifier(socket.name).tell(.extendTimeout(.milliseconds(1500)))
        #expect(socket.next() == "EXTEND_TIMEOUT_USEC=1500000\n")
    }

    @Test func aStatusStaysOneLineAndShort() throws {
        let socket = try NotifySocket()
        let notifier = try notifier(socket.name)
        notifier.tell(.status("a\nREADY=1\u{1b}[31m"))
        #expect(socket.next() == "STATUS=a READY=1 [31m\n")
        notifier.tell(.status(String(repeating: "ü", count: 5000)))
        #expect(socket.next().map { $0.utf8.count } == 7 + 512 + 1)
    }

    @Test func nobodyIsToldWhereNobodyAsks() throws {
        #expect(try ServiceNotifier(ServiceEnvironment([:], process: 1)) == nil)
        #expect(try ServiceNotifier(ServiceEnvironment(["NOTIFY_SOCKET": ""], process: 1)) == nil)
    }

    @Test(arguments: ["relative", "@", "vsock:2:1", "/" + String(repeating: "x", count: 200)])
    func aNameThatIsNoneIsRefused(name: String) {
        let error = #expect(throws: ServiceManagerError.self) { try notifier(name) }
        #expect(error?.code == .environment && error?.message.contains(name) == true)
    }

    @Test func aManagerThatIsGoneIsNoError() throws {
        let notifier = try notifier("/tmp/fastvlmd-nobody-listens-here")
        #expect(!notifier.tell(.ready))
    }
}

@Suite struct WatchdogIntervalTests {
    @Test func theIntervalIsOursOnly() throws {
        func interval(_ variables: [String: String]) throws -> Duration? {
            try ServiceEnvironment(variables, process: 42).watchdogInterval
        }
        #expect(try interval([:]) == nil)
        #expect(try interval(["WATCHDOG_USEC": "3000000"]) == .seconds(3))
        #expect(try interval(["WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "42"]) == .seconds(3))
        #expect(try interval(["WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "43"]) == nil)
        for wrong in ["0", "-1", "soon", "", "99999999999999999999"] {
            #expect(throws: ServiceManagerError.self, "\(wrong)") { try interval(["WATCHDOG_USEC": wrong]) }
        }
    }
}

@Suite struct PassedDescriptorTests {
    /// Two pipes' ends, one after the other.
    private func withTwoDescriptors(_ body: (Int32) throws -> Void) throws {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        // High numbers, which nobody else takes meanwhile, and the one behind them is not open.
        let first = try #require(
            (Int32(700)..<1000).first { first in (first...first + 2).allSatisfy { fcntl($0, F_GETFD) < 0 } })
        for (index, end) in ends.enumerated() {
            try #require(dup2(end, first + Int32(index)) >= 0)
            close(end)
        }
        defer { for number in [first, first + 1] { close(number) } }
        try body(first)
    }

    private func passed(_ variables: [String: String], first: Int32) throws -> [PassedDescriptor] {
        try ServiceEnvironment(variables, process: 42).passedDescriptors(first: first)
    }

    @Test func eachIsFoundByItsNameAndClosedInChildren() throws {
        try withTwoDescriptors { (first: Int32) throws in
            let all = try passed(
                ["LISTEN_FDS": "2", "LISTEN_PID": "42", "LISTEN_FDNAMES": "other:api"], first: first)
            #expect(all.map(\.name) == ["other", "api"])
            #expect(all.map(\.number) == [first, first + 1])
            for descriptor in all { #expect(fcntl(descriptor.number, F_GETFD) & FD_CLOEXEC != 0) }
            #expect(try passed(["LISTEN_FDS": "1", "LISTEN_PID": "42"], first: first).map(\.name) == ["unknown"])
        }
    }

    @Test func thoseOfAnotherProcessAreLeftAlone() throws {
        try withTwoDescriptors { (first: Int32) throws in
            #expect(try passed(["LISTEN_FDS": "2", "LISTEN_PID": "41"], first: first) == [])
            #expect(try passed(["LISTEN_FDS": "2"], first: first) == [])
            #expect(try passed([:], first: first) == [])
            #expect(try passed(["LISTEN_FDS": "0", "LISTEN_PID": "42", "LISTEN_FDNAMES": ""], first: first) == [])
            #expect(fcntl(first, F_GETFD) & FD_CLOEXEC == 0)
        }
    }

    @Test func whatDoesNotFitIsRefused() throws {
        try withTwoDescriptors { (first: Int32) throws in
            for variables in [
                ["LISTEN_FDS": "two"], ["LISTEN_FDS": "-1"], ["LISTEN_FDS": "65"],
                ["LISTEN_FDS": "2", "LISTEN_FDNAMES": "api"], ["LISTEN_FDS": "1", "LISTEN_FDNAMES": "a:b"],
            ] {
                let error = #expect(throws: ServiceManagerError.self, "\(variables)") {
                    try passed(variables.merging(["LISTEN_PID": "42"]) { $1 }, first: first)
                }
                #expect(error?.code == .environment)
            }
            // Nothing is open there.
            #expect(throws: ServiceManagerError.self) {
                try passed(["LISTEN_FDS": "3", "LISTEN_PID": "42"], first: first)
            }
        }
    }

    @Test func theVariablesAreTakenOutOfTheEnvironment() throws {
        setenv("WATCHDOG_USEC", "5000000", 1)
        #expect(try ServiceEnvironment.take().watchdogInterval == .seconds(5))
        #expect(getenv("WATCHDOG_USEC") == nil)
        #expect(try ServiceEnvironment.take().watchdogInterval == nil)
    }
}
