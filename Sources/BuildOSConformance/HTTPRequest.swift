import Glibc

/// A request as the suites' server reads it: as much of RFC 9112 as its clients need.
struct HTTPRequest {
    let method: String
    /// The path and what follows it, without the scheme and host that a proxy is told.
    let path: String
    let body: [UInt8]
    private let headers: [(name: String, value: String)]
    private static let maximumHeadBytes = 65_536
    private static let maximumBodyBytes = 64 << 20

    /// Reads one; `nil` if the client has gone, or sends something else.
    init?(from connection: Int32) {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        func readMore() -> Bool {
            let count = recv(connection, &buffer, buffer.count, 0)
            guard count > 0 else { return false }
            bytes.append(contentsOf: buffer.prefix(count))
            return true
        }
        var headLength: Int?
        while headLength == nil {
            guard bytes.count < Self.maximumHeadBytes, readMore() else { return nil }
            headLength = Self.headLength(of: bytes)
        }
        guard let headLength else { return nil }
        let lines = String(decoding: bytes.prefix(headLength), as: UTF8.self).split(whereSeparator: \.isNewline)
        let words = lines.first?.split(separator: " ") ?? []
        guard words.count == 3 else { return nil }
        headers = lines.dropFirst().compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            return (line[..<colon].lowercased(), String(value))
        }
        method = String(words[0])
        path = Self.withoutHost(words[1])
        let length = headers.first { $0.name == "content-length" }.flatMap { Int($0.value) } ?? 0
        guard (0...Self.maximumBodyBytes).contains(length) else { return nil }
        while bytes.count < headLength + length {
            guard readMore() else { return nil }
        }
        body = Array(bytes[headLength..<(headLength + length)])
    }

    /// The value of a header, by its name in lower case.
    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    private static func headLength(of bytes: [UInt8]) -> Int? {
        let end = Array("\r\n\r\n".utf8)
        guard bytes.count >= end.count else { return nil }
        for start in 0...(bytes.count - end.count) where bytes[start..<(start + end.count)].elementsEqual(end) {
            return start + end.count
        }
        return nil
    }

    private static func withoutHost(_ target: Substring) -> String {
        guard target.hasPrefix("http://") else { return String(target) }
        let afterScheme = target.dropFirst("http://".count)
        return afterScheme.firstIndex(of: "/").map { String(afterScheme[$0...]) } ?? "/"
    }
}
