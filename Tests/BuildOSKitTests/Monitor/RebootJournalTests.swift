import BuildOSKit
import TestSupport
import Testing

@Suite("Reboot journal") struct RebootJournalTests {
    private let one: BuildID
    private let two: BuildID

    init() throws {
        one = try #require(BuildID("20251124-bbbbbbbb"))
        two = try #require(BuildID("20251125-cccccccc"))
    }

    @Test("BOOT-8: reboots for one build id are counted, those for another begin anew")
    func counts() async throws {
        try await withTemporaryDirectory { state in
            let journal = RebootJournal(state.appending("buildos").appending("reboot"))
            #expect(journal.last() == nil)
            try journal.note(one)
            try journal.note(one)
            #expect(journal.last() == RebootRecord(buildID: one, count: 2))
            try journal.note(two)
            #expect(journal.last() == RebootRecord(buildID: two, count: 1))
        }
    }

    @Test(
        "STOR-5: without a state disk, and from a damaged one, nothing is remembered",
        arguments: ["", "x", "20251124-bbbbbbbb", "20251124-bbbbbbbb 0", "20251124-bbbbbbbb -1", "<html> 1", "a b c"]
    )
    func damaged(content: String) async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.appending("state").appending("buildos").appending("reboot")
            try RebootJournal(path).note(one)
            #expect(!FileTree.exists(directory.appending("state")))
            try FileTree.makeDirectory(path.removingLastComponent())
            try FileTree.write(content, to: path)
            #expect(RebootJournal(path).last() == nil)
            try RebootJournal(path).note(one)
            #expect(RebootJournal(path).last()?.count == 1)
        }
    }
}
