// swift-tools-version: 6.2
import PackageDescription

/// One set of settings for every Swift target: Swift 6 language mode with strict concurrency comes
/// with the tools version; these make existentials, imports and member look-up explicit.
let swiftSettings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

/// The C kernels are optimized in debug builds too: a debug engine would be too slow to test.
/// Frame pointers and errno have no use there; instruction sets are chosen per function, never here.
let kernelSettings: [CSetting] = [
    .unsafeFlags(["-O3", "-fno-math-errno", "-Wall", "-Wextra"])
]

let package = Package(
    name: "fastvlmd",
    products: [
        .executable(name: "fastvlmd", targets: ["fastvlmd"]),
        .executable(name: "fastvlm", targets: ["fastvlm"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/LebJe/TOMLKit", from: "0.6.0"),
        // Only its HTTP/1.1 channel over swift-nio; the traits would bring in all of Foundation.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        // For `fastvlm model pull` alone; the daemon has no network code.
        .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
    ],
    targets: [
        // C rooms: nothing above them is known to them.
        .systemLibrary(name: "COpenBLAS", providers: [.apt(["libopenblas-dev"])]),
        .systemLibrary(name: "CLibJPEG", providers: [.apt(["libjpeg-dev"])]),
        .systemLibrary(name: "CLibPNG", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(name: "CNettle", providers: [.apt(["nettle-dev"])]),
        .systemLibrary(name: "CInotifyTools", providers: [.apt(["libinotifytools0-dev"])]),
        .target(name: "CKernels", cSettings: kernelSettings),
        .target(name: "CImageCodecs", dependencies: ["CLibJPEG", "CLibPNG"]),

        // Inner rooms: no outside package, no clock, no sockets, no folders.
        .target(name: "Kernels", dependencies: ["CKernels", "COpenBLAS"], swiftSettings: swiftSettings),
        .target(name: "Digests", dependencies: ["CNettle"], swiftSettings: swiftSettings),
        .target(name: "UntrustedJSON", swiftSettings: swiftSettings),
        .target(
            name: "ModelFiles", dependencies: ["Digests", "Kernels", "UntrustedJSON"], swiftSettings: swiftSettings),
        .target(name: "Images", dependencies: ["CImageCodecs"], swiftSettings: swiftSettings),
        .target(name: "FastVLM", dependencies: ["Kernels", "ModelFiles", "Images"], swiftSettings: swiftSettings),
        .target(name: "Plots", swiftSettings: swiftSettings),
        .target(name: "LatencyBudget", dependencies: ["Plots"], swiftSettings: swiftSettings),

        // Outer rooms.
        .target(name: "Sidecars", dependencies: ["Digests", "UntrustedJSON"], swiftSettings: swiftSettings),
        .target(name: "FrameSources", dependencies: ["CInotifyTools", "Digests"], swiftSettings: swiftSettings),
        .target(name: "ServiceManager", swiftSettings: swiftSettings),
        // Fetches checkpoints, for the person's command only: no room that the daemon is made of may depend on it.
        .target(
            name: "ModelHub",
            dependencies: [
                "Digests", "UntrustedJSON",
                .product(name: "AsyncHTTPClient", package: "async-http-client"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "CaptionService",
            dependencies: [
                "Digests", "FastVLM", "FrameSources", "Images", "Kernels", "LatencyBudget", "ModelFiles",
                "ServiceManager", "Sidecars", "UntrustedJSON",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "TOMLKit", package: "TOMLKit"),
            ],
            swiftSettings: swiftSettings),
        .target(
            name: "SocketAPI",
            dependencies: [
                "CaptionService", "Digests", "FastVLM", "Images", "LatencyBudget", "Sidecars", "UntrustedJSON",
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "fastvlmd",
            dependencies: [
                "CaptionService", "ServiceManager", "SocketAPI",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: swiftSettings),
        .executableTarget(
            name: "fastvlm",
            dependencies: [
                "CaptionService", "Digests", "FastVLM", "FrameSources", "Images", "Kernels", "LatencyBudget",
                "ModelFiles", "ModelHub", "Plots", "Sidecars", "UntrustedJSON",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: swiftSettings),

        // One test target a room.
        .testTarget(
            name: "KernelsTests", dependencies: ["Kernels", "CKernels"], exclude: ["arm"], swiftSettings: swiftSettings),
        .testTarget(name: "DigestsTests", dependencies: ["Digests"], swiftSettings: swiftSettings),
        .testTarget(name: "UntrustedJSONTests", dependencies: ["UntrustedJSON"], swiftSettings: swiftSettings),
        .testTarget(name: "ModelFilesTests", dependencies: ["ModelFiles"], swiftSettings: swiftSettings),
        .testTarget(
            name: "ImagesTests", dependencies: ["Images"], exclude: ["Fixtures"], swiftSettings: swiftSettings),
        .testTarget(
            name: "FastVLMTests", dependencies: ["FastVLM", "Images", "Kernels", "ModelFiles"],
            swiftSettings: swiftSettings),
        .testTarget(name: "PlotsTests", dependencies: ["Plots"], swiftSettings: swiftSettings),
        .testTarget(name: "LatencyBudgetTests", dependencies: ["LatencyBudget"], swiftSettings: swiftSettings),
        .testTarget(name: "SidecarsTests", dependencies: ["Sidecars"], swiftSettings: swiftSettings),
        .testTarget(name: "FrameSourcesTests", dependencies: ["FrameSources"], swiftSettings: swiftSettings),
        // Plays the service manager's part.
        .target(name: "NotifySocket", path: "Tests/NotifySocket", swiftSettings: swiftSettings),
        .testTarget(
            name: "ServiceManagerTests", dependencies: ["NotifySocket", "ServiceManager"], swiftSettings: swiftSettings),
        // Plays the hub.
        .target(
            name: "HubServer",
            dependencies: [
                "Digests",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
            ], path: "Tests/HubServer", swiftSettings: swiftSettings),
        .testTarget(name: "ModelHubTests", dependencies: ["HubServer", "ModelHub"], swiftSettings: swiftSettings),
        .testTarget(
            name: "CaptionServiceTests",
            dependencies: [
                "CaptionService", "FastVLM", "FrameSources", "Images", "Kernels", "LatencyBudget", "ModelFiles",
                "NotifySocket", "ServiceManager", "Sidecars",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ], swiftSettings: swiftSettings),
        .testTarget(
            name: "SocketAPITests",
            dependencies: [
                "SocketAPI", "CaptionService", "FastVLM", "LatencyBudget", "Sidecars",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
            ], swiftSettings: swiftSettings),
        // The folder service with an engine that only pretends, for tests that kill it; no product.
        .executableTarget(
            name: "StubDaemon",
            dependencies: [
                "CaptionService", "FrameSources", "LatencyBudget",
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ], path: "Tests/StubDaemon", swiftSettings: swiftSettings),
        .testTarget(name: "FaultTests", dependencies: ["StubDaemon"], swiftSettings: swiftSettings),
        // What no compiler checks.
        .testTarget(name: "SourceRulesTests", swiftSettings: swiftSettings),
        // The two programs as a person runs them.
        .testTarget(
            name: "CommandTests", dependencies: ["HubServer", "NotifySocket", "fastvlm", "fastvlmd"], exclude: ["Fixtures"],
            swiftSettings: swiftSettings),
    ]
)

// Needs libFuzzer, which normal builds do without; Tests/Fuzz/run asks for it.
if Context.environment["FASTVLM_FUZZ"] == "1" {
    package.targets.append(
        .executableTarget(
            name: "fuzz",
            dependencies: [
                "CaptionService", "FastVLM", "Images", "LatencyBudget", "ModelFiles", "Sidecars", "SocketAPI",
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Tests/Fuzz", exclude: ["corpus", "run", "words"],
            swiftSettings: swiftSettings + [.unsafeFlags(["-parse-as-library"])],
            linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]))
}
