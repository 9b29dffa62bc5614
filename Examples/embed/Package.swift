// swift-tools-version: 6.1
// Embeds the library: its policy, and backends linked in like any other library. No module is loaded at run time.
import PackageDescription

let package = Package(
    name: "embed",
    dependencies: [.package(name: "buildos", path: "../..")],
    targets: [
        .executableTarget(
            name: "embed",
            dependencies: [
                .product(name: "BuildOSKit", package: "buildos"),
                .product(name: "BtrfsStorage", package: "buildos"),
                .product(name: "DirectoryStorage", package: "buildos"),
                .product(name: "LocalTransport", package: "buildos"),
            ]
        )
    ],
    swiftLanguageModes: [.v6]
)
