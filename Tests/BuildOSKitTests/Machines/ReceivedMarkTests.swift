import TestSupport
import Testing

@testable import BuildOSKit

@Suite("Marks of received images") struct ReceivedMarkTests {
    @Test("MACH-2: a mark without its image goes, and one whose writing was cut short; others stay")
    func orphans() async throws {
        try await withTemporaryDirectory { directory in
            try FileTree.makeDirectory(directory.appending("linux-1.0"))
            let marks = ["linux-1.0.whole", "linux-1.1.whole", "linux-1.0.whole.tmp-513", "linux-1.2.whole.tmp-7"]
            for name in marks { try FileTree.write("", to: directory.appending(name)) }
            try ReceivedMark.removeOrphans(in: directory)
            #expect(try Set(FileTree.names(in: directory)) == ["linux-1.0", "linux-1.0.whole"])
        }
    }
}
