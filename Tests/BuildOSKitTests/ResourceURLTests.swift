import BuildOSKit
import Testing

@Suite struct ResourceURLTests {
    @Test(
        "a toolchain file is taken as relative to the checksums file",
        arguments: [
            ("https://example.org/toolchain.sha256", "https://example.org/0.4.0/a+b.tar.xz"),
            ("tftp://10.0.0.1/x/y/toolchain.sha256", "tftp://10.0.0.1/x/y/0.4.0/a+b.tar.xz"),
            ("http://[::1]:8080/t.sha1?x=/y", "http://[::1]:8080/0.4.0/a+b.tar.xz"),
            ("http://example.org", "http://example.org/0.4.0/a+b.tar.xz"),
        ]
    )
    func sibling(url: String, expected: String) throws {
        #expect(try ResourceURL(url).sibling(RelativePath("0.4.0/a+b.tar.xz")).description == expected)
    }

    @Test(
        "CONF-4: a malformed URL is refused",
        arguments: [
            "", "example.org/x", "ftp://example.org/x", "http://", "http:///x", "http://ex ample/x", "http://a:0/x",
            "http://a:65536/", "http://user:secret@a/", "http://a/#b", "http://[::1/x", "file://host/x", "http://a\n/",
        ]
    )
    func refused(text: String) {
        #expect(throws: ResourceURL.ParseError.self) { try ResourceURL(text) }
    }

    @Test(
        "TOOL-4: a path that leaves the directory is refused",
        arguments: [
            "", "/etc/passwd", "../../etc/passwd", "a/../b", "a//b", "./a", "a/", "a\\b", "a\nb", "-rf", "a/-b",
            "a\u{202E}b",
        ]
    )
    func leaving(text: String) {
        #expect(throws: RelativePath.ParseError.self) { try RelativePath(text) }
    }

    @Test func percentEncoding() throws {
        #expect(try RelativePath("a b/ü?%.xz").percentEncoded == "a%20b/%C3%BC%3F%25.xz")
    }
}
