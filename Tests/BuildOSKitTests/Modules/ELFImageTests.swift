import TestSupport
import Testing

@testable import BuildOSKit

@Suite("BACK-4: what a module file claims is checked before it is mapped") struct ELFImageTests {
    private static let library: (head: [UInt8], size: UInt64)? = {
        guard let bytes = try? FileTree.read("/lib/x86_64-linux-gnu/libc.so.6", limit: 1 << 26) else { return nil }
        return (Array(bytes.prefix(8192)), UInt64(bytes.count))
    }()

    @Test func aRealLibraryPasses() throws {
        let library = try #require(Self.library)
        try ELFImage.check(head: library.head, fileSize: library.size)
    }

    @Test("a library cut anywhere is found to be", arguments: [65, 1000, 8192, 100_000])
    func cut(size: Int) throws {
        let library = try #require(Self.library)
        #expect(throws: ELFImage.Problem.self) {
            try ELFImage.check(head: Array(library.head.prefix(size)), fileSize: UInt64(size))
        }
    }

    @Test("no header bytes crash the check", arguments: 0..<200)
    func anyBytes(seed: UInt64) throws {
        var generator = SeededGenerator(seed: seed)
        var head = try #require(Self.library).head
        for _ in 0..<Int.random(in: 1...40, using: &generator) {
            head[Int.random(in: 4..<512, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
        }
        head.removeLast(Int.random(in: 0...head.count, using: &generator))
        _ = try? ELFImage.check(head: head, fileSize: UInt64.random(in: 0...UInt64.max, using: &generator))
    }
}
