/// What identifies the content of a subvolume: an identity, and how often what it names was made writable. The same pair is
/// the same content.
public struct SubvolumeOrigin: Sendable, Hashable {
    /// The identity.
    public var uuid: VolumeUUID
    /// How often it was made writable.
    public var generation: UInt64

    /// Creates an origin.
    public init(uuid: VolumeUUID, generation: UInt64) {
        self.uuid = uuid
        self.generation = generation
    }

    /// That of a new subvolume.
    public static func new() -> Self { Self(uuid: .random(), generation: 0) }
}
