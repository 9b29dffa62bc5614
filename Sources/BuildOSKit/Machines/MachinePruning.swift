/// Which revisions of a machine can go.
public struct MachinePruning: Sendable, Hashable, Codable {
    /// Revisions to remove, in ascending order.
    public let remove: [MachineRevision]
    /// Revisions that would go but are in use: in effect, or what a toolchain's image or a bootstrap was made from.
    public let inUse: [MachineRevision]

    /// Plans a pruning.
    ///
    /// - Parameter keep: how many revisions of every protocol version remain, the newest; at least 1. Those in use remain
    ///   in any case.
    public init(_ contents: MachineContents, keep: Int) {
        var (remove, inUse): ([MachineRevision], [MachineRevision]) = ([], [])
        for revisions in Dictionary(grouping: contents.revisions, by: \.revision.version).values {
            for candidate in revisions.sorted(by: { $0.revision > $1.revision }).dropFirst(max(1, keep)) {
                if contents.isInUse(candidate) {
                    inUse.append(candidate.revision)
                } else {
                    remove.append(candidate.revision)
                }
            }
        }
        // A link that leads nowhere is an accident to look into, not a reason to remove what it should have led to.
        let broken = contents.links.filter { contents.current(version: $0.version) == nil }.map(\.version)
        self.remove = remove.filter { !broken.contains($0.version) }.sorted()
        self.inUse = inUse.sorted()
    }
}
