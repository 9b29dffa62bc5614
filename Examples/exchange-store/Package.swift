// swift-tools-version: 6.1
// A backend of somebody else's, built as a module: libExchangeStore.so. See docs/backend-authors-guide.md.
import PackageDescription

let package = Package(
    name: "exchange-store",
    products: [.library(name: "ExchangeStore", type: .dynamic, targets: ["ExchangeStore"])],
    dependencies: [.package(name: "buildos", path: "../..")],
    targets: [
        .target(name: "CExchange"),
        .target(
            name: "ExchangeStore",
            dependencies: [
                // The shared kit, and nothing else whose types cross the border.
                .product(name: "BuildOSKitShared", package: "buildos"),
                "CExchange",
            ]
        ),
    ],
    swiftLanguageModes: [.v6]
)
