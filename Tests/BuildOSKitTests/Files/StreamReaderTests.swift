import BuildOSKit
import Testing

@Suite("Reading streams") struct StreamReaderTests {
    @Test("what was looked at is read all the same, once, in pieces of any size")
    func peek() throws {
        let (read, write) = try FileDescriptor.pipe(options: .closeOnExec)
        defer { try? read.close() }
        try write.closeAfter { _ = try write.writeAll("abcdefgh".utf8) }
        let reader = StreamReader(read, stop: try StopSignal())
        #expect(try reader.peek(5) == Array("abcde".utf8))
        #expect(try bytes(2, from: reader) == Array("ab".utf8))
        #expect(try reader.peek(4) == Array("cdef".utf8))
        #expect(try bytes(6, from: reader) == Array("cdefgh".utf8))
        #expect(throws: StreamFailure.ended) { try reader.peek(1) }
        #expect(reader.count == 8)
    }

    private func bytes(_ count: Int, from reader: StreamReader) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: count)
        try bytes.withUnsafeMutableBytes { try reader.fill($0) }
        return bytes
    }
}
