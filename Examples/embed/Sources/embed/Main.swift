import BuildOSKit
import Glibc

/// `embed machines DIRECTORY` lists the build machines under a directory of volumes, and their images.
/// `embed sample DIRECTORY` makes a machine there to be listed.
/// `embed image DIRECTORY PREFIX` makes an OS image from the installation under a prefix (as root).
@main
struct Main {
    static func main() async {
        let arguments = CommandLine.arguments.dropFirst().map { FilePath($0) }
        do {
            switch (arguments.first, arguments.count) {
            case ("machines", 2):
                for line in try await MachineTable(of: arguments[1]).lines { print(line) }
            case ("sample", 2):
                try await makeSample(in: arguments[1])
            case ("image", 3):
                try await buildImage(in: arguments[1], from: arguments[2])
            default:
                complain("usage: embed machines DIRECTORY | sample DIRECTORY | image DIRECTORY PREFIX")
                exit(2)
            }
        } catch {
            // Every error of the library says what failed, why, and what to do about it.
            complain("embed: \(error)")
            exit(1)
        }
    }

    private static func complain(_ text: String) {
        _ = try? FileDescriptor.standardError.writeAll("\(text)\n".utf8)
    }
}
