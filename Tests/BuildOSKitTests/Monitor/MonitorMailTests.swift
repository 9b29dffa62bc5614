import BuildOSKit
import Testing

@Suite("Monitor: mail") struct MonitorMailTests {
    @Test("MAIL-2: a message goes to root, names the host and the build, and is marked as generated")
    func rendered() {
        let text = MonitorMail(subject: "reboot for an update", paragraphs: ["Reason: new OS."])
            .rendered(host: "build-1", buildID: BuildID("20251123-aaaaaaaa"))
        #expect(
            text == """
                To: root
                Subject: [build-1] reboot for an update
                Auto-Submitted: auto-generated
                MIME-Version: 1.0
                Content-Type: text/plain; charset=utf-8
                Content-Transfer-Encoding: 8bit

                Reason: new OS.

                Sent by the monitor of build-1, build id 20251123-aaaaaaaa.

                """
        )
    }

    @Test(
        "MAIL-2: nothing in a subject or a host name can add a header or end the message",
        arguments: ["x\nBcc: everybody@example.org", "x\r\nBcc: a@b", "x\u{0}y", "x\u{2028}Bcc: a@b", "ä\n.\nQUIT"]
    )
    func injection(text: String) {
        let mail = MonitorMail(subject: text, paragraphs: [text]).rendered(host: text, buildID: nil)
        let head = mail.prefix(while: { _ in true }).split(separator: "\n\n", maxSplits: 1)[0]
        #expect(head.split(whereSeparator: \.isNewline).count == 6)
        #expect(!head.contains("\r"))
        #expect(!mail.split(separator: "\n", omittingEmptySubsequences: false).contains("."))
    }

    @Test("Long lines are broken, words without blanks are cut")
    func wrapping() {
        let words = String(repeating: "seven77 ", count: 40)
        let mail = MonitorMail(subject: "s", paragraphs: [words, String(repeating: "w", count: 5000)])
            .rendered(host: "h", buildID: nil)
        let lines = mail.split(separator: "\n")
        #expect(lines.allSatisfy { $0.count <= 200 })
        #expect(lines.filter { $0.contains("seven77") }.allSatisfy { $0.count <= 78 })
        #expect(lines.joined().filter { $0 == "w" }.count == 5000)
    }
}
