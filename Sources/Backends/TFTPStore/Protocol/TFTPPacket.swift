import BuildOSKit

/// Error codes (RFC 1350, 5, and RFC 2347).
enum TFTPErrorCode: UInt16, Sendable {
    case notDefined = 0
    case fileNotFound = 1
    case accessViolation = 2
    case diskFull = 3
    case illegalOperation = 4
    case unknownTransferID = 5
    case fileExists = 6
    case optionRefused = 8
}

/// Why a request or a transfer is ended, as the other side is told.
struct TFTPRefusal: Error, Hashable, Sendable {
    let code: TFTPErrorCode
    /// For a person; at most some hundred bytes are sent.
    let message: String

    init(_ code: TFTPErrorCode, _ message: String) {
        self.code = code
        self.message = message
    }
}

/// An option of a request or its answer (RFC 2347).
struct TFTPOption: Hashable, Sendable {
    /// In lower case, as names of options are the same in either.
    let name: String
    let value: String

    init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A read or write request (RFC 1350, 5).
struct TFTPRequest: Hashable, Sendable {
    /// How bytes are to be understood.
    enum Mode: String, Sendable { case octet, netascii }

    let direction: ArtifactTransfer.Direction
    /// As the client gave it.
    let name: String
    let mode: Mode
    let options: [TFTPOption]
}

/// A packet (RFC 1350, 5, and RFC 2347).
enum TFTPPacket: Hashable, Sendable {
    case request(TFTPRequest)
    /// The payload is what follows the first ``dataHeaderLength`` bytes of the datagram.
    case data(block: UInt16, payloadLength: Int)
    case acknowledgement(UInt16)
    case error(code: UInt16, message: String)
    case optionAcknowledgement([TFTPOption])

    static let dataHeaderLength = 4
    /// Requests are to have 512 bytes at most (RFC 2347, 4); long paths are met with some leniency.
    static let maximumRequestLength = 2048
    static let maximumOptionCount = 16
    private static let maximumMessageLength = 256

    private enum Opcode: UInt16 {
        case read = 1
        case write, data, acknowledgement, error, optionAcknowledgement
    }

    /// Parses a datagram.
    ///
    /// - Throws: ``TFTPRefusal`` with what to answer, if it is to be answered at all.
    init(_ datagram: Span<UInt8>) throws(TFTPRefusal) {
        guard let number = Self.word(datagram, at: 0), let opcode = Opcode(rawValue: number) else {
            throw TFTPRefusal(.illegalOperation, "not a TFTP packet")
        }
        switch opcode {
        case .read: self = .request(try Self.request(.read, datagram))
        case .write: self = .request(try Self.request(.write, datagram))
        case .data:
            guard let block = Self.word(datagram, at: 2) else { throw Self.truncated }
            self = .data(block: block, payloadLength: datagram.count - Self.dataHeaderLength)
        case .acknowledgement:
            guard let block = Self.word(datagram, at: 2) else { throw Self.truncated }
            self = .acknowledgement(block)
        case .error:
            guard let code = Self.word(datagram, at: 2) else { throw Self.truncated }
            // Some clients leave the final NUL out.
            let end = min(datagram.count, Self.dataHeaderLength + Self.maximumMessageLength)
            var bytes: [UInt8] = []
            for index in Self.dataHeaderLength..<end {
                guard datagram[index] != 0 else { break }
                bytes.append(datagram[index])
            }
            self = .error(code: code, message: String(decoding: bytes, as: UTF8.self).printable)
        case .optionAcknowledgement:
            var position = 2
            self = .optionAcknowledgement(try Self.options(datagram, &position))
        }
    }

