import BuildOSKit
import Glibc

/// What every ``ArtifactStore`` must do.
public struct ArtifactStoreSuite: Sendable {
    private let makeStore: @Sendable (FilePath) throws -> any ArtifactStore
    private let parent: FilePath

    /// Creates a suite for one implementation.
    ///
    /// - Parameters:
    ///   - parent: the directory in which stores are made, to choose the file system.
    ///   - makeStore: makes a store that keeps its sets in a directory that may not exist yet.
    public init(
        in parent: FilePath = "/tmp",
        _ makeStore: @escaping @Sendable (FilePath) throws -> any ArtifactStore
    ) {
        self.parent = parent
        self.makeStore = makeStore
    }

    /// The checks, in the order in which they are best run.
    ///
    /// Those of a server have nothing to say of a store that serves nothing by TFTP.
    public var checks: [ConformanceCheck] { publishing + leavings + concurrency + reading + bounds + writing }

    private var publishing: [ConformanceCheck] {
        [
            check("a set that was never published isn't there") { store, _ in
                try require(try await store.published(Self.name("default")) == nil, "it is")
            },
            check("a published set has its files, links and directories under its name") { store, root in
                let published = try await Self.publish(store, "default", ["file": "one", "dir/inner": "two"])
                try require(published == root.appending("default"), "it is at \(published)")
                try require(try await store.published(Self.name("default")) == published, "it is elsewhere")
                try require(try FileTree.readText(published.appending("file")) == "one", "file differs")
                try require(try FileTree.readText(published.appending("dir/inner")) == "two", "inner differs")
                try require(try FileTree.readText(published.appending("link")) == "one", "link differs")
            },
            check("staged files are not seen before they are published") { store, root in
                _ = try await Self.stage(store, "default", ["file": "one"])
                try require(try await store.published(Self.name("default")) == nil, "it is published")
                try require(!FileTree.exists(root.appending("default")), "it is visible")
            },
            check("a later set replaces the whole of the earlier one; what is open reads on") { store, _ in
                let published = try await Self.publish(store, "default", ["file": "old", "only-old": "x"])
                let open = try FileDescriptor.open(published.appending("file"), .readOnly)
                defer { try? open.close() }
                _ = try await Self.publish(store, "default", ["file": "new"])
                try require(try FileTree.readText(published.appending("file")) == "new", "the old file is there")
                try require(!FileTree.exists(published.appending("only-old")), "an old file is left")
                var buffer = [UInt8](repeating: 0, count: 8)
                let count = try buffer.withUnsafeMutableBytes { try open.read(into: $0) }
                try require(String(decoding: buffer.prefix(count), as: UTF8.self) == "old", "the open file changed")
            },
            check("sets with similar names don't touch each other") { store, _ in
                for name in ["a", "a.1", "a.1.1", "a-b"] { _ = try await Self.publish(store, name, ["n": name]) }
                _ = try await Self.publish(store, "a", ["n": "again"])
                try await store.remove(Self.name("a.1"))
                for (name, text) in [("a", "again"), ("a.1.1", "a.1.1"), ("a-b", "a-b")] {
                    guard let set = try await store.published(Self.name(name)) else {
                        throw ConformanceFailure("\(name) is gone")
                    }
                    try require(try FileTree.readText(set.appending("n")) == text, "\(name) differs")
                }
            },
            check("a removed set is gone; removing it again is no error") { store, root in
                _ = try await Self.publish(store, "default", ["file": "one"])
                try await store.remove(Self.name("default"))
                try await store.remove(Self.name("default"))
                try require(try await store.published(Self.name("default")) == nil, "it is there")
                try require(!FileTree.exists(root.appending("default")), "it is visible")
            },
        ]
    }

