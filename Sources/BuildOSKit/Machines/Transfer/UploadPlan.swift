/// An image on the sender, or what could be the base of one.
public struct SenderImage: Sendable, Hashable {
    /// Where it is.
    public let path: FilePath
    /// Whether it can't be changed: nothing else can be sent, or built on.
    public let isReadOnly: Bool
    /// Its identity on this machine.
    public let uuid: String?
    /// The identity by which hosts know it: of what it was itself received from, if it was.
    public let identity: String?
    /// The identity on this machine of what it is a snapshot of.
    public let parentUUID: String?

    /// Creates a description from what the storage says.
    public init(_ subvolume: Subvolume) {
        path = subvolume.path
        isReadOnly = subvolume.isReadOnly
        uuid = subvolume.uuid
        identity = subvolume.receivedUUID ?? subvolume.uuid
        parentUUID = subvolume.parentUUID
    }

    var image: MachineImage? { path.lastComponent.flatMap { try? MachineImage($0.string) } }
}

/// What would be done to have an image on a host (MACH-3): pure, from what both sides have.
public struct UploadPlan: Sendable, Hashable, Codable {
    /// What is to be done.
    public enum Action: String, Sendable, Hashable, Codable {
        /// The host has the image, and it is in effect.
        case nothing
        /// The host has the image; it is made the one in effect.
        case activate
        /// All of it is sent.
        case full
        /// What differs from the base is sent.
        case incremental
    }

    /// What is to be done.
    public let action: Action
    /// The image.
    public let image: MachineImage
    /// The revision in effect until now.
    public let before: MachineRevision?
    /// What the stream builds on, by its name on the sender.
    public let base: String?
    /// What the stream builds on, by its path on the sender.
    public let basePath: String?
    /// What the stream builds on, by the identity that the host knows.
    public let baseIdentity: String?
    /// The format of the stream.
    public let format: String?

    /// Makes a plan.
    ///
    /// - Parameters:
    ///   - source: the image to send.
    ///   - others: what else there is on the sender, read-only or not.
    ///   - sends: the formats in which the sender's storage sends, best first.
    /// - Throws: ``MachineError`` for an image that can't be sent, or that the host wouldn't take.
    public init(
        _ source: SenderImage,
        others: [SenderImage],
        sends: [String],
        host: HostInventory,
        intent: UploadIntent
    ) throws(MachineError) {
        let image = try Self.check(source)
        try OfferCheck.check(intent, image, host.contents)
        self.image = image
        before = host.contents.current(version: image.revision.version)
        if let here = host.contents.revisions.first(where: { $0.revision == image.revision }) {
            guard here.identity == source.identity else { throw .differs(image, here) }
            action = before == image.revision ? .nothing : .activate
            (base, basePath, baseIdentity, format) = (nil, nil, nil, nil)
            return
        }
        guard let format = sends.first(where: host.receives.contains) else {
            throw MachineError(
                .storage,
                "image '\(image)'",
                cause: "this machine sends \(sends.isEmpty ? "nothing" : sends.joined(separator: ", ")), the host "
                    + "receives \(host.receives.isEmpty ? "nothing" : host.receives.joined(separator: ", "))",
                remedy: "send from a storage of the same kind"
            )
        }
        self.format = format
        let base = Self.base(for: source, image, among: others, known: host.contents.bases)
        action = base == nil ? .full : .incremental
        self.base = base?.path.lastComponent?.string
        basePath = base?.path.string
        baseIdentity = base?.identity
    }

    /// Checks that a subvolume can be sent as an image.
    ///
    /// - Throws: ``MachineError`` of kind `invalid`.
    @discardableResult
    public static func check(_ source: SenderImage) throws(MachineError) -> MachineImage {
        let image = try MachineImage(source.path.lastComponent?.string ?? "")
        guard source.isReadOnly else {
            throw MachineError(
                .invalid,
                "image '\(image)'",
                cause: "\(source.path) is writable, so it could change while it is sent",
                remedy: "make it read-only: btrfs property set -ts \(source.path) ro true"
            )
        }
        return image
    }

    /// What is most like the source: the nearest of its forebears that the host has, else the nearest revision.
    private static func base(
        for source: SenderImage,
        _ image: MachineImage,
        among others: [SenderImage],
        known: Set<String>
    ) -> SenderImage? {
        let usable = others.filter { other in
            other.isReadOnly && other.path != source.path && other.identity.map(known.contains) == true
        }
        var byUUID: [String: SenderImage] = [:]
        for other in others { if let uuid = other.uuid { byUUID[uuid] = other } }
        var (next, seen) = (source.parentUUID, Set<String>())
        while let uuid = next, seen.insert(uuid).inserted, let forebear = byUUID[uuid] {
            if usable.contains(forebear) { return forebear }
            next = forebear.parentUUID
        }
        let revisions = usable.filter { $0.image?.machine == image.machine }
            .sorted { ($0.image?.revision ?? image.revision) < ($1.image?.revision ?? image.revision) }
        return revisions.last { ($0.image?.revision ?? image.revision) < image.revision } ?? revisions.first
    }
}
