// swift-tools-version: 6.1
// Embeds the library: its policy, and two backends linked in like any other library.
import PackageDescription

let package = Package(
    name: "sync-toolchain",
    dependencies: [.package(name: "buildos", path: "../..")],
    targets: [
        .executableTarget(
            name: "sync-toolchain",
            dependencies: [
                .product(name: "BuildOSKit", package: "buildos"),
                .product(name: "CurlFetcher", package: "buildos"),
                .product(name: "TFTPStore", package: "buildos"),
            ]
        )
    ],
    swiftLanguageModes: [.v6]
)
