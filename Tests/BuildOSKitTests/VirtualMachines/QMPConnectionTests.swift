@testable import QMP
import Synchronization
import Testing

@Suite("QMP, against a stub") struct QMPConnectionTests {
    @Test("the greeting is read and command mode entered")
    func negotiation() async throws {
        let stub = try QMPStub { QMPStub.success($0) }
        let greeting = try await stub.connection.negotiate()
        #expect(greeting == QMPGreeting(version: "7.2.22", package: "Debian", capabilities: ["oob"]))
        #expect(stub.connection.peerProcess != nil)
    }

    @Test("replies find their commands in whatever order they come")
    func outOfOrder() async throws {
        let held = Mutex<JSONValue?>(nil)
        let stub = try QMPStub { command in
            guard command["execute"] != "qmp_capabilities" else { return QMPStub.success(command) }
            let first = held.withLock { first in
                defer { if first == nil { first = command } }
                return first
            }
            guard let first else { return "" }
            return [command, first].map { QMPStub.success($0, $0["execute"] ?? .null) }.joined()
        }
        try await stub.connection.negotiate()
        async let one = stub.connection.execute("one")
        async let two = stub.connection.execute("two")
        #expect(try await one == "one")
        #expect(try await two == "two")
    }

    @Test("a failed command throws QEMU's class and words, also where the id is missing")
    func failure() async throws {
        let stub = try QMPStub { command in
            switch command["execute"] {
            case "qmp_capabilities": QMPStub.success(command)
            case "garbled": "{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n"
            default:
                "{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"no such\"}, \"id\": \(command["id"] ?? .null)}\n"
            }
        }
        try await stub.connection.negotiate()
        await #expect(throws: QMPError.failed(errorClass: "CommandNotFound", description: "no such")) {
            try await stub.connection.execute("unknown")
        }
        await #expect(throws: QMPError.failed(errorClass: "GenericError", description: "JSON parse error")) {
            try await stub.connection.execute("garbled")
        }
    }

    @Test("events come in order, to the handler and to every subscriber, which end with the connection")
    func events() async throws {
        let handled = Mutex<[String]>([])
        let stub = try QMPStub(onEvent: { event in handled.withLock { $0.append(event.name) } }) { command in
            guard command["execute"] == "go" else {
                return command["execute"] == "quit" ? nil : QMPStub.success(command)
            }
            let events = ["STOP", "RESUME"].map { "{\"event\": \"\($0)\", \"data\": {\"x\": 1}}\r\n" }
            return events.joined() + QMPStub.success(command)
        }
        try await stub.connection.negotiate()
        let (first, second) = (stub.connection.events(), stub.connection.events())
        try await stub.connection.execute("go")
        await #expect(throws: QMPError.closed) { try await stub.connection.execute("quit") }
        for stream in [first, second] {
            var seen: [QMPEvent] = []
            for await event in stream { seen.append(event) }
            #expect(seen.map(\.name) == ["STOP", "RESUME"])
            #expect(seen.first?.data["x"] == 1)
        }
        #expect(handled.withLock { $0 } == ["STOP", "RESUME"])
        for await _ in stub.connection.events() { Issue.record("an event after the end") }
    }

    @Test("a server that is gone fails what waits and what comes after")
    func lost() async throws {
        let stub = try QMPStub { command in command["execute"] == "die" ? nil : QMPStub.success(command) }
        try await stub.connection.negotiate()
        await #expect(throws: QMPError.closed) { try await stub.connection.execute("die") }
        await #expect(throws: QMPError.closed) { try await stub.connection.execute("again") }
    }

    @Test("silence ends at the time limit, and the late reply is nobody else's")
    func silence() async throws {
        let late = Mutex<String>("")
        let stub = try QMPStub { command in
            if command["execute"] == "slow" {
                late.withLock { $0 = QMPStub.success(command, "late") }
                return ""
            }
            return late.withLock { $0 } + QMPStub.success(command, "own")
        }
        try await stub.connection.negotiate()
        await #expect(throws: QMPError.timedOut(command: "slow", .milliseconds(10))) {
            try await stub.connection.execute("slow", timeLimit: .milliseconds(10))
        }
        #expect(try await stub.connection.execute("quick") == "own")
    }

    @Test("a cancelled task waits no longer")
    func cancellation() async throws {
        let stub = try QMPStub { $0["execute"] == "slow" ? "" : QMPStub.success($0) }
        try await stub.connection.negotiate()
        let task = Task { try await stub.connection.execute("slow") }
        task.cancel()
        await #expect(throws: QMPError.cancelled) { try await task.value }
    }

    @Test("a server that doesn't read is not waited for")
    func unread() async throws {
        let stub = try QMPStub { command in
            // Holds up the stub's thread until the test has seen what it came for.
            while command["execute"] == "block", !Self.isOver.withLock({ $0 }) {}
            return QMPStub.success(command)
        }
        defer { Self.isOver.withLock { $0 = true } }
        try await stub.connection.negotiate()
        let padding = JSONValue.string(String(repeating: "x", count: 60_000))
        await #expect(throws: QMPError.self) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<200 { group.addTask { try await stub.connection.execute("block", ["x": padding]) } }
                try await group.waitForAll()
            }
        }
    }
    private static let isOver = Mutex(false)

    @Test(
        "what is not QMP ends the connection with a reason",
        arguments: ["hello", "{}", "[1]", "{\"return\": {}}", "{\"error\": {}}", "{\"QMP\": {}}"]
    )
    func malformed(line: String) async throws {
        let stub = try QMPStub { command in
            command["execute"] == "qmp_capabilities" ? QMPStub.success(command) : line + "\n"
        }
        try await stub.connection.negotiate()
        do {
            try await stub.connection.execute("anything")
            Issue.record("it was taken")
        } catch {
            guard case .malformed = error else {
                Issue.record("\(error)")
                return
            }
        }
    }

    @Test("a line without end is not kept for ever")
    func endless() async throws {
        let stub = try QMPStub(greeting: String(repeating: "x", count: 3 << 20)) { _ in nil }
        await #expect(throws: QMPError.malformed("a line is too long")) { try await stub.connection.negotiate() }
    }

    @Test("a socket that isn't there, or whose path can't be one, is told")
    func noServer() {
        #expect(throws: QMPError.cannotConnect("No such file or directory")) {
            try QMPConnection(connectingTo: "/nonexistent/socket")
        }
        #expect(throws: QMPError.self) { try QMPConnection(connectingTo: String(repeating: "x", count: 108)) }
    }
}
