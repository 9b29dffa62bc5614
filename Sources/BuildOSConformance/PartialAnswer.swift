/// What the suites' server answers when the rest of a resource may be asked for (RFC 9110, 13.1.5 and 14).
struct PartialAnswer {
    enum Mode: String {
        /// The first half of version 1, then the connection ends; with an entity tag and a date.
        case cut
        /// The same with a date alone, a day before the answer's.
        case cutDated = "cut-dated"
        /// The same with a weak entity tag and a date that is the answer's own: both may stand for other bytes.
        case cutWeak = "cut-weak"
        /// The same with nothing to tell the version by.
        case cutBare = "cut-bare"
        /// Version 1, whole or the rest of it.
        case whole
        /// The same, breaking off again halfway through the rest.
        case cutAgain = "cut-again"
        /// Version 2, which it says when it is asked for the rest of version 1.
        case changed
        /// Version 2, the rest of which it sends to whoever asks, whatever the version.
        case blind
        /// Version 1, but another part than was asked for.
        case shifted
        /// Version 1, but less of the rest than was asked for, without saying how long the whole is.
        case short
        /// Version 1, but always whole.
        case rangeless
        /// Refuses to send any rest.
        case unsatisfied
    }

    let status: String
    let headers: [String]
    let body: [UInt8]

    static let modified = "Sun, 06 Nov 1994 08:49:37 GMT"

    /// Bytes of a version, such that no two places look alike to a digest.
    static func content(_ version: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ ($0 >> 8) &* 7 &+ version) }
    }

    init(_ mode: Mode, _ count: Int, range: String?, condition: String?) {
        let isOther = mode == .changed || mode == .blind
        let content = Self.content(isOther ? 2 : 1, count)
        var headers = ["ETag: \"v\(isOther ? 2 : 1)\"", "Last-Modified: \(Self.modified)"]
        var date = "Mon, 07 Nov 1994 08:49:37 GMT"
        switch mode {
        case .cutDated: headers.removeFirst()
        case .cutWeak:
            headers[0] = "ETag: W/\"v1\""
            date = Self.modified
        case .cutBare: headers = []
        default: break
        }
        headers.append("Date: \(date)")
        let first = range.flatMap {
            $0.hasPrefix("bytes=") && $0.hasSuffix("-") ? Int($0.dropFirst(6).dropLast()) : nil
        }
        let holds = mode == .blind || condition == nil || condition == "\"v1\"" || condition == Self.modified
        switch (mode, first) {
        case (.cut, _), (.cutDated, _), (.cutWeak, _), (.cutBare, _):
            status = "200 OK"
            self.headers = headers + ["Content-Length: \(count)"]
            body = Array(content.prefix(count / 2))
        case (.unsatisfied, .some):
            status = "416 Range Not Satisfiable"
            self.headers = ["Content-Range: bytes */\(count)", "Content-Length: 4"]
            body = Array("none".utf8)
        case (.shifted, .some(let first)) where first > 0 && first < count:
            status = "206 Partial Content"
            let part = content[(first - 1)...]
            self.headers =
                headers + ["Content-Range: bytes \(first - 1)-\(count - 1)/\(count)", "Content-Length: \(part.count)"]
            body = Array(part)
        case (.short, .some(let first)) where first + 1 < count:
            status = "206 Partial Content"
            let part = content[first..<(first + (count - first) / 2)]
            self.headers =
                headers + ["Content-Range: bytes \(first)-\(part.endIndex - 1)/*", "Content-Length: \(part.count)"]
            body = Array(part)
        case (.whole, .some(let first)), (.blind, .some(let first)), (.cutAgain, .some(let first)):
            guard holds, first < count else { fallthrough }
            status = "206 Partial Content"
            let part = content[first...]
            self.headers =
                headers + ["Content-Range: bytes \(first)-\(count - 1)/\(count)", "Content-Length: \(part.count)"]
            body = Array(mode == .cutAgain ? part.prefix(part.count / 2) : part)
        default:
            status = "200 OK"
            self.headers = headers + ["Content-Length: \(count)"]
            body = content
        }
    }
}
