import BuildOSKit
import Glibc

/// A stream between a socket on this machine and somewhere that the host can reach.
final class ForwardChannel: ChannelWork {
    private enum Phase {
        case waiting
        case opening
        case open(Channel)
        case freeing(Channel)
        case finished
    }

    private let job: ForwardJob
    /// What comes from the socket, and what goes to it.
    private let source: StreamSource
    private let sink: StreamSink
    private var phase = Phase.waiting
    private var isSourceEnded = false
    private var isSinkEnded = false
    private var isCancelled = false
    private var isAnswered = false

    private static let turn = 512 << 10

    /// Takes over the job's socket.
    init(_ job: ForwardJob) {
        self.job = job
        source = StreamSource(job.socket, isOwned: false)
        sink = StreamSink(borrowing: job.socket)
    }

    var id: UInt64 { job.id }
    var isSession: Bool { false }
    var isFinished: Bool { if case .finished = phase { true } else { false } }
    var opening: OpeningPhase {
        switch phase {
        case .waiting: .waiting
        case .opening: .underWay
        default: .over
        }
    }
    var deadline: ContinuousClock.Instant? { nil }

    var waitsFor: [pollfd] {
        guard case .open = phase else { return [] }
        return [isSourceEnded ? nil : source.waitsFor, sink.waitsFor].compactMap { $0 }
    }

    func cancel() { isCancelled = true }

    func fail(_ error: TransportError) {
        answer(.failure(error))
        finish()
    }

    func step(on session: Session, mayOpen: Bool) throws(ConnectionLoss) -> Bool {
        switch phase {
        case .waiting:
            if isCancelled {
                fail(TransportError(.cancelled, subject: job.target.description))
                return true
            }
            guard mayOpen else { return false }
            phase = .opening
            return try open(on: session)
        case .opening: return try open(on: session)
        case .open(let channel):
            if isCancelled {
                phase = .freeing(channel)
                return true
            }
            return try move(channel)
        case .freeing(let channel):
            if case .again = try channel.free() { return false }
            finish()
            return true
        case .finished: return false
        }
    }

    private func open(on session: Session) throws(ConnectionLoss) -> Bool {
        let (type, message) = ForwardRequest.encoded(job.target)
        switch try Channel.open(type, message: message, on: session) {
        case nil: return false
        case .failure(let refusal)?:
            fail(
                TransportError(
                    .inputOutput,
                    subject: "forwarding to \(job.target)",
                    detail: refusal.detail,
                    remedy: "check that something listens there, and that the host's sshd_config allows forwarding"
                )
            )
        case .success(let channel)?:
            phase = .open(channel)
            answer(.success(()))
        }
        return true
    }

    private func move(_ channel: Channel) throws(ConnectionLoss) -> Bool {
        sink.flush()
        var didWork = false
        if !isSinkEnded {
            if sink.wantsMore { try receive(channel, &didWork) } else { try channel.pump() }
        }
        if isSinkEnded, sink.isDrained { shutdown(job.socket, Int32(SHUT_WR)) }
        if !isSourceEnded { try send(channel, &didWork) }
        let isOver = isSourceEnded && isSinkEnded && sink.isDrained
        if isOver || sink.failure != nil {
            phase = .freeing(channel)
            didWork = true
        }
        return didWork
    }

    private func receive(_ channel: Channel, _ didWork: inout Bool) throws(ConnectionLoss) {
        let buffer = channel.session.readBuffer
        var total = 0
        while total < Self.turn {
            guard case .done(let count) = try channel.read(0, into: buffer) else { return }
            didWork = true
            if count == 0 {
                isSinkEnded = true
                return
            }
            sink.take(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            total += count
        }
    }

    private func send(_ channel: Channel, _ didWork: inout Bool) throws(ConnectionLoss) {
        var total = 0
        while total < Self.turn, !channel.session.buffers.isFull {
            source.fill()
            var count = 0
            try source.give { bytes throws(ConnectionLoss) in
                guard bytes.count > 0 else { return 0 }
                if case .done(let taken) = try channel.write(bytes) { count = taken }
                return count
            }
            if count == 0 { break }
            total += count
            didWork = true
        }
        if source.isAtEnd {
            if case .again = try channel.sendEnd() { return }
            isSourceEnded = true
            didWork = true
        }
    }

    private func answer(_ result: Result<Void, TransportError>) {
        guard !isAnswered else { return }
        isAnswered = true
        job.opened(result)
    }

    private func finish() {
        guard !isFinished else { return }
        phase = .finished
        sink.finish()
        source.finish()
        close(job.socket)
        job.ended()
    }
}

/// The requests that open a forwarded stream.
enum ForwardRequest {
    /// The channel's type and what goes with it: RFC 4254, 7.2, and OpenSSH's PROTOCOL, 2.4.
    static func encoded(_ target: ForwardTarget) -> (type: String, message: [UInt8]) {
        switch target {
        case .tcp(let host, let port):
            ("direct-tcpip", string(host) + number(port) + string("127.0.0.1") + number(0))
        case .unix(let path):
            ("direct-streamlocal@openssh.com", string(path.string) + string("") + number(0))
        }
    }

    private static func string(_ text: String) -> [UInt8] { number(text.utf8.count) + Array(text.utf8) }

    private static func number(_ value: Int) -> [UInt8] {
        let value = UInt32(truncatingIfNeeded: value)
        return [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }
}
