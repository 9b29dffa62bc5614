import BuildOSKit

/// What a request needs, opened and agreed: all that waits for a disk before a transfer begins.
struct Prepared: Sendable {
    private enum Kind: Sendable {
        case read(ServedContent)
        case write(UploadFile, maximumBytes: Int64)
    }

    private let kind: Kind
    private let mode: TFTPRequest.Mode
    private let terms: TFTPTerms

    /// - Throws: ``TFTPRefusal`` in the client's words.
    init(
        _ request: TFTPRequest,
        _ decision: RequestPolicy.Decision,
        _ configuration: ArtifactServerConfiguration
    ) throws(TFTPRefusal) {
        mode = request.mode
        switch decision {
        case .read(let path):
            let content = try ServedContent(path, beneath: configuration.readRoot, request.mode)
            let limits = TFTPLimits.reading.limited(to: configuration.bytesPerSecond)
            terms = try TFTPTerms(request.options, .read, size: content.size, limits: limits)
            kind = .read(content)
        case .write(let name):
            guard let rules = configuration.uploads else { throw Self.refused }
            terms = try TFTPTerms(request.options, .write, size: nil, limits: .writing)
            if let announced = terms.announcedSize, announced > rules.maximumBytes {
                throw TFTPRefusal(.diskFull, "a file may have \(rules.maximumBytes) bytes")
            }
            kind = .write(try UploadFile(name, rules), maximumBytes: rules.maximumBytes)
        case .withhold, .refuse: throw Self.refused
        }
    }

    /// Bytes that one datagram of the client's may have, and one more to see that it has more.
    var readBuffer: Int {
        switch kind {
        case .read: TFTPPacket.maximumRequestLength
        case .write: (TFTPPacket.dataHeaderLength + terms.blockSize + 1) * readBatch
        }
    }

    /// Datagrams that are taken from the socket at once.
    var readBatch: Int {
        switch kind {
        case .read: 1
        case .write: min(terms.windowSize, 16)
        }
    }

    /// Bytes for the socket's receive buffer; 0 for what the system gives.
    var receiveBuffer: Int {
        switch kind {
        case .read: 0
        case .write: terms.windowSize > 1 ? 1 << 20 : 0
        }
    }

    func transfer(_ configuration: ArtifactServerConfiguration, _ rate: RateLimit?) -> any Transfer {
        switch kind {
        case .read(let content): ReadTransfer(content, terms, configuration, rate: rate)
        case .write(let file, let maximumBytes):
            WriteTransfer(file, mode, terms, configuration, maximumBytes: maximumBytes)
        }
    }

    /// Takes back what was begun.
    func discard() {
        if case .write(let file, _) = kind { file.discard() }
    }

    private static let refused = TFTPRefusal(.accessViolation, "that can't be served")
}
