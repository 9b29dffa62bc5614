import BuildOSKit
import CurlFetcher
import Glibc
import TFTPStore

/// `sync-toolchain URL DIRECTORY`: publishes the toolchain of a checksums file as `DIRECTORY/default`.
@main
struct SyncToolchain {
    static func main() async {
        let arguments = CommandLine.arguments
        guard arguments.count == 3 else {
            complain("usage: sync-toolchain URL DIRECTORY")
            exit(2)
        }
        do {
            let store = try TFTPStore(root: FilePath(arguments[2]))
            try await store.recover()
            let sync = ToolchainSync(fetcher: try CurlFetcher(), store: store)
            switch try await sync.run(ToolchainSource(name: .default, url: ResourceURL(arguments[1]))) {
            case .disabled: print("disabled")
            case .published(let toolchain, let change):
                print("\(toolchain.version) in \(toolchain.directory)")
                print("fetched \(change.fetched.count), kept \(change.kept.count), removed \(change.removed.count)")
            }
        } catch {
            complain("sync-toolchain: \(error)")
            exit(1)
        }
    }

    private static func complain(_ text: String) {
        _ = try? FileDescriptor.standardError.writeAll("\(text)\n".utf8)
    }
}
