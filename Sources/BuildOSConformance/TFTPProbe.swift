import BuildOSKit
import Glibc

/// A TFTP client that does what a check tells it, also what no client should do. It shares nothing with any server.
///
/// Its calls block: run them by ``run(_:_:)`` or ``perform(_:)``.
final class TFTPProbe: Sendable {
    /// What came.
    struct Packet: Sendable {
        let bytes: [UInt8]
        /// The server's port for this transfer.
        let port: UInt16
        /// Where it came from.
        let host: String

        private func word(_ index: Int) -> UInt16 {
            index + 1 < bytes.count ? UInt16(bytes[index]) << 8 | UInt16(bytes[index + 1]) : 0
        }
        var opcode: UInt16 { word(0) }
        /// Of data and acknowledgements the block, of errors the code.
        var number: UInt16 { word(2) }
        var payload: ArraySlice<UInt8> { bytes.dropFirst(4) }
        /// Of an option acknowledgement.
        var options: [String: String] {
            let words = bytes.dropFirst(2).split(separator: 0, omittingEmptySubsequences: false)
                .map { String(decoding: $0, as: UTF8.self) }
            var options: [String: String] = [:]
            for index in stride(from: 0, to: words.count - 1, by: 2) {
                options[words[index].lowercased()] = words[index + 1]
            }
            return options
        }
        var isData: Bool { opcode == 3 }
        var isAcknowledgement: Bool { opcode == 4 }
        var isError: Bool { opcode == 5 }
        var isOptions: Bool { opcode == 6 }
    }

    /// Far longer than any answer takes, so that a server that never answers fails a check on a busy machine, too.
    static let patience: Int32 = 20_000

    private let socket: Int32
    private let server: ServerEndpoint
    private let address: in_addr

    /// Makes a client of a server with an IPv4 address.
    init(_ server: ServerEndpoint) throws {
        self.server = server
        var address = in_addr()
        guard inet_pton(AF_INET, server.host, &address) == 1 else {
            throw ConformanceFailure("'\(server.host)' is no IPv4 address")
        }
        self.address = address
        socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw ConformanceFailure("no socket: \(Errno(rawValue: errno))") }
        var size: Int32 = 4 << 20
        setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { close(socket) }

    /// Has a client do something on a thread of its own.
    static func run<Result: Sendable>(
        _ server: ServerEndpoint,
        _ body: @escaping @Sendable (TFTPProbe) throws -> Result
    ) async throws -> Result {
        try await TFTPProbe(server).perform(body)
    }

    /// Does something on a thread of its own.
    func perform<Result: Sendable>(_ body: @escaping @Sendable (TFTPProbe) throws -> Result) async throws -> Result {
        try await DedicatedThread.run(name: "tftp-probe") { () throws(any Error) in try body(self) }
    }

    // MARK: Packets

    func request(write: Bool = false, _ name: String, mode: String = "octet", _ options: [(String, String)] = []) {
        let words = [name, mode] + options.flatMap { [$0.0, $0.1] }
        send([0, write ? 2 : 1] + words.flatMap { Array($0.utf8) + [0] }, to: UInt16(server.port))
    }

    func acknowledge(_ block: UInt16, to port: UInt16) { send([0, 4] + Self.bytes(block), to: port) }

    func data(_ block: UInt16, _ payload: some Collection<UInt8>, to port: UInt16) {
        send([0, 3] + Self.bytes(block) + payload, to: port)
    }