    private var leavings: [ConformanceCheck] {
        [
            check("an abandoned set leaves nothing, and the published one as it was") { store, _ in
                let published = try await Self.publish(store, "default", ["file": "one"])
                let staging = try await Self.stage(store, "default", ["file": "two"])
                await store.abandon(staging)
                await store.abandon(staging)
                try require(!FileTree.exists(staging.directory), "the staging directory is left")
                try require(try FileTree.readText(published.appending("file")) == "one", "the file changed")
            },
            check("beginning anew gives an empty directory and drops the earlier one, which can't be published") {
                store,
                _ in
                let first = try await Self.stage(store, "default", ["file": "one"])
                let second = try await store.begin(Self.name("default"))
                try require(try FileTree.names(in: second.directory).isEmpty, "it is not empty")
                _ = try await store.publish(second)
                do {
                    _ = try await store.publish(first)
                    throw ConformanceFailure("a dropped staging was published")
                } catch is ArtifactStoreError {}
            },
            check("what isn't a staging directory of the store is not published") { store, root in
                let foreign = ArtifactStaging(set: try Self.name("default"), directory: root.appending("foreign"))
                try FileTree.makeDirectory(foreign.directory)
                do {
                    _ = try await store.publish(foreign)
                    throw ConformanceFailure("it was")
                } catch is ArtifactStoreError {}
                await store.abandon(foreign)
                try require(FileTree.exists(foreign.directory), "a foreign directory was removed")
            },
            check("after a crash, recovery drops what was staged and keeps what is published") { store, root in
                let published = try await Self.publish(store, "default", ["file": "one"])
                let staging = try await Self.stage(store, "other", ["file": "two"])
                let reopened = try makeStore(root)
                try await reopened.recover()
                try await reopened.recover()
                try require(!FileTree.exists(staging.directory), "the staging directory is left")
                try require(try FileTree.readText(published.appending("file")) == "one", "the file changed")
                _ = try await Self.publish(reopened, "default", ["file": "three"])
                try require(try FileTree.readText(published.appending("file")) == "three", "the file is old")
            },
            check("something else under a set's name is an error, and stays") { store, root in
                let other = root.appending("default")
                try FileTree.makeDirectory(other)
                try FileTree.write("precious", to: other.appending("file"))
                let staging = try await Self.stage(store, "default", ["file": "one"])
                do {
                    _ = try await store.publish(staging)
                    throw ConformanceFailure("it was replaced")
                } catch let error as ArtifactStoreError {
                    try require(error.path == other, "the error is about \(error.path)")
                }
                try require(try FileTree.readText(other.appending("file")) == "precious", "the file changed")
            },
        ]
    }

    private var concurrency: [ConformanceCheck] {
        [
            check("a reader sees one whole set while sets are switched under it") { store, root in
                guard store.capabilities.atomicSwitch else { return try passOver(notOffered: "atomic-switch") }
                _ = try await Self.publish(store, "default", ["a": "0", "b": "0"])
                let directory = root.appending("default")
                let reader = Task.detached {
                    var seen: Set<String> = []
                    while !Task.isCancelled || seen.isEmpty {
                        // A directory that is open stays the one it was.
                        let file = open(directory.string, O_RDONLY | O_DIRECTORY)
                        guard file >= 0 else { throw ConformanceFailure("the set was away for a moment") }
                        defer { close(file) }
                        let pair = ["a", "b"].map { Self.read($0, in: file) }
                        // A set removed in the meantime may have lost files, but never mixes two.
                        if let a = pair[0], let b = pair[1], a != b { throw ConformanceFailure("saw \(a) and \(b)") }
                        seen.formUnion(pair.compactMap(\.self))
                        await Task.yield()
                    }
                }
                for number in 1...50 {
                    _ = try await Self.publish(store, "default", ["a": "\(number)", "b": "\(number)"])
                }
                reader.cancel()
                try await reader.value
            },
            check("many sets are published side by side") { store, _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<16 {
                        group.addTask {
                            let set = try await Self.publish(store, "set\(number)", ["file": "\(number)"])
                            let text = try FileTree.readText(set.appending("file"))
                            try require(text == "\(number)", "set \(number) holds \(text)")
                        }
                    }
                    try await group.waitForAll()
                }
            },
        ]
    }

    /// A check of a server; the body gets a store and the directory in which the store's is.
    func serving(
        _ name: String,
        _ body: @escaping @Sendable (any ArtifactStore, FilePath) async throws -> Void
    ) -> ConformanceCheck {
        check(name) { store, root in
            guard store.capabilities.serves.contains("tftp") else { return try passOver(notOffered: "serves tftp") }
            try await body(store, root.removingLastComponent().removingLastComponent())
        }
    }

    private func check(
        _ name: String,
        _ body: @escaping @Sendable (any ArtifactStore, FilePath) async throws -> Void
    ) -> ConformanceCheck {
        ConformanceCheck(name) {
            try await withScratchDirectory(in: parent) { directory in
                let root = directory.appending("made").appending("root")
                let store = try makeStore(root)
                try await store.recover()
                try await body(store, root)
            }
        }
    }

    static func name(_ text: String) throws -> ArtifactSetName {
        guard let name = ArtifactSetName(text) else { throw ConformanceFailure("'\(text)' is not a name") }
        return name
    }

    private static func stage(
        _ store: any ArtifactStore,
        _ set: String,
        _ files: [String: String]
    ) async throws -> ArtifactStaging {
        let staging = try await store.begin(name(set))
        for (name, text) in files {
            let path = staging.directory.appending(name)
            try FileTree.makeDirectory(path.removingLastComponent())
            try FileTree.write(text, to: path)
        }
        if files["file"] != nil, symlink("file", staging.directory.appending("link").string) != 0 {
            throw ConformanceFailure("can't make a link in \(staging.directory)")
        }
        return staging
    }

    private static func publish(
        _ store: any ArtifactStore,
        _ set: String,
        _ files: [String: String]
    ) async throws -> FilePath {
        try await store.publish(stage(store, set, files))
    }

    private static func read(_ name: String, in directory: Int32) -> String? {
        let file = openat(directory, name, O_RDONLY)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 64)
        let count = Glibc.read(file, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}
