import BuildOSKit
import Glibc
import TestSupport
import Testing

@Suite struct FileTreeTests {
    @Test func writingReplacesWholeAndLeavesNothingElse() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("status.json")
            try FileTree.write("old", to: file)
            try FileTree.write("new", to: file)
            #expect(try FileTree.readText(file) == "new")
            #expect(try FileTree.names(in: directory) == ["status.json"])
        }
    }

    @Test func aFailedWriteLeavesTheOldContentAndSaysWhy() async throws {
        try await withTemporaryDirectory { directory in
            let target = directory.appending("is-a-directory")
            try FileTree.makeDirectory(target.appending("full"))
            let error = #expect(throws: FileError.self) { try FileTree.write("x", to: target) }
            #expect(error?.description.contains("is-a-directory") == true)
            #expect(try FileTree.names(in: directory) == ["is-a-directory"])
        }
    }

    @Test func readingIsBounded() async throws {
        try await withTemporaryDirectory { directory in
            let file = directory.appending("large")
            try FileTree.write([UInt8](repeating: 1, count: 100_000), to: file)
            let error = #expect(throws: FileError.self) { try FileTree.read(file, limit: 99_999) }
            #expect(error?.errno == .fileTooLarge)
            #expect(try FileTree.read(file, limit: 100_000).count == 100_000)
        }
    }

    @Test func removingNeverFollowsALink() async throws {
        try await withTemporaryDirectory { directory in
            let precious = directory.appending("precious")
            let tree = directory.appending("tree")
            try FileTree.makeDirectory(precious)
            try FileTree.write("keep", to: precious.appending("file"))
            try FileTree.makeDirectory(tree.appending("a/b/c"))
            try FileTree.write("x", to: tree.appending("a/b/c/d"))
            try symlink("../precious", at: tree.appending("out"))
            try FileTree.remove(tree)
            #expect(try FileTree.names(in: directory) == ["precious"])
            #expect(try FileTree.readText(precious.appending("file")) == "keep")
            try FileTree.remove(tree)
        }
    }

    private func symlink(_ target: String, at path: FilePath) throws {
        guard Glibc.symlink(target, path.string) == 0 else { throw Errno(rawValue: Glibc.errno) }
    }
}
