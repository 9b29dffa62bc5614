import Glibc

/// A form that holds files, as web servers take it (RFC 7578).
struct MultipartForm {
    enum Content {
        case text(String)
        case file(FilePath)
    }

    private let parts: [(name: String, content: Content)]
    private let boundary: String

    init(_ parts: [(name: String, content: Content)]) {
        self.parts = parts
        // 128 random bits: no content holds them by chance, and nobody can put them there who doesn't know them.
        let words = (0..<4).map { _ in String(UInt32.random(in: .min ... .max), radix: 36) }
        boundary = "buildos-" + words.joined(separator: "-")
    }

    var contentType: String { "multipart/form-data; boundary=\(boundary)" }

    /// Writes the form to a file.
    ///
    /// - Throws: ``FileError``
    func write(to path: FilePath) throws(FileError) {
        do {
            let file = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: .ownerReadWrite
            )
            try file.closeAfter {
                for part in parts { try write(part.name, part.content, to: file) }
                try file.writeAll("--\(boundary)--\r\n".utf8)
            }
        } catch {
            throw error as? FileError ?? FileError("write", path, error as? Errno ?? .ioError)
        }
    }

    private func write(_ name: String, _ content: Content, to file: FileDescriptor) throws {
        var head = "--\(boundary)\r\nContent-Disposition: form-data; name=\"\(Self.escaped(name))\""
        switch content {
        case .text(let text):
            try file.writeAll("\(head)\r\n\r\n\(text)\r\n".utf8)
        case .file(let path):
            head += "; filename=\"\(Self.escaped(path.lastComponent?.string ?? "file"))\""
            try file.writeAll("\(head)\r\nContent-Type: application/octet-stream\r\n\r\n".utf8)
            try copy(path, to: file)
            try file.writeAll("\r\n".utf8)
        }
    }

    private func copy(_ path: FilePath, to file: FileDescriptor) throws {
        let source: FileDescriptor
        do { source = try FileDescriptor.open(path, .readOnly, options: [.noFollow, .closeOnExec]) } catch {
            throw FileError("read", path, error as? Errno ?? .ioError)
        }
        try source.closeAfter {
            var buffer = [UInt8](repeating: 0, count: 256 << 10)
            while true {
                let count = try buffer.withUnsafeMutableBytes { try source.read(into: $0) }
                if count == 0 { return }
                try file.writeAll(buffer.prefix(count))
            }
        }
    }

    /// As browsers escape what would end the quoted text (RFC 7578, 2).
    private static func escaped(_ name: String) -> String {
        name.replacing("\"", with: "%22").replacing("\r", with: "%0D").replacing("\n", with: "%0A")
    }
}
