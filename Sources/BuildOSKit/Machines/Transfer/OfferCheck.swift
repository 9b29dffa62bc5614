/// Whether a host takes what is offered, from what it has: pure.
struct OfferCheck: Sendable {
    let offer: UploadOffer
    let contents: MachineContents
    let receives: [String]

    private var image: MachineImage { offer.image }

    /// Whether the stream is needed; not if all of it is here already.
    ///
    /// - Throws: ``MachineError`` for an offer that can't be taken.
    func wantsStream() throws(MachineError) -> Bool {
        try Self.check(offer.intent, image, contents)
        if let here = contents.revisions.first(where: { $0.revision == image.revision }) {
            guard here.identity == offer.identity else { throw .differs(image, here) }
            return false
        }
        guard (4096...TransferFrame.chunkLimit).contains(offer.chunkSize) else {
            throw .badFrame("chunks of \(offer.chunkSize) bytes are not accepted")
        }
        if contents.received.contains(where: { $0.revision == image.revision && $0.identity == offer.identity }) {
            return false
        }
        guard receives.contains(offer.format) else {
            throw .badFrame("streams of the format '\(printable(offer.format))' can't be received here")
        }
        if let base = offer.base, !contents.bases.contains(base) {
            throw MachineError(
                .storage,
                "image '\(image)'",
                cause: "the revision it was to build on is no longer here",
                remedy: "run it again: another base will be chosen"
            )
        }
        return true
    }

    /// Whether an upload fits what a host has.
    ///
    /// - Throws: ``MachineError``
    static func check(_ intent: UploadIntent, _ image: MachineImage, _ contents: MachineContents) throws(MachineError) {
        let current = contents.current(version: image.revision.version)
        switch intent {
        case .add:
            if let current, current != image.revision {
                throw MachineError(
                    .alreadyExists,
                    "machine '\(image.machine)'",
                    cause: "it is there already, in revision \(current)",
                    remedy: "use 'buildosctl machine upgrade'"
                )
            }
        case .upgrade:
            guard contents.links.contains(where: { $0.version == image.revision.version }) else {
                throw MachineError(
                    .notFound,
                    "machine '\(image.machine)'",
                    cause: "it is not there in any revision of protocol \(image.revision.version)",
                    remedy: "use 'buildosctl machine add'"
                )
            }
        case .any: break
        }
        if intent != .add, let current, current > image.revision {
            throw MachineError(
                .alreadyExists,
                "image '\(image)'",
                cause: "revision \(current) is in effect, which is newer",
                remedy: "to go back to a revision the host has, use 'buildosctl machine rollback'"
            )
        }
    }

    /// Bytes that a spool may take.
    ///
    /// - Throws: ``MachineError`` of kind `noSpace` if the image itself doesn't fit.
    func spoolRoom(_ space: VolumeSpace, limit: Int64) throws(MachineError) -> Int64 {
        let free = max(0, space.available - MachineReceiver.reserve)
        let needed = max(0, offer.estimate ?? 0)
        guard needed <= free else {
            throw MachineError(
                .noSpace,
                "image '\(image)'",
                cause: "it needs \(ByteCount(needed)), and \(ByteCount(free)) are free on volume '\(contents.volume)'",
                remedy: "remove machines or revisions that are no longer used: 'buildosctl machine prune'"
            )
        }
        return min(limit, free - needed)
    }
}

extension MachineContents {
    /// The identities on senders of all that an incremental stream can build on here.
    public var bases: Set<String> { Set(received.compactMap(\.identity) + revisions.compactMap(\.identity)) }
}

extension MachineError {
    static func differs(_ image: MachineImage, _ here: MachineContents.Revision) -> MachineError {
        MachineError(
            .alreadyExists,
            "image '\(image)'",
            cause: here.identity == nil
                ? "the host has that revision, and not from here"
                : "the host has that revision with other content",
            remedy: "give what you have the next revision: snapshot it, read-only, as \(image.machine)-"
                + "\(image.revision.version).\(image.revision.revision + 1)"
        )
    }
}

/// A number of bytes, for people: binary units, three digits.
public struct ByteCount: Sendable, Hashable, CustomStringConvertible {
    /// The number.
    public let bytes: Int64

    /// Creates a number of bytes.
    public init(_ bytes: Int64) { self.bytes = bytes }

    public var description: String {
        var (value, unit) = (Double(bytes), "B")
        for larger in ["KiB", "MiB", "GiB", "TiB"] where value >= 1000 { (value, unit) = (value / 1024, larger) }
        guard unit != "B", value < 100 else { return "\(Int(value.rounded())) \(unit)" }
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) \(unit)"
    }
}
