import BuildOSKit
import Testing

@testable import TFTPStore

@Suite("What a TFTP server answers to whom") struct RequestPolicyTests {
    private func decide(
        _ name: String,
        _ direction: ArtifactTransfer.Direction = .read,
        readable: Set<String>? = nil,
        withheld: Set<String> = [],
        uploads: UploadRules? = nil
    ) -> RequestPolicy.Decision {
        let configuration = ArtifactServerConfiguration(
            endpoint: ServerEndpoint(host: "127.0.0.1", port: 0),
            readRoot: "/nowhere",
            readableNames: readable,
            withheldNames: withheld,
            uploads: uploads
        )
        return RequestPolicy(configuration).decide(
            TFTPRequest(direction: direction, name: name, mode: .octet, options: [])
        )
    }

    @Test("names are relative, whether they begin with slashes or not", arguments: ["a/b", "/a/b", "//a//b"])
    func relative(name: String) throws { #expect(decide(name) == .read(try RelativePath("a/b"))) }

    @Test(
        "names that could leave the root, or are hidden, are refused",
        arguments: ["", "/", ".", "..", "../a", "a/../b", "/a/./b", "a\\b", "-a", ".staging/a", "a/.b", "a\u{7}"]
    ) func refused(name: String) {
        guard case .refuse = decide(name) else {
            Issue.record("\(name) was not refused")
            return
        }
    }

    @Test("a slash is one whatever follows it, and so is a dot") func accents() throws {
        let rules = UploadRules(directory: "/nowhere", maximumBytes: 10)
        #expect(decide("/\u{301}a", .write, uploads: rules) == .write("\u{301}a"))
        for decision in [
            decide("a/\u{301}b", .write, uploads: rules), decide(".\u{301}a", .write, uploads: rules),
            decide("..\u{301}/a"), decide("-\u{301}a"),
        ] {
            guard case .refuse = decision else {
                Issue.record("\(decision)")
                continue
            }
        }
        #expect(throws: RelativePath.ParseError.self) { try RelativePath("/\u{301}a") }
        #expect(try RelativePath("a/\u{301}b").components.count == 2)
    }

    @Test("BOT-3: only named files are read and written, and withheld ones are neither") func names() throws {
        let rules = UploadRules(directory: "/nowhere", names: ["result"], maximumBytes: 10)
        #expect(decide("task", readable: ["task"]) == .read(try RelativePath("task")))
        #expect(decide("/result", .write, uploads: rules) == .write("result"))
        #expect(decide("task", withheld: ["task"]) == .withhold)
        #expect(decide("result", .write, withheld: ["result"], uploads: rules) == .withhold)
        for decision in [
            decide("other", readable: ["task"]), decide("result", .write), decide("other", .write, uploads: rules),
            decide("a/result", .write, uploads: rules),
        ] {
            guard case .refuse(let refusal) = decision else {
                Issue.record("\(decision)")
                continue
            }
            #expect(refusal.code == .accessViolation)
        }
    }
}
