import BuildOSKit
import TestSupport
import Testing

@Suite struct ConfigurationFuzzTests {
    @Test("CONF-4: no bytes whatever crash the parser", arguments: [1, 2, 3, 4] as [UInt64])
    func anyBytes(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                UInt8.random(in: .min ... .max, using: &random)
            }
            let line = KernelCommandLine(bytes: bytes)
            #expect(line.parameters.allSatisfy { (1...bytes.count).contains($0.column) })
            _ = HostConfiguration.parse(commandLine: bytes)
        }
    }

    @Test("CONF-4: no line made of pieces that look right crashes the parser", arguments: [5, 6, 7, 8] as [UInt64])
    func likelyPieces(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let pieces =
            Parameter.allCases.map { "buildos.\($0.rawValue)" }
            + [
                "=", "\"", " ", "\n", ".", "-", "/", ":", ",", "0", "9", "99999999999999999999", "3/2", "2-9", "yes",
                "http://", "[::1]", "a@b", "ssh-rsa ", "AAAA", "=1000=", "\u{0}", "é", "\u{FFFD}", "--", ".default",
            ]
        for _ in 0..<4000 {
            let line = (0..<Int.random(in: 1...24, using: &random))
                .compactMap { _ in pieces.randomElement(using: &random) }.joined()
            let parsed = HostConfiguration.parse(commandLine: line)
            for error in parsed.errors {
                #expect(!error.cause.isEmpty && !error.accepted.isEmpty && error.parameter.hasPrefix("buildos."))
            }
        }
    }

    @Test("CONF-2: what is written with quotes is read back", arguments: [9, 10] as [UInt64])
    func roundTrip(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let alphabet = Array("ab =\t./:-é\\'%$").map(String.init)
        for _ in 0..<2000 {
            let values = (0..<Int.random(in: 1...6, using: &random)).map { _ in
                (0..<Int.random(in: 0...12, using: &random)).compactMap { _ in alphabet.randomElement(using: &random) }
                    .joined()
            }
            let line = values.enumerated().map { "p\($0.offset)=\"\($0.element)\"" }.joined(separator: " ")
            #expect(KernelCommandLine(line).parameters.map(\.value) == values)
        }
    }

    @Test("the texts of values are read back as the same values", arguments: [11, 12] as [UInt64])
    func values(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<500 {
            let cpus = (0..<Int.random(in: 1...9, using: &random)).map { _ in Int.random(in: 0...20, using: &random) }
            let set = try CPUSet(cpus.map(String.init).joined(separator: ","))
            #expect(set.cpus == Set(cpus).sorted())
            #expect(try CPUSet(set.description) == set)
            let ratio = try OvercommitRatio(
                "\(Int.random(in: 1...1000, using: &random))/\(Int.random(in: 1...1000, using: &random))"
            )
            #expect(try OvercommitRatio(ratio.description) == ratio)
        }
    }
}

/// SplitMix64: the same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
