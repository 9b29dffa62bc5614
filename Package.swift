// swift-tools-version: 6.1
import PackageDescription

let swift: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The executables and the test runner carry the kit and let loaded modules bind to it; the run-time
/// path makes the staged tree (`bin/`, `lib/buildos/`) relocatable.
let carriesKitForModules: [LinkerSetting] = [
    .unsafeFlags([
        "-Xlinker", "--export-dynamic",
        "-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/../lib/buildos",
    ])
]

let package = Package(
    name: "buildos",
    products: [
        .library(name: "BuildOSKit", targets: ["BuildOSKit"]),
        .library(name: "BuildOSKitShared", type: .dynamic, targets: ["BuildOSKit"]),
        .library(name: "BuildOSConformance", targets: ["BuildOSConformance"]),
        .library(name: "CurlFetcher", targets: ["CurlFetcher"]),
        .library(name: "TFTPStore", targets: ["TFTPStore"]),
        .library(name: "LocalTransport", targets: ["LocalTransport"]),
        .library(name: "SSHRemote", targets: ["SSHRemote"]),
        .library(name: "BtrfsStorage", targets: ["BtrfsStorage"]),
        .library(name: "DirectoryStorage", targets: ["DirectoryStorage"]),
        .library(name: "Libvirt", targets: ["Libvirt"]),
        .library(name: "QEMUDirect", targets: ["QEMUDirect"]),
        // On its own, for whoever speaks to QEMU.
        .library(name: "QMP", targets: ["QMP"]),
        // The C shims are products because the module package builds the backends from their sources.
        .library(name: "CCurl", targets: ["CCurl"]),
        .library(name: "CCrypto", targets: ["CCrypto"]),
        .library(name: "CSSH2", targets: ["CSSH2"]),
        .library(name: "CBtrfsUtil", targets: ["CBtrfsUtil"]),
        .library(name: "CProcess", targets: ["CProcess"]),
        .library(name: "CTFTPFiles", targets: ["CTFTPFiles"]),
        .library(name: "CFiles", targets: ["CFiles"]),
        .library(name: "CLibvirt", targets: ["CLibvirt"]),
        .executable(name: "buildosctl", targets: ["buildosctl"]),
        .executable(name: "buildosd", targets: ["buildosd"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    ],
    targets: [
        .target(
            name: "BuildOSKit",
            dependencies: [
                .product(name: "Logging", package: "swift-log"),
                .product(name: "SystemPackage", package: "swift-system"),
                "CFiles", "CCrypto",
            ],
            swiftSettings: swift
        ),
        .target(name: "BuildOSConformance", dependencies: ["BuildOSKit"], swiftSettings: swift),

        .target(name: "CCurl", linkerSettings: [.linkedLibrary("curl")]),
        .target(name: "CCrypto", linkerSettings: [.linkedLibrary("crypto")]),
        .target(name: "CSSH2", linkerSettings: [.linkedLibrary("ssh2")]),
        .target(name: "CHost"),
        .target(name: "CProcess"),
        .target(name: "CTFTPFiles"),
        .target(name: "CFiles"),
        .target(name: "CBtrfsUtil", linkerSettings: [.linkedLibrary("btrfsutil")]),
        .target(name: "CLibvirt", linkerSettings: [.linkedLibrary("virt"), .linkedLibrary("virt-qemu")]),

        .target(name: "QMP", swiftSettings: swift),

        .target(
            name: "CurlFetcher",
            dependencies: ["BuildOSKit", "CCurl", "CCrypto"],
            path: "Sources/Backends/CurlFetcher",
            swiftSettings: swift
        ),
        .target(
            name: "TFTPStore",
            dependencies: [
                "BuildOSKit", "CTFTPFiles",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Sources/Backends/TFTPStore",
            swiftSettings: swift
        ),
        .target(
            name: "LocalTransport",
            dependencies: ["BuildOSKit", .product(name: "Subprocess", package: "swift-subprocess")],
            path: "Sources/Backends/LocalTransport",
            swiftSettings: swift
        ),
        .target(
            name: "SSHRemote",
            dependencies: ["BuildOSKit", "CSSH2", "CCrypto"],
            path: "Sources/Backends/SSHRemote",
            swiftSettings: swift
        ),
        .target(
            name: "BtrfsStorage",
            dependencies: ["BuildOSKit", "CBtrfsUtil"],
            path: "Sources/Backends/BtrfsStorage",
            swiftSettings: swift
        ),
        .target(
            name: "DirectoryStorage",
            dependencies: ["BuildOSKit", "CFiles"],
            path: "Sources/Backends/DirectoryStorage",
            swiftSettings: swift
        ),
        .target(
            name: "Libvirt",
            dependencies: ["BuildOSKit", "CLibvirt"],
            path: "Sources/Backends/Libvirt",
            swiftSettings: swift
        ),

        .target(
            name: "QEMUDirect",
            dependencies: ["BuildOSKit", "QMP", "CProcess"],
            path: "Sources/Backends/QEMUDirect",
            swiftSettings: swift
        ),

        .target(
            name: "BuildOSCommands",
            dependencies: [
                "BuildOSKit", "BuildOSConformance",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: swift
        ),
        .target(
            name: "BuildOSDaemon",
            dependencies: [
                "BuildOSKit", "CHost",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: swift
        ),
        .executableTarget(
            name: "buildosctl",
            dependencies: ["BuildOSCommands", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: swift,
            linkerSettings: carriesKitForModules
        ),
        .executableTarget(
            name: "buildosd",
            dependencies: ["BuildOSDaemon", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: swift,
            linkerSettings: carriesKitForModules
        ),
        .executableTarget(
            name: "tftp-bench-server",
            dependencies: ["BuildOSKit", "TFTPStore"],
            path: "Benchmarks/TFTPServer",
            swiftSettings: swift
        ),
        .executableTarget(
            name: "ssh-bench-stream",
            dependencies: ["BuildOSKit", "SSHRemote"],
            path: "Benchmarks/SSHStream",
            swiftSettings: swift
        ),

        .executableTarget(
            name: "libvirt-bench-start",
            dependencies: ["BuildOSKit", "Libvirt"],
            path: "Benchmarks/LibvirtStart",
            swiftSettings: swift
        ),

        // What Benchmarks/vm-start runs.
        .executableTarget(
            name: "qemu-bench-start",
            dependencies: ["BuildOSKit", "QEMUDirect"],
            path: "Benchmarks/QEMUStart",
            swiftSettings: swift
        ),

        .target(
            name: "TestSupport",
            dependencies: ["BuildOSKit", "BuildOSConformance", "LocalTransport"],
            path: "Tests/TestSupport",
            swiftSettings: swift
        ),
        // buildosctl with backends linked in: for tests that start, and kill, real programs.
        .executableTarget(
            name: "buildosctl-linked",
            dependencies: ["BuildOSCommands", "BtrfsStorage", "LocalTransport", "SSHRemote"],
            path: "Tests/LinkedControl",
            swiftSettings: swift
        ),
        .testTarget(
            name: "BuildOSKitTests",
            dependencies: [
                "BuildOSKit", "BuildOSConformance", "BuildOSCommands", "BuildOSDaemon", "LocalTransport", "TFTPStore",
                "TestSupport", "QEMUDirect", "QMP",
            ],
            swiftSettings: swift
        ),
        .testTarget(
            name: "BackendConformance",
            dependencies: [
                "BuildOSKit", "BuildOSConformance", "TestSupport",
                "CurlFetcher", "TFTPStore", "LocalTransport", "SSHRemote", "BtrfsStorage", "DirectoryStorage",
                "Libvirt",
                "QEMUDirect", "QMP",
            ],
            swiftSettings: swift,
            linkerSettings: carriesKitForModules
        ),
        .testTarget(
            name: "EndToEnd",
            dependencies: ["BuildOSKit", "LocalTransport", "TestSupport"],
            exclude: ["Fixtures"],
            swiftSettings: swift
        ),
    ]
)
