import BuildOSKit

/// What a server is ready to agree to.
struct TFTPLimits: Hashable, Sendable {
    /// Most bytes of a block (RFC 2348: 8 to 65,464).
    var blockSize = TFTPTerms.maximumBlockSize
    /// Most bytes between two acknowledgements.
    var windowBytes: Int
    /// Bytes that a packet costs in a socket's buffer beside its payload.
    var packetOverhead = 0

    /// What a client that takes nothing off its socket can make a session hold in memory.
    static let reading = TFTPLimits(windowBytes: 1 << 20)
    /// A window must fit into the receiving socket's buffer, of which the system gives 208 KiB unless told otherwise
    /// (socket(7), rmem_max), and in which a small packet takes up to 1 KiB more than its payload.
    static let writing = TFTPLimits(windowBytes: 96 << 10, packetOverhead: 1024)

    /// Leaves a client that is limited to so many bytes per second several packets in every second.
    func limited(to bytesPerSecond: Int?) -> TFTPLimits {
        guard let bytesPerSecond else { return self }
        var limits = self
        limits.blockSize = min(blockSize, max(TFTPTerms.standardBlockSize, bytesPerSecond / 4))
        limits.windowBytes = min(windowBytes, max(TFTPTerms.standardBlockSize, bytesPerSecond / 4))
        return limits
    }
}

/// What client and server agreed to (RFC 2347 to 2349, 7440).
struct TFTPTerms: Hashable, Sendable {
    static let standardBlockSize = 512
    static let minimumBlockSize = 8
    static let maximumBlockSize = 65_464

    /// Bytes of every block but the last, which has fewer.
    private(set) var blockSize = standardBlockSize
    /// Blocks between two acknowledgements.
    private(set) var windowSize = 1
    /// The client's wish for the time until a packet is sent again.
    private(set) var timeout: Duration?
    /// Bytes of a file to be written, as its client announced.
    private(set) var announcedSize: Int64?
    /// The options that are granted, for the answer; if there are none, the transfer begins without.
    private(set) var granted: [TFTPOption] = []

    /// Terms without options.
    init() {}

    /// Decides on the options of a request. Unknown ones are passed over.
    ///
    /// - Parameter size: bytes of the file to be read.
    /// - Throws: ``TFTPRefusal`` with code 8 for a value that the RFCs do not allow.
    init(
        _ options: [TFTPOption],
        _ direction: ArtifactTransfer.Direction,
        size: Int64?,
        limits: TFTPLimits
    ) throws(TFTPRefusal) {
        var seen: Set<String> = []
        for option in options {
            guard seen.insert(option.name).inserted else {
                throw TFTPRefusal(.optionRefused, "the option \(option.name.printable) is there twice")
            }
            switch option.name {
            case "blksize":
                let asked = try Self.number(option, from: Int64(Self.minimumBlockSize))
                blockSize = Int(min(asked, Int64(limits.blockSize)))
                granted.append(TFTPOption(option.name, "\(blockSize)"))
            case "timeout":
                let seconds = try Self.number(option, from: 1)
                guard seconds <= 255 else { throw Self.outOfRange(option) }
                timeout = .seconds(seconds)
                granted.append(TFTPOption(option.name, "\(seconds)"))
            case "tsize":
                let announced = try Self.number(option, from: 0)
                if direction == .write { announcedSize = announced }
                granted.append(TFTPOption(option.name, "\(size ?? announced)"))
            case "windowsize":
                windowSize = Int(min(try Self.number(option, from: 1), 65_535))
            default: break
            }
        }
        if seen.contains("windowsize") {
            // The block size may have been asked for after it.
            windowSize = min(windowSize, max(1, limits.windowBytes / (blockSize + limits.packetOverhead)))
            granted.append(TFTPOption("windowsize", "\(windowSize)"))
        }
    }

    private static func number(_ option: TFTPOption, from minimum: Int64) throws(TFTPRefusal) -> Int64 {
        guard !option.value.isEmpty, option.value.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int64(option.value), number >= minimum
        else { throw outOfRange(option) }
        return number
    }

    private static func outOfRange(_ option: TFTPOption) -> TFTPRefusal {
        TFTPRefusal(.optionRefused, "\(option.name) can't be '\(option.value.printable)'")
    }
}
