import FoundationEssentials

/// What the two sides of an upload tell each other, apart from the stream itself.
enum TransferMessage: Sendable, Hashable, Codable {
    // The receiver's.

    /// First of all: the versions of the protocol it speaks.
    case hello(versions: [Int])
    /// What it has; the answer to `open`.
    case inventory(HostInventory)
    /// The answer to a probe.
    case probed
    /// The answer to `begin`. If the stream is wanted, the digests of what is in the spool follow.
    case ready(wantsStream: Bool)
    /// It has begun a step; see ``MachineStep``.
    case step(MachineStep)
    /// Bytes of the stream that it has taken so far.
    case taken(bytes: Int64)
    /// All is done.
    case finished(UploadReceipt)
    /// It gives up.
    case failed(MachineError)

    // The sender's.

    /// Which version is spoken, and which machine it is about.
    case open(version: Int, volume: VolumeName, machine: MachineName)
    /// What is to be received.
    case begin(UploadOffer)
    /// The stream ends here: how many chunks and bytes it had.
    case end(chunks: Int, bytes: Int64)

    /// The versions of the protocol that this program speaks.
    static let versions = [1]

    func encoded() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .withoutEscapingSlashes
        return Array(try encoder.encode(self))
    }

    init(_ bytes: [UInt8]) throws(MachineError) {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(bytes))
        } catch let error as MachineError {
            throw error
        } catch {
            throw .badFrame("a message can't be read: \(printable("\(error)", limit: 200))")
        }
    }
}

/// What a host says of itself before anything is sent.
public struct HostInventory: Sendable, Hashable, Codable {
    /// What it has of the machine.
    public let contents: MachineContents
    /// Room on the volume.
    public let space: VolumeSpace
    /// Formats of streams that its storage receives.
    public let receives: [String]
    /// Compressions that it can undo.
    public let compressions: [StreamCompression]
}

/// How the stream is compressed on its way.
public enum StreamCompression: String, Sendable, Hashable, Codable, CaseIterable {
    case none, zstd
}

/// What a sender proposes.
public struct UploadOffer: Sendable, Hashable, Codable {
    /// The image.
    public let image: MachineImage
    /// The identity of the image on the sender.
    public let identity: String
    /// The identity of the base that the stream builds on; `nil` for everything.
    public let base: String?
    /// The format of the stream.
    public let format: String
    /// How the stream is compressed.
    public let compression: StreamCompression
    /// Bytes of every chunk but the last.
    public let chunkSize: Int
    /// Bytes that the image will take, as far as the sender can tell.
    public let estimate: Int64?
    /// Whether the receiver keeps what arrives until all has arrived, so that an interrupted upload can go on.
    public let spools: Bool
    /// Whether the image is made the one in effect.
    public let activates: Bool
    /// Whether the machine must be new to the host, or known to it.
    public let intent: UploadIntent
    /// How many revisions remain afterwards, that in effect among them; all if `nil`.
    public let keep: Int?

    /// What a spool of a stream like this one is named by: two streams that can differ never share it.
    var spoolID: UInt64 {
        XXHash64.digest("\(image) \(identity) \(base ?? "-") \(format) \(compression.rawValue) \(chunkSize)".utf8)
    }
}

/// What an upload is meant to be.
public enum UploadIntent: String, Sendable, Hashable, Codable {
    /// A machine that the host doesn't have.
    case add
    /// Another revision of a machine that the host has.
    case upgrade
    /// Either.
    case any
}

/// What a host says when it is done.
public struct UploadReceipt: Sendable, Hashable, Codable {
    /// The image that was in effect before.
    public let before: MachineRevision?
    /// The image that is in effect now.
    public let now: MachineRevision?
    /// Bytes of the stream that came over the wire.
    public let received: Int64
    /// Bytes of the stream that were in the spool already.
    public let resumed: Int64
    /// Revisions that were removed.
    public let pruned: [MachineRevision]
}

/// The steps of an upload on the host, in their order: what the journal and progress show.
public enum MachineStep: String, Sendable, Hashable, Codable, CaseIterable {
    /// What earlier runs left is removed.
    case clean
    /// The stream is received into a hidden place.
    case receive
    /// A writable snapshot of it is made, in a hidden place.
    case stage
    /// Its files are given to user build (MACH-5).
    case own
    /// It is snapshotted into its place, read-only from its first moment.
    case place
    /// The link is switched to it by a rename (MACH-3).
    case activate
    /// Surplus revisions are removed.
    case tidy
    /// All is done.
    case done
}