    /// The packet's bytes. Of data, the header alone.
    var encoded: [UInt8] {
        switch self {
        case .request(let request):
            var bytes = Self.bytes(of: (request.direction == .read ? Opcode.read : .write).rawValue)
            for text in [request.name, request.mode.rawValue] { bytes += Array(text.utf8) + [0] }
            return bytes + Self.bytes(of: request.options)
        case .data(let block, _):
            return Self.bytes(of: Opcode.data.rawValue) + Self.bytes(of: block)
        case .acknowledgement(let block):
            return Self.bytes(of: Opcode.acknowledgement.rawValue) + Self.bytes(of: block)
        case .error(let code, let message):
            let text = message.utf8.prefix(Self.maximumMessageLength).filter { $0 != 0 }
            return Self.bytes(of: Opcode.error.rawValue) + Self.bytes(of: code) + text + [0]
        case .optionAcknowledgement(let options):
            return Self.bytes(of: Opcode.optionAcknowledgement.rawValue) + Self.bytes(of: options)
        }
    }

    /// The error packet that tells of a refusal.
    static func error(_ refusal: TFTPRefusal) -> TFTPPacket {
        .error(code: refusal.code.rawValue, message: refusal.message)
    }

    private static let truncated = TFTPRefusal(.illegalOperation, "the packet is truncated")

    private static func word(_ datagram: Span<UInt8>, at index: Int) -> UInt16? {
        guard index + 2 <= datagram.count else { return nil }
        return UInt16(datagram[index]) << 8 | UInt16(datagram[index + 1])
    }

    private static func bytes(of word: UInt16) -> [UInt8] { [UInt8(word >> 8), UInt8(word & 0xff)] }

    private static func bytes(of options: [TFTPOption]) -> [UInt8] {
        options.flatMap { Array($0.name.utf8) + [0] + Array($0.value.utf8) + [0] }
    }

    private static func request(
        _ direction: ArtifactTransfer.Direction,
        _ datagram: Span<UInt8>
    ) throws(TFTPRefusal) -> TFTPRequest {
        guard datagram.count <= maximumRequestLength else {
            throw TFTPRefusal(.illegalOperation, "the request is longer than \(maximumRequestLength) bytes")
        }
        var position = 2
        guard let name = try string(datagram, &position), let modeName = try string(datagram, &position) else {
            throw truncated
        }
        guard let mode = TFTPRequest.Mode(rawValue: modeName.lowercased()) else {
            throw TFTPRefusal(.illegalOperation, "the mode '\(modeName.printable)' isn't offered: ask for octet")
        }
        return TFTPRequest(direction: direction, name: name, mode: mode, options: try options(datagram, &position))
    }

    private static func options(
        _ datagram: Span<UInt8>,
        _ position: inout Int
    ) throws(TFTPRefusal) -> [TFTPOption] {
        var options: [TFTPOption] = []
        // What follows the last whole option is padding of some boot ROM.
        while let name = try string(datagram, &position), let value = try string(datagram, &position) {
            guard options.count < maximumOptionCount else {
                throw TFTPRefusal(.optionRefused, "more than \(maximumOptionCount) options")
            }
            options.append(TFTPOption(name.lowercased(), value))
        }
        return options
    }

    /// The NUL-terminated string at a position, which is moved behind it; `nil` where none is.
    private static func string(_ datagram: Span<UInt8>, _ position: inout Int) throws(TFTPRefusal) -> String? {
        var text: [UInt8] = []
        var index = position
        while index < datagram.count, datagram[index] != 0 {
            text.append(datagram[index])
            index += 1
        }
        guard index < datagram.count else { return nil }
        position = index + 1
        guard let string = String(validating: text, as: UTF8.self) else {
            throw TFTPRefusal(.illegalOperation, "the request isn't UTF-8")
        }
        return string
    }
}

extension String {
    /// With control characters replaced and cut to some 200 characters, for events and messages.
    var printable: String {
        String(
            UnicodeScalarView(
                unicodeScalars.prefix(200).map {
                    switch $0.properties.generalCategory {
                    case .control, .format, .surrogate, .lineSeparator, .paragraphSeparator, .unassigned, .privateUse:
                        "?"
                    default: $0
                    }
                }
            )
        )
    }
}
