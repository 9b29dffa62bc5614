import BuildOSKit

/// What is remembered of a subvolume, beside it in a file of lines `name value`.
struct SubvolumeRecord: Hashable {
    private static let firstLine = "buildos-subvolume 1"

    /// The inode of its directory: a directory that was put there later is no subvolume.
    var inode: UInt64
    var own: SubvolumeOrigin
    var parent: VolumeUUID?
    /// What it was received from, until it is made writable.
    var received: SubvolumeOrigin?
    var isReadOnly = false

    init(
        inode: UInt64,
        own: SubvolumeOrigin,
        parent: VolumeUUID? = nil,
        received: SubvolumeOrigin? = nil,
        isReadOnly: Bool = false
    ) {
        self.inode = inode
        self.own = own
        self.parent = parent
        self.received = received
        self.isReadOnly = isReadOnly
    }

    /// By what others know it: what it was received from, or itself.
    var knownAs: SubvolumeOrigin { received ?? own }

    /// Parses a file's text; `nil` if it isn't one of these.
    init?(_ text: String) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.first.map(String.init) == Self.firstLine else { return nil }
        var values: [Substring: Substring] = [:]
        for line in lines.dropFirst() where !line.isEmpty {
            guard let blank = line.firstIndex(of: " ") else { return nil }
            values[line[..<blank]] = line[line.index(after: blank)...]
        }
        guard let inode = values["inode"].flatMap({ UInt64($0) }),
            let own = values["own"].flatMap(SubvolumeOrigin.init(recorded:))
        else {
            return nil
        }
        self.init(inode: inode, own: own, isReadOnly: values["read-only"] == "yes")
        if let text = values["parent"] {
            guard let uuid = VolumeUUID(text) else { return nil }
            parent = uuid
        }
        if let text = values["received"] {
            guard let origin = SubvolumeOrigin(recorded: text) else { return nil }
            received = origin
        }
    }

    /// The file's text.
    var text: String {
        var lines = [Self.firstLine, "inode \(inode)", "own \(own.text)", "read-only \(isReadOnly ? "yes" : "no")"]
        if let parent { lines.append("parent \(parent)") }
        if let received { lines.append("received \(received.text)") }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension SubvolumeOrigin {
    fileprivate init?(recorded text: Substring) {
        let parts = text.split(separator: " ")
        guard parts.count == 2, let uuid = VolumeUUID(parts[0]), let generation = UInt64(parts[1]) else { return nil }
        self.init(uuid: uuid, generation: generation)
    }

    fileprivate var text: String { "\(uuid) \(generation)" }
}
