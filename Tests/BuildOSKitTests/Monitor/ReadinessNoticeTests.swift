import Glibc
import Synchronization
import TestSupport
import Testing

@testable import BuildOSDaemon
@testable import BuildOSKit

@Suite struct ReadinessNoticeTests {
    private final class Published: StatusPublishing {
        let states = Mutex<[String]>([])
        func publish(_ status: HostStatus) throws { states.withLock { $0.append(status.state) } }
    }

    private func status(_ state: String) -> HostStatus {
        let time = Timestamp(seconds: 0)
        return HostStatus(
            host: "build",
            processId: 1,
            startedAt: time,
            writtenAt: time,
            heartbeatSeconds: 30,
            state: state,
            since: time,
            waitingFor: [],
            toolchains: [],
            inUse: [],
            removedAtStart: [],
            troubles: [],
            configurationErrors: [],
            mails: []
        )
    }

    @Test("BOOT-5: systemd hears once that the monitor is ready, when it has got further than starting")
    func toldOnce() async throws {
        try await withTemporaryDirectory { directory in
            let path = directory.appending("notify").string
            let listener = try #require(Listener(path))
            let published = Published()
            let notice = ReadinessNotice(published, socket: path)
            try notice.publish(status("starting"))
            #expect(listener.next() == nil)
            try notice.publish(status("running"))
            #expect(listener.next() == "READY=1")
            try notice.publish(status("draining"))
            #expect(listener.next() == nil)
            #expect(published.states.withLock { $0 } == ["starting", "running", "draining"])
        }
    }

    @Test func anAbstractSocketIsReached() throws {
        let name = "@buildos-test-\(UInt64.random(in: .min ... .max))"
        let listener = try #require(Listener(name))
        #expect(ReadinessNotice.send("READY=1", to: name))
        #expect(listener.next() == "READY=1")
    }

    @Test func whereNobodyListensNothingIsTold() {
        #expect(!ReadinessNotice.send("READY=1", to: "/nonexistent/notify"))
        #expect(!ReadinessNotice.send("READY=1", to: ""))
        #expect(!ReadinessNotice.send("READY=1", to: String(repeating: "x", count: 200)))
    }
}

/// A datagram socket that takes what is sent to it.
private final class Listener {
    private let file: Int32

    init?(_ name: String) {
        file = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(name.utf8)
        if bytes.first == UInt8(ascii: "@") { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(file, $0, length) }
        }
        guard file >= 0, bound == 0 else { return nil }
    }

    deinit { close(file) }

    /// What came, without waiting.
    func next() -> String? {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = recv(file, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : String(decoding: buffer.prefix(count), as: UTF8.self)
    }
}
