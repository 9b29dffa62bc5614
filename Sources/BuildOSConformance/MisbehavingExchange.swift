import BuildOSKit
import Glibc

/// One request and its answer.
struct MisbehavingExchange {
    let connection: Int32
    let request: HTTPRequest
    let files: FilePath?
    let server: MisbehavingServer

    func answer() {
        let parts = request.path.split(separator: "/")
        let number = parts.dropFirst().first.flatMap { Int($0) } ?? 0
        switch parts.first {
        case "a": body(number)
        case "unsized":
            head("200 OK", [])
            letters(number)
        case "moved": number == 0 ? body(3) : redirect("/moved/\(number - 1)")
        case "loop": redirect("/loop")
        case "to-file": redirect("file:///etc/passwd")
        case "status": head("\(number) Made So", ["Content-Length: 4"], "gone")
        case "explained":
            head("\(number) Made So", ["Content-Type: text/plain"], "invalid session\nand more\n")
        case "cut": head("200 OK", ["Content-Length: 1000"], String(repeating: "a", count: 500))
        case "stall":
            head("200 OK", ["Content-Length: 1000"], String(repeating: "a", count: 500))
            waitForPeer()
        case "silent": waitForPeer()
        case "endless":
            head("200 OK", [])
            while letters(65_536) {}
        case "endless-header":
            send("HTTP/1.1 200 OK\r\n")
            while send("X-Filler: \(String(repeating: "x", count: 1000))\r\n") {}
        case "versioned": versioned()
        case "files": file(parts.dropFirst().joined(separator: "/"))
        case "barrier":
            server.waitAtBarrier(of: number)
            body(1000)
        case "held":
            server.waitForRelease()
            body(1000)
        case "echo": echo()
        case "again": redirect("/echo", "\(number) Elsewhere")
        case "part": part(parts.dropFirst().map(String.init))
        default: head("404 Not Found", ["Content-Length: 0"])
        }
    }

    /// The method, the type and the conditions of the request line by line, an empty line, and its body.
    private func echo() {
        let conditions = ["if-none-match", "if-modified-since", "range", "if-range"].filter {
            request.header($0) != nil
        }
        let lines = [request.method, request.header("content-type") ?? "", conditions.joined(separator: " "), "", ""]
        let answer = Array(lines.joined(separator: "\n").utf8) + request.body
        head("200 OK", ["Content-Length: \(answer.count)"])
        _ = send(answer)
    }

    private func part(_ words: [String]) {
        guard words.count >= 2, let mode = PartialAnswer.Mode(rawValue: words[0]), let count = Int(words[1]) else {
            return head("404 Not Found", ["Content-Length: 0"])
        }
        let answer = PartialAnswer(mode, count, range: request.header("range"), condition: request.header("if-range"))
        // Before they are sent: a client that has them all may ask for the count at once.
        server.countPart(bytes: answer.body.count)
        head(answer.status, answer.headers)
        _ = send(answer.body)
    }

    private func versioned() {
        let isCurrent =
            request.header("if-none-match") == MisbehavingServer.entityTag
            || request.header("if-modified-since") == MisbehavingServer.lastModified
        let validators = [
            "ETag: \(MisbehavingServer.entityTag)", "Last-Modified: \(MisbehavingServer.lastModified)",
        ]
        if isCurrent {
            head("304 Not Modified", validators)
        } else {
            head("200 OK", validators + ["Content-Length: 3"], "aaa")
        }
    }

    private func file(_ path: String) {
        guard let files, let relative = try? RelativePath(path),
            let bytes = try? FileTree.read(files.appending(relative.description), limit: 1 << 30)
        else { return head("404 Not Found", ["Content-Length: 0"]) }
        head("200 OK", ["Content-Length: \(bytes.count)"])
        _ = send(bytes)
    }

    private func redirect(_ location: String, _ status: String = "302 Found") {
        head(status, ["Location: \(location)", "Content-Length: 4"], "else")
    }

    private func body(_ count: Int) {
        head("200 OK", ["Content-Length: \(count)"])
        letters(count)
    }

    private func head(_ status: String, _ headers: [String], _ body: String = "") {
        let lines = ["HTTP/1.1 \(status)", "Connection: close"] + headers
        send(lines.joined(separator: "\r\n") + "\r\n\r\n" + body)
    }

    @discardableResult
    private func letters(_ count: Int) -> Bool {
        var left = count
        while left > 0 {
            let piece = min(left, 65_536)
            guard send([UInt8](repeating: UInt8(ascii: "a"), count: piece)) else { return false }
            left -= piece
        }
        return true
    }

    @discardableResult
    private func send(_ text: String) -> Bool { send(Array(text.utf8)) }

    private func send(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes {
                Glibc.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Until the client goes or the server stops.
    private func waitForPeer() {
        var byte: UInt8 = 0
        while recv(connection, &byte, 1, 0) > 0 {}
    }
}
