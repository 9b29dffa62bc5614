import TestSupport
import Testing

@testable import BuildOSKit

@Suite("Archive listing") struct ArchiveListingTests {
    private func line(_ kind: String, _ name: String, size: Int = 1) -> String {
        "\(kind)rwxr-xr-x 1000/1000 \(size) 2023-11-14 22:13:20 \(name)"
    }

    private func expectRefusal(
        _ lines: [String],
        _ words: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        do throws(ArchiveListing.Refusal) {
            let listing = try ArchiveListing(lines.joined(separator: "\n") + "\n")
            Issue.record("accepted with top \(listing.top)", sourceLocation: sourceLocation)
        } catch {
            #expect(error.reason.contains(words), "\(error.reason)", sourceLocation: sourceLocation)
        }
    }

    @Test("TOOL-5: files, directories and links inside the one top directory are accepted")
    func accepted() throws {
        let listing = try ArchiveListing(
            [
                line("d", "./"), line("d", "top/"), line("-", "top/build.sh"), line("-", "./top/a b"),
                line("l", "top/link -> build.sh"), line("l", "top/a/b/up -> ../../build.sh"),
                line("l", "top/a/here -> ."), line("l", "top/a/up -> ../"), line("l", "top/x -> a/./b"),
                line("h", "top/hard link to top/build.sh"), line("-", "top/..."), line("-", "top/a..b"),
            ].joined(separator: "\n")
        )
        #expect(listing.top == "top")
    }

    @Test("Bad input: absolute paths and paths out of the directory in an archive are refused")
    func paths() {
        expectRefusal([line("-", "/etc/passwd")], "'/etc/passwd' is absolute")
        expectRefusal([line("d", "top/"), line("-", "top/../../etc/passwd")], "leads out")
        expectRefusal([line("-", "../x")], "leads out")
        expectRefusal([line("-", "top/x/..")], "leads out")
        expectRefusal([line("-", "a/x"), line("-", "b/x")], "more than one top directory: 'a' and 'b'")
    }

    @Test("Bad input: links out of the directory in an archive are refused, however they go about it")
    func links() {
        for target in ["/etc", "..", "../..", "../other", "a/../../..", "a/..", "../../x", "./..", ""] {
            expectRefusal([line("l", "top/link -> \(target)")], "leads out of its directory")
        }
        expectRefusal([line("l", "top/a/link -> ../..")], "leads out of its directory")
        expectRefusal([line("l", "top -> elsewhere")], "leads out of its directory")
        expectRefusal([line("l", "top/a -> b -> c")], "can't be understood")
        expectRefusal([line("h", "top/hard link to /etc/passwd")], "absolute")
        expectRefusal([line("h", "top/hard link to ../x")], "leads out")
        expectRefusal([line("h", "top/hard link to other/x")], "more than one top directory")
        expectRefusal([line("l", "top/l -> a"), line("-", "top/l/x")], "leads through a link")
        expectRefusal([line("-", "top/l/x"), line("l", "top/l -> a")], "leads through a link")
        expectRefusal([line("l", "top/l -> a"), line("h", "top/x link to top/l/y")], "leads through a link")
        expectRefusal([line("l", "top/l -> a"), line("-", "top/l")], "twice")
        expectRefusal([line("l", "top/l -> a"), line("l", "top/l -> b")], "twice")
    }

    @Test("Bad input: devices, pipes, too much and rubbish in an archive are refused")
    func others() {
        for kind in ["b", "c", "p", "s", "M", "V"] {
            expectRefusal([line(kind, "top/x")], "neither a file nor a directory nor a link")
        }
        expectRefusal([line("-", "top/x", size: 9 << 30)], "larger than 8 GiB")
        expectRefusal([line("-", "top/x", size: 5 << 30), line("-", "top/y", size: 5 << 30)], "larger than 8 GiB")
        expectRefusal(["tar: rubbish"], "can't be understood")
        expectRefusal([], "it is empty")
    }

    @Test("No listing crashes the check") func anyLines() {
        var random = SeededGenerator(seed: 7)
        let pieces = [
            "l", "-", "d", " ", "top", "/", "..", " -> ", " link to ", "0/0 1 2023-11-14 22:13:20 ", "\n", "\\n",
        ]
        for _ in 0..<5_000 {
            let count = Int.random(in: 0..<20, using: &random)
            let text = (0..<count).compactMap { _ in pieces.randomElement(using: &random) }.joined()
            guard let listing = try? ArchiveListing(text) else { continue }
            #expect(!listing.top.contains("/") && listing.top != "..")
        }
    }

    @Test("TOOL-5: the repository is read from build.sh, which is not run to find out") func repository() {
        func value(_ script: String) -> String? { BootstrapRun.embeddedRepository(in: script) }
        #expect(
            value("if test -z \"$BUILD2_REPO\"; then\n  BUILD2_REPO=\"https://pkg.example.org/1/alpha\"\nfi\n")
                == "https://pkg.example.org/1/alpha"
        )
        for script in [
            "", "BUILD2_REPO=\"$1\"", "BUILD2_REPO=\"\"", "BUILD2_REPO=\"`id`\"", "BUILD2_REPO=\"-x\"",
            "#BUILD2_REPO=\"x\"",
        ] {
            #expect(value(script) == nil, "\(script)")
        }
    }
}

@Suite("Bounded log") struct BoundedLogTests {
    @Test("TOOL-5: a log keeps its beginning and its end, and the log before") func bounds() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.appending("logs/toolchain.log")
            let first = try BoundedLog(path, limit: 1000)
            first.append("first attempt")
            first.close()
            let second = try BoundedLog(path, limit: 1000)
            for number in 1...10_000 { second.append("line \(number)") }
            second.append("  ")
            #expect(second.lastLines(2) == ["line 9999", "line 10000"])
            second.close()
            let text = try FileTree.readText(path)
            #expect(text.hasPrefix("line 1\nline 2\n") && text.hasSuffix("line 10000\n  \n"))
            #expect(text.contains("lines left out]") && text.utf8.count < 10_000)
            #expect(try FileTree.readText(FilePath("\(path).1")) == "first attempt\n")
        }
    }
}
