import BuildOSKit

internal import CCurl

/// What a server's answer says of itself; of a chain of redirects, the last one.
struct ResponseHead {
    /// Bytes of the headers of all answers.
    private(set) var byteCount = 0
    private(set) var validators = ResourceValidators()
    private(set) var range: ContentRange?
    private(set) var isPlainText = false
    private var date: String?

    /// Takes a line of a header.
    mutating func note(_ bytes: UnsafeRawBufferPointer) {
        byteCount += bytes.count
        let line = String(decoding: bytes, as: UTF8.self)
        if line.hasPrefix("HTTP/") {
            // Each response of a chain of redirects has a status line of its own.
            validators = ResourceValidators()
            range = nil
            isPlainText = false
            date = nil
        }
        guard let colon = line.firstIndex(of: ":") else { return }
        let value = String(line[colon...].dropFirst().trimmingBlanks)
        guard !value.isEmpty, value.utf8.count <= 1024 else { return }
        switch line[..<colon].lowercased() {
        case "etag": validators.entityTag = value
        case "last-modified": validators.lastModified = value
        case "date": date = value
        case "content-range": range = ContentRange(value)
        case "content-type": isPlainText = value.lowercased().hasPrefix("text/plain")
        default: break
        }
    }

    /// The validators that are strong enough to go on with a part of this version (RFC 9110, 8.8.1 and 13.1.5).
    var strongValidators: ResourceValidators {
        var strong = ResourceValidators()
        if let tag = validators.entityTag, ContentRange.isStrong(tag) { strong.entityTag = tag }
        // A second after its last change a resource may have changed once more (RFC 9110, 8.8.2.2).
        if let modified = validators.lastModified, let date {
            let (changed, answered) = (curl_getdate(modified, nil), curl_getdate(date, nil))
            if changed >= 0, answered > changed { strong.lastModified = modified }
        }
        return strong
    }

    /// Whether an answer with status 206 is the rest of what is there.
    func isRest(of partial: PartialFetch) -> Bool {
        // Without the size of the whole nobody could tell a rest that is too short (RFC 9110, 15.3.7: it may be).
        guard let range, range.first == partial.byteCount, range.whole != nil else { return false }
        if let tag = partial.validators.entityTag {
            // The server must repeat it (RFC 9110, 15.3.7), and one that doesn't may not have looked at it either.
            return validators.entityTag == tag
        }
        return validators.lastModified.map { $0 == partial.validators.lastModified } ?? true
    }
}

/// Which part of a resource an answer holds (RFC 9110, 14.4).
struct ContentRange: Hashable {
    /// Offset of the first byte.
    let first: Int64
    /// Bytes of the whole, where the server says so.
    let whole: Int64?

    /// Parses the value of the header; `nil` for one that names no part in bytes.
    init?(_ value: String) {
        let words = value.split(separator: " ", maxSplits: 1)
        guard words.count == 2, words[0].lowercased() == "bytes" else { return nil }
        let parts = words[1].split(separator: "/", omittingEmptySubsequences: false)
        let ends = parts[0].split(separator: "-", omittingEmptySubsequences: false).map(Self.number)
        guard parts.count == 2, ends.count == 2, let first = ends[0], let last = ends[1], last >= first else {
            return nil
        }
        if parts[1] == "*" {
            whole = nil
        } else {
            guard let whole = Self.number(parts[1]), whole > last else { return nil }
            self.whole = whole
        }
        self.first = first
    }

    private static func number(_ digits: Substring) -> Int64? {
        digits.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? Int64(digits) : nil
    }

    /// Whether an entity tag stands for these bytes alone.
    static func isStrong(_ tag: String) -> Bool { tag.hasPrefix("\"") && tag.hasSuffix("\"") && tag.utf8.count >= 2 }
}

extension Substring {
    fileprivate var trimmingBlanks: Substring {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0.isNewline }
        guard let start = firstIndex(where: { !isBlank($0) }), let end = lastIndex(where: { !isBlank($0) }) else {
            return ""
        }
        return self[start...end]
    }
}
