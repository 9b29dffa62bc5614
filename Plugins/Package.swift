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

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(
        name: name,
        dependencies: [.product(name: "BuildOSKitShared", package: "buildos")] + dependencies,
        swiftSettings: swift,
        linkerSettings: [.unsafeFlags(["-Xlinker", "-rpath", "-Xlinker", "$ORIGIN/.."])]
    )
}

func c(_ name: String) -> Target.Dependency { .product(name: name, package: "buildos") }

let modules: [Target] = [
    module("CurlFetcher", [c("CCurl"), c("CCrypto")]),
    module("TFTPStore"),
    module("LocalTransport", [.product(name: "Subprocess", package: "swift-subprocess")]),
    module("BtrfsStorage", [c("CBtrfsUtil")]),
]

let package = Package(
    name: "buildos-modules",
    products: modules.map { .library(name: $0.name, type: .dynamic, targets: [$0.name]) },
    dependencies: [
        .package(name: "buildos", path: ".."),
        .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2", traits: []),
    ],
    targets: modules
)
