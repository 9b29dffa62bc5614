/// The version of a toolchain, as it stands in the name of its archive (TOOL-1).
///
/// A build2 standard version: `0.17.0`, `0.18.0-a.1`, or a snapshot such as
/// `0.19.0-a.0.20260601123456.abcdef123456`.
public struct ToolchainVersion: Sendable, Hashable, Codable, CustomStringConvertible {
    /// The version.
    public let description: String

    /// `nil` if the text doesn't begin with three numbers joined by dots, or holds what no version does.
    public init?(_ text: some StringProtocol) {
        guard text.utf8.count <= 128, text.utf8.allSatisfy(\.isVersionByte) else { return nil }
        let core = text.prefix { $0 != "-" && $0 != "+" }
        let numbers = core.split(separator: ".", omittingEmptySubsequences: false)
        guard numbers.count == 3, numbers.allSatisfy({ UInt32($0) != nil }) else { return nil }
        let rest = text.dropFirst(core.count)
        guard rest.isEmpty || rest.count > 1, let last = text.last, last.isLetter || last.isNumber else { return nil }
        description = String(text)
    }

    /// The version in the name of a toolchain's archive, `build2-toolchain-<version>.tar.xz` or `.tar.gz`.
    init?(archiveName: String) {
        let prefix = "build2-toolchain-"
        guard archiveName.hasPrefix(prefix),
            let suffix = [".tar.xz", ".tar.gz"].first(where: archiveName.hasSuffix)
        else { return nil }
        self.init(archiveName.dropFirst(prefix.count).dropLast(suffix.count))
    }

    /// A file's name without the version (TOOL-2); `nil` if the version isn't in it.
    ///
    /// The separator after the version goes with it, so that `build2-toolchain-0.4.0.tar.xz` becomes
    /// `build2-toolchain-tar.xz` and `build2-mingw-0.4.0-x86_64.zip` becomes `build2-mingw-x86_64.zip`.
    public func predictableName(for fileName: String) -> String? {
        let name = Array(fileName.utf8)
        let version = Array(description.utf8)
        guard name.count > version.count else { return nil }
        for start in 0...(name.count - version.count) {
            let end = start + version.count
            guard name[start..<end].elementsEqual(version) else { continue }
            guard start == 0 || name[start - 1].isSeparator else { continue }
            let kept: [UInt8]
            if end == name.count {
                kept = Array(name[..<max(0, start - 1)])
            } else if name[end] == UInt8(ascii: "-") || name[end] == UInt8(ascii: "_")
                || name[end] == UInt8(ascii: ".") && !(end + 1 < name.count && name[end + 1].isDigit)
            {
                kept = Array(name[..<start] + name[(end + 1)...])
            } else {
                continue
            }
            let text = String(decoding: kept, as: UTF8.self)
            return text.isEmpty || text.hasPrefix(".") || text.hasPrefix("-") ? nil : text
        }
        return nil
    }

    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let version = Self(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "'\(text)' is not a toolchain version")
            )
        }
        self = version
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension UInt8 {
    fileprivate var isDigit: Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) }
    fileprivate var isSeparator: Bool {
        self == UInt8(ascii: "-") || self == UInt8(ascii: "_") || self == UInt8(ascii: ".")
    }
    fileprivate var isVersionByte: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "+"): true
        default: isDigit
        }
    }
}
