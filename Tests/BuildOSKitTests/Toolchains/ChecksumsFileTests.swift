import BuildOSKit
import TestSupport
import Testing

@Suite("Checksums file") struct ChecksumsFileTests {
    private let sum = String(repeating: "ab", count: 32)
    private let other = String(repeating: "CD", count: 32)

    private func parse(_ text: String, _ url: String = "https://example.org/t/toolchain.sha256") throws -> ChecksumsFile
    {
        try ChecksumsFile(Array(text.utf8), from: ResourceURL(url))
    }

    private func expectRefusal(
        _ text: String,
        line: Int?,
        _ words: String,
        url: String = "https://example.org/t/toolchain.sha256",
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do {
            let file = try parse(text, url)
            Issue.record("accepted: \(file)", sourceLocation: sourceLocation)
        } catch let error as ChecksumsFileError {
            #expect(error.line == line, "\(error)", sourceLocation: sourceLocation)
            #expect(error.description.contains(words), "\(error)", sourceLocation: sourceLocation)
        } catch {
            Issue.record("\(error)", sourceLocation: sourceLocation)
        }
    }

    @Test("TOOL-1: the manual's example: comment, paths, version from the first entry")
    func manualExample() throws {
        let file = try parse(
            """
            # toolchain.sha256

            \(sum) *0.4.0/build2-toolchain-0.4.0.tar.xz
            \(other) *0.4.0/build2-baseutils-0.4.0-x86_64-windows.zip
            \(sum) *0.4.0/build2-mingw-0.4.0-x86_64-windows.tar.xz

            """
        )
        guard case .toolchain(let version, let archive, let others) = file.content else {
            Issue.record("disabled")
            return
        }
        #expect(version.description == "0.4.0")
        #expect(archive.path.description == "0.4.0/build2-toolchain-0.4.0.tar.xz")
        #expect(archive.line == 3)
        #expect(others.map(\.line) == [4, 5])
        #expect(others[0].digest.hexadecimal == other.lowercased())
        #expect(
            file.entries.map(\.predictableName) == [
                "build2-toolchain-tar.xz", "build2-baseutils-x86_64-windows.zip",
                "build2-mingw-x86_64-windows.tar.xz",
            ]
        )
    }

    @Test("TOOL-1: a first line 'disabled' disables the toolchain, whatever follows; a later one is an error")
    func disabled() throws {
        #expect(try parse("disabled\n").content == .disabled)
        #expect(try parse("# closed for now\n\ndisabled\nrubbish\n").content == .disabled)
        expectRefusal("\(sum) *build2-toolchain-0.4.0.tar.xz\ndisabled\n", line: 2, "'<sum> *<path>'")
    }

    @Test(
        "TOOL-1: the algorithm comes from the extension",
        arguments: DigestAlgorithm.allCases
    )
    func algorithms(algorithm: DigestAlgorithm) throws {
        let sum = String(repeating: "0", count: 2 * algorithm.byteCount)
        let text = "\(sum) *build2-toolchain-0.18.0-a.1.tar.gz\r\n"
        let file = try parse(text, "http://h/toolchain.\(algorithm.rawValue)")
        #expect(file.entries.map(\.digest.algorithm) == [algorithm])
        expectRefusal(
            "00\(text)",
            line: 1,
            "has \(2 * algorithm.byteCount) digits, this one \(2 * algorithm.byteCount + 2)",
            url: "http://h/toolchain.\(algorithm.rawValue)"
        )
    }

    @Test("TOOL-4: an unknown algorithm is refused", arguments: ["md5", "sha", "SHA256", "txt", "sha3-256"])
    func unknownAlgorithm(name: String) {
        expectRefusal("", line: nil, "names no known algorithm", url: "http://h/toolchain.\(name)")
        expectRefusal("", line: nil, "names no known algorithm", url: "http://h/sha256")
    }

    @Test(
        "TOOL-4: a path that is absolute or leaves the directory is refused with its line",
        arguments: [
            "../../etc/passwd", "/etc/passwd", "a/../../b", "./x", "a//b", "..", "a/..", "x\u{1}y", "a\\b", "-rf", "",
        ]
    )
    func escapingPath(path: String) {
        expectRefusal("\(sum) *build2-toolchain-0.4.0.tar.xz\n#\n\(sum) *\(path)\n", line: 3, "path '")
    }

    @Test("TOOL-4: two entries that would share a name are refused, with both lines")
    func duplicates() {
        let first = "\(sum) *0.4.0/build2-toolchain-0.4.0.tar.xz\n"
        expectRefusal(first + "\(sum) *0.4.0/build2-toolchain-0.4.0.tar.xz\n", line: 2, "line 1")
        expectRefusal(first + "\(sum) *other/build2-toolchain-0.4.0.tar.xz\n", line: 2, "line 1")
        expectRefusal(first + "\(sum) *a-0.4.0-b\n\(sum) *a-b\n", line: 3, "of line 2 would both be named 'a-b'")
        expectRefusal(first + "\(sum) *a-0.4.0.b\n\(sum) *a-0.4.0-b\n", line: 3, "'a-b'")
        expectRefusal(first + "\(sum) *build2-toolchain-tar.xz\n", line: 2, "line 1")
    }

    @Test("TOOL-4: names that the host uses, and hidden ones, are refused")
    func reservedNames() {
        let first = "\(sum) *build2-toolchain-0.4.0.tar.xz\n"
        for name in ["version", "trust", "x/version", "trust-0.4.0"] {
            expectRefusal(first + "\(sum) *\(name)\n", line: 2, "a name the host uses itself")
        }
        expectRefusal(first + "\(sum) *.checksums\n", line: 2, "hidden")
    }

    @Test("TOOL-4: what isn't '<sum> *<path>' is refused with its line")
    func malformed() {
        expectRefusal("<html><body>404</body></html>", line: 1, "'<sum> *<path>'")
        expectRefusal("\(sum)  build2-toolchain-0.4.0.tar.xz\n", line: 1, "no '*'")
        expectRefusal("\(sum)*build2-toolchain-0.4.0.tar.xz\n", line: 1, "'<sum> *<path>'")
        expectRefusal("\\\(sum) *build2-toolchain-0.4.0.tar.xz\n", line: 1, "'<sum> *<path>'")
        expectRefusal(" \(sum) *build2-toolchain-0.4.0.tar.xz\n", line: 1, "'<sum> *<path>'")
        expectRefusal("", line: nil, "lists no files")
        expectRefusal("#\n\n \t\n", line: nil, "lists no files")
        expectRefusal("a\0b", line: nil, "not UTF-8 text")
        #expect(throws: ChecksumsFileError.self) {
            try ChecksumsFile([0x61, 0xff, 0x0a], from: ResourceURL("http://h/t.sha256"))
        }
    }

    @Test(
        "TOOL-1: a first entry that is not a toolchain archive is refused",
        arguments: [
            "build2-0.4.0.tar.xz", "build2-toolchain-0.4.0.zip", "build2-toolchain-.tar.xz",
            "build2-toolchain-latest.tar.xz", "build2-toolchain-0.4.tar.xz", "build2-toolchain-0.4.0-.tar.xz",
        ]
    )
    func notAnArchive(name: String) {
        expectRefusal("\(sum) *\(name)\n", line: 1, "not a toolchain archive")
    }

    @Test("TOOL-4: a checksums file over 1 MiB is refused before it is read")
    func tooLarge() throws {
        let line = Array("# filler\n".utf8)
        let bytes = Array(repeatElement(line, count: ChecksumsFile.maximumBytes / line.count + 1).joined())
        #expect(throws: ChecksumsFileError.self) {
            try ChecksumsFile(bytes, from: ResourceURL("http://h/t.sha256"))
        }
    }

    @Test("No bytes crash the parser, and what it accepts keeps its promises")
    func anyBytes() throws {
        let url = try ResourceURL("http://h/t.sha1")
        var random = SeededGenerator(seed: 4)
        let pieces =
            [
                "disabled", "\n", "\r", "#", " *", "../", "/", "build2-toolchain-", "0.4.0", ".tar.xz", "\0", "é",
                String(repeating: "a", count: 40), "\u{202e}", "\\", "-", "version",
            ].map { Array($0.utf8) } + [[0xff], [0xc3]]
        for _ in 0..<5_000 {
            let count = Int.random(in: 0..<24, using: &random)
            let bytes = (0..<count).flatMap { _ in pieces.randomElement(using: &random) ?? [] }
            guard let file = try? ChecksumsFile(bytes, from: url) else { continue }
            let names = file.entries.flatMap { [$0.fileName, $0.predictableName].compactMap(\.self) }
            #expect(Set(names).count == names.count)
            #expect(!names.contains { $0.contains("/") || $0 == ".." })
        }
    }
}

