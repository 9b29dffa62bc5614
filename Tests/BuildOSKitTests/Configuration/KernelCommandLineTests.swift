import BuildOSKit
import TestSupport
import Testing

@Suite struct KernelCommandLineTests {
    /// What `next_arg` of Linux 6.1 does with each line; obtained by compiling that function.
    @Test(
        "CONF-2: quoting is the kernel's",
        arguments: [
            ("", []),
            ("  \t\n", []),
            ("quiet", [("quiet", nil)]),
            ("a=b  c=d\n", [("a", "b"), ("c", "d")]),
            ("a=\"b c\" d", [("a", "b c"), ("d", nil)]),
            ("\"a=b c\" d", [("a", "b c"), ("d", nil)]),
            ("\"a=b\"", [("a", "b")]),
            ("a=b\" \"c", [("a", "b\" \"c")]),
            ("a=\"b\"c d", [("a", "b\"c"), ("d", nil)]),
            ("a=\"b c", [("a", "b c")]),
            ("a=\"", [("a", "")]),
            ("a=\"\"", [("a", "")]),
            ("\"\"", [("", nil)]),
            ("\"", [("", nil)]),
            ("=b", [("=b", nil)]),
            ("a==b", [("a", "=b")]),
            ("a=\\\"b c\\\" d", [("a", "\\\"b c\\\""), ("d", nil)]),
            ("a=b=\"c d\"", [("a", "b=\"c d\"")]),
            ("x\" \"y=1", [("x\" \"y", "1")]),
            ("\"a=\"b c", [("a", "b"), ("c", nil)]),
        ] as [(String, [(String, String?)])]
    )
    func quoting(line: String, expected: [(String, String?)]) {
        let parameters = KernelCommandLine(line).parameters
        #expect(parameters.map(\.name) == expected.map(\.0))
        #expect(parameters.map(\.value) == expected.map(\.1))
    }

    @Test("CONF-2: what follows '--' is for init, and a zero byte ends the line")
    func endOfParameters() {
        let line = KernelCommandLine("a=1 -- b=2")
        #expect(line.parameters.map(\.name) == ["a"])
        #expect(line.initArguments.map(\.name) == ["b"])
        #expect(KernelCommandLine(bytes: Array("a=1\0b=2".utf8)).parameters.map(\.name) == ["a"])
    }

    @Test func columnsCountBytesFromOne() {
        #expect(KernelCommandLine(" ü=1  b").parameters.map(\.column) == [2, 8])
        #expect(KernelCommandLine("a b\n").length == 3)
    }
}
