// swift-tools-version: 6.1
// Builds every backend as a loadable module. A package of its own, because SwiftPM links a package's
// own targets statically into each product: here the kit comes from a shared product instead, so a
// module holds nothing but its own objects. See docs/backend-authors-guide.md.
import PackageDescription

let swift: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The target's name differs from the library's product of the same sources, as SwiftPM wants names to be unique.
func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(
        name: "\(name)Module",
        dependencies: [.product(name: "BuildOSKitShared", package: "buildos")] + dependencies,
        path: "Sources/\(name)",
        swiftSettings: swift,
        linkerSettings: [.unsafeFlags(["-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/.."])]
    )
}

func c(_ name: String) -> Target.Dependency { .product(name: name, package: "buildos") }

/// A private copy in the module that names it: nothing of NIO's crosses the border.
func nio(_ name: String) -> Target.Dependency { .product(name: name, package: "swift-nio") }

let modules: [(name: String, target: Target)] = [
    ("CurlFetcher", [c("CCurl"), c("CCrypto")]),
    ("TFTPStore", [c("CTFTPFiles"), nio("NIOCore"), nio("NIOPosix")]),
    ("LocalTransport", [.product(name: "Subprocess", package: "swift-subprocess")]),
    ("SSHRemote", [c("CSSH2"), c("CCrypto")]),
    ("BtrfsStorage", [c("CBtrfsUtil")]),
    ("QEMUDirect", [c("QMP"), c("CProcess")]),
    ("DirectoryStorage", [c("CFiles")]),
    ("Libvirt", [c("CLibvirt")]),
].map { ($0, module($0, $1)) }

let package = Package(
    name: "buildos-modules",
    products: modules.map { .library(name: $0.name, type: .dynamic, targets: [$0.target.name]) },
    dependencies: [
        .package(name: "buildos", path: ".."),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
        .package(url: "https://github.com/apple/swift-nio", from: "2.80.0"),
    ],
    targets: modules.map(\.target)
)
