import BuildOSKit
import Testing

@Suite("Build ids") struct BuildIDTests {
    @Test(
        "BOOT-8: error pages, empty files and portals are not build ids",
        arguments: [
            "", " ", "\n", "<!DOCTYPE html>", "<html>1234567890</html>", "404: Not Found", "Forbidden", "Unauthorized",
            "1234567", "OK", "20251123-äöü12345", String(repeating: "a1", count: 65), "a1b2c3d4 e5", "a1b2c3d4\u{0}",
        ]
    )
    func rejected(line: String) {
        #expect(BuildID(line) == nil)
        #expect(throws: BuildIDFile.ParseError.self) { try BuildIDFile(line) }
    }

    @Test(
        "BOOT-8: the first line counts, blanks around it don't",
        arguments: ["20251123.0a1b2c3d", " 20251123.0a1b2c3d \r\n", "20251123.0a1b2c3d\n"]
    )
    func accepted(text: String) throws {
        #expect(try BuildIDFile(text).id.description == "20251123.0a1b2c3d")
    }

    @Test("BOOT-12: the file gives the checksums of kernel and initrd")
    func checksums() throws {
        let file = try BuildIDFile(
            "20251123.0a1b2c3d\n\(String(repeating: "a", count: 64)) *buildos-image\n"
                + "\(String(repeating: "b", count: 64)) *buildos-initrd\n"
        )
        #expect(file.checksums["buildos-image"] == .of("a"))
        #expect(file.checksums["buildos-initrd"] == .of("b"))
    }

    @Test(
        "A build id file with anything but checksums after the first line is refused",
        arguments: ["<p>hello</p>", "abcd *buildos-image", "\(String(repeating: "a", count: 64)) *../../etc/passwd"]
    )
    func badChecksums(line: String) {
        #expect(throws: BuildIDFile.ParseError.self) { try BuildIDFile("20251123.0a1b2c3d\n\(line)\n") }
    }

    @Test("BOOT-12: what is written beside an image is what a host reads")
    func roundTrip() throws {
        let identity = ImageIdentity(
            buildID: String(repeating: "1f", count: 32),
            kernelDigest: String(repeating: "a", count: 64),
            initrdDigest: String(repeating: "b", count: 64)
        )
        let file = try BuildIDFile(identity.text)
        #expect(file.id.description == identity.buildID)
        #expect(file.checksums == [ImageFiles.kernelName: .of("a"), ImageFiles.initrdName: .of("b")])
    }
}
