import BuildOSKit
import Testing

extension EndToEndTests {
    /// The lab by itself: when a host fails to boot, it shouldn't be for this.
    @Suite("0. The lab", .serialized)
    struct Boot0Lab {
        @Test("The lab's servers answer: web, boot, names, mail")
        func serversAnswer() async throws {
            let lab = try Lab.current
            try FileTree.write("hello", to: lab.web.appending("hello"))
            try FileTree.write("boot", to: lab.tftp.appending("hello"))
            #expect(try await lab.check("curl", ["-sSf", "http://\(Lab.address)/hello"]) == "hello")
            #expect(try await lab.check("curl", ["-sSf", "tftp://\(Lab.address)/hello"]) == "boot")
            let letter = lab.directory.appending("letter")
            try FileTree.write("Subject: hello\n\n.dot\n", to: letter)
            try await lab.check(
                "curl",
                [
                    "-sSf", "smtp://\(Lab.address)/lab", "--mail-from", "a@lab", "--mail-rcpt", "b@lab",
                    "--crlf", "--upload-file", letter.string,
                ]
            )
            let mail = try await lab.mail(with: ["Subject: hello"], within: .seconds(10))
            #expect(mail == "X-Sender: <a@lab>\nX-Recipient: <b@lab>\nSubject: hello\n\n.dot\n")
        }

        @Test("BOOT-10: the image is begun a second time, for suite 5 to compare")
        func beginSecondImage() throws {
            try Lab.current.secondImage.begin()
        }

        @Test("The lab can't be reached from outside, nor the outside from it")
        func isolation() async throws {
            let lab = try Lab.current
            let links = try await lab.check("ip", ["-o", "link"])
            #expect(Set(links.split(separator: "\n").map { $0.split(separator: " ")[1] }) == ["lo:", "lab0:"])
        }
    }
}
