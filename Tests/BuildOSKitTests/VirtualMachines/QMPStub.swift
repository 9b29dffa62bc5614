import BuildOSKit
import Glibc
import QMP

/// A stub of a QMP server, for what the real one can't be made to do: answers out of order, lines that are not QMP, silence.
/// `QMPWithQEMUTests` speaks with the real one.
struct QMPStub {
    let connection: QMPConnection

    static let greeting = """
        {"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}
        """

    /// Starts a server and a client's thread.
    ///
    /// - Parameters:
    ///   - onEvent: called on the client's thread.
    ///   - answer: called with every command; what it returns is sent, and the connection ended after `nil`.
    init(
        greeting: String = greeting,
        onEvent: @escaping @Sendable (QMPEvent) -> Void = { _ in },
        _ answer: @escaping @Sendable (JSONValue) -> String?
    ) throws {
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) == 0 else {
            throw Errno(rawValue: errno)
        }
        let connection = QMPConnection(socket: ends[0])
        let server = FileDescriptor(rawValue: ends[1])
        self.connection = connection
        try DedicatedThread.start(name: "qmp-client") { connection.serve(onEvent) }
        try DedicatedThread.start(name: "qmp-stub") {
            Self.serve(server, greeting, answer)
            try? server.close()
        }
    }

    private static func serve(
        _ socket: FileDescriptor,
        _ greeting: String,
        _ answer: (JSONValue) -> String?
    ) {
        send(greeting + "\r\n", to: socket)
        var pending: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while let count = try? buffer.withUnsafeMutableBytes({ try socket.read(into: $0) }), count > 0 {
            pending.append(contentsOf: buffer[..<count])
            while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                let line = pending[..<end]
                pending = Array(pending[(end + 1)...])
                guard let command = try? JSONValue(parsing: line), let text = answer(command) else { return }
                send(text, to: socket)
            }
        }
    }

    private static func send(_ text: String, to socket: FileDescriptor) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(socket.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// The line of a successful reply.
    static func success(_ command: JSONValue, _ value: JSONValue = .object([:])) -> String {
        "\(JSONValue.object(["return": value, "id": command["id"] ?? .null]))\r\n"
    }
}
