import BtrfsStorage
import BuildOSKit
import DirectoryStorage

/// `storage-tool BACKEND list DIRECTORY…`, `clean ROOT`, `send SUBVOLUME FORMAT [PARENT]` to standard output, or
/// `receive DIRECTORY` from standard input.
@main
struct Main {
    static func main() async throws {
        var arguments = CommandLine.arguments.dropFirst()
        let backend = arguments.popFirst()
        let storage: any MachineStorage = backend == "directory" ? DirectoryStorage() : try BtrfsStorage()
        let verb = arguments.popFirst()
        let operands = Array(arguments)
        switch (verb, operands.count) {
        case ("list", 1...):
            var count = 0
            for directory in operands { count += try await storage.subvolumes(in: FilePath(directory)).count }
            print(count)
        case ("clean", 1):
            let layout = MachineLayout(root: FilePath(operands[0]))
            let report = await MachineCleaner(storage: storage, layout: layout, toolchains: []).run()
            print(report.removed.count, report.problems.joined(separator: "\n"))
        case ("send", 2...3):
            let parent = operands.count == 3 ? FilePath(operands[2]) : nil
            try await storage.send(
                SendRequest(FilePath(operands[0]), parent: parent, format: operands[1]),
                to: .standardOutput,
                progress: nil
            )
        case ("receive", 1):
            print(try await storage.receive(from: .standardInput, into: FilePath(operands[0]), progress: nil).path)
        default:
            print("see the source for what it takes")
        }
    }
}