    func send(_ bytes: [UInt8], to port: UInt16) {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr = self.address
        address.sin_port = port.bigEndian
        withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = sendto(
                    socket,
                    bytes,
                    bytes.count,
                    Int32(MSG_NOSIGNAL),
                    $0,
                    socklen_t(MemoryLayout<sockaddr_in>.size)
                )
            }
        }
    }

    /// The next packet; `nil` if none comes for `milliseconds`.
    func next(within milliseconds: Int32) throws -> Packet? {
        var poll = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        guard Glibc.poll(&poll, 1, milliseconds) > 0 else { return nil }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let count = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(socket, &bytes, bytes.count, 0, $0, &length)
            }
        }
        guard count >= 0 else { throw ConformanceFailure("nothing can be received: \(Errno(rawValue: errno))") }
        let host = withUnsafeBytes(of: &address.sin_addr) { $0.map { "\($0)" }.joined(separator: ".") }
        return Packet(bytes: Array(bytes.prefix(count)), port: UInt16(bigEndian: address.sin_port), host: host)
    }

    func next() throws -> Packet {
        guard let packet = try next(within: Self.patience) else { throw ConformanceFailure("the server is silent") }
        return packet
    }

    func expectError(_ code: UInt16) throws {
        let packet = try next()
        try require(
            packet.isError && packet.number == code,
            "the answer is \(packet.isError ? "error" : "packet \(packet.opcode),") \(packet.number), not error \(code)"
        )
    }

    private static func bytes(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 0xff)] }

    // MARK: Whole transfers

    /// Has packets come, and says again what wasn't answered for a time, as a good client does. Answers that say nothing new
    /// don't count: a server may repeat itself faster than that.
    private struct Patience {
        private static let milliseconds: Int64 = 250
        private var repetitions = 0
        private var due = Self.next

        private static var next: ContinuousClock.Instant { .now + .milliseconds(milliseconds) }

        mutating func gotOn() { self = Patience() }

        mutating func packet(_ probe: TFTPProbe, repeating again: () -> Void) throws -> Packet {
            while repetitions < Int64(TFTPProbe.patience) / Self.milliseconds {
                let left = (due - .now) / .milliseconds(1)
                if let packet = try probe.next(within: Int32(max(0, left.rounded(.up)))) { return packet }
                again()
                repetitions += 1
                due = Self.next
            }
            throw ConformanceFailure("the server is silent")
        }
    }

    /// What a server agreed to.
    private struct Terms {
        var blockSize = 512
        var window = 1

        init(_ answer: Packet, asked: [(String, String)]) throws {
            guard answer.isOptions else { return }
            let asked = Dictionary(asked) { $1 }
            for (option, value) in answer.options {
                guard let wish = asked[option] else { throw ConformanceFailure("\(option) was granted unasked") }
                if option == "blksize" || option == "windowsize" {
                    try require(Int(value) ?? .max <= Int(wish) ?? 0, "\(option) is \(value): more than asked")
                }
            }
            blockSize = answer.options["blksize"].flatMap { Int($0) } ?? blockSize
            window = answer.options["windowsize"].flatMap { Int($0) } ?? window
        }
    }

    /// Reads a file as a good client does.
    func read(_ name: String, mode: String = "octet", _ options: [(String, String)] = []) throws -> [UInt8] {
        var patience = Patience()
        request(name, mode: mode, options)
        var packet = try patience.packet(self) { request(name, mode: mode, options) }
        let terms = try Terms(packet, asked: options)
        let port = packet.port
        var content: [UInt8] = []
        var received: Int64 = 0
        var inWindow = 0
        func acknowledge() {
            inWindow = 0
            self.acknowledge(UInt16(truncatingIfNeeded: received), to: port)
        }
        while true {
            if packet.isError { throw ConformanceFailure("'\(name)' was answered with error \(packet.number)") }
            if packet.isData, packet.number == UInt16(truncatingIfNeeded: received + 1) {
                patience.gotOn()
                received += 1
                inWindow += 1
                content += packet.payload
                let isLast = packet.payload.count < terms.blockSize
                if isLast || inWindow == terms.window { acknowledge() }
                if isLast { return content }
            } else {
                // The options, a repetition, or what follows a packet that was lost: asked for anew.
                acknowledge()
            }
            packet = try patience.packet(self, repeating: acknowledge)
        }
    }

    /// Writes a file as a good client does.
    ///
    /// - Returns: the code of the error that ended it, if one did.
    @discardableResult
    func write(
        _ name: String,
        _ content: [UInt8],
        mode: String = "octet",
        _ options: [(String, String)] = []
    ) throws -> UInt16? {
        var patience = Patience()
        request(write: true, name, mode: mode, options)
        var answer = try patience.packet(self) { request(write: true, name, mode: mode, options) }
        let terms = try Terms(answer, asked: options)
        let port = answer.port
        let last = Int64(content.count / terms.blockSize + 1)
        var acknowledged: Int64 = 0
        func sendWindow() {
            for block in (acknowledged + 1)...min(last, acknowledged + Int64(terms.window)) {
                let start = Int(block - 1) * terms.blockSize
                let payload = content[start..<min(start + terms.blockSize, content.count)]
                data(UInt16(truncatingIfNeeded: block), payload, to: port)
            }
        }
        if !answer.isError { sendWindow() }
        while true {
            if answer.isError { return answer.number }
            let distance = Int64(answer.number &- UInt16(truncatingIfNeeded: acknowledged))
            if answer.isAcknowledgement, (1...Int64(terms.window)).contains(distance) {
                patience.gotOn()
                acknowledged += distance
                if acknowledged == last { return nil }
                sendWindow()
            }
            answer = try patience.packet(self, repeating: sendWindow)
        }
    }
}