@Suite("Toolchain version") struct ToolchainVersionTests {
    @Test(
        "TOOL-2: the predictable name is the name without the version",
        arguments: [
            ("0.4.0", "build2-toolchain-0.4.0.tar.xz", "build2-toolchain-tar.xz"),
            ("0.4.0", "build2-baseutils-0.4.0-x86_64-windows.zip", "build2-baseutils-x86_64-windows.zip"),
            ("0.4.0", "build2-mingw-0.4.0-x86_64-windows.tar.xz", "build2-mingw-x86_64-windows.tar.xz"),
            (
                "0.19.0-a.0.20260601123456.abcdef123456",
                "build2-toolchain-0.19.0-a.0.20260601123456.abcdef123456.tar.xz", "build2-toolchain-tar.xz"
            ),
            ("0.4.0", "notes-0.4.0", "notes"),
            ("0.17.0+1", "build2-toolchain-0.17.0+1.tar.gz", "build2-toolchain-tar.gz"),
            ("0.4.0", "build2-mingw-10.4.0.zip", nil),
            ("0.4.0", "build2-mingw-0.4.0.1.zip", nil),
            ("0.4.0", "build2-mingw.zip", nil),
            ("0.4.0", "0.4.0", nil),
            ("0.4.0", "0.4.0-.hidden", nil),
        ] as [(String, String, String?)]
    )
    func predictableNames(version: String, name: String, expected: String?) throws {
        #expect(try #require(ToolchainVersion(version)).predictableName(for: name) == expected)
    }

    @Test("What a version may look like")
    func versions() {
        for text in ["0.4.0", "0.18.0-a.1", "0.18.0-b.2.z", "1.0.0+1", "0.19.0-a.0.20260601123456.abcdef123456"] {
            #expect(ToolchainVersion(text)?.description == text)
        }
        for text in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.2.3-", "v1.2.3", "1.2.3/..", "1.2.3 ", "-1.2.3", "1..3"] {
            #expect(ToolchainVersion(text) == nil, "\(text)")
        }
    }
}
