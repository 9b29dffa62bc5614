// swift-tools-version: 6.1
// What Benchmarks/storage runs: the storages as a program of their own.
import PackageDescription

let package = Package(
    name: "storage-tool",
    dependencies: [.package(name: "buildos", path: "../..")],
    targets: [
        .executableTarget(
            name: "storage-tool",
            dependencies: [
                .product(name: "BuildOSKit", package: "buildos"),
                .product(name: "BtrfsStorage", package: "buildos"),
                .product(name: "DirectoryStorage", package: "buildos"),
            ]
        )
    ],
    swiftLanguageModes: [.v6]
)
