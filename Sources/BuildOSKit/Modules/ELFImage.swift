/// As much of an ELF file's header as tells whether the dynamic linker can safely be given the file.
///
/// `dlopen` maps a file as its headers say and is killed by SIGBUS where a truncated file has no page, so
/// the headers are held against the file's size first. Source: elf(5).
struct ELFImage {
    /// Why a file is not a loadable 64-bit shared object for this machine.
    enum Problem: Error, Hashable {
        case notELF
        case foreign(String)
        case truncated(needs: UInt64, has: UInt64)

        var text: String {
            switch self {
            case .notELF: "it is not an ELF shared object"
            case .foreign(let what): "it is an ELF file, but \(what)"
            case .truncated(let needs, let has): "it is truncated: its headers describe \(needs) bytes, it has \(has)"
            }
        }
    }

    static let headerSize = 64

    /// Checks the file header and program headers in `head`, the beginning of a file of `fileSize` bytes.
    static func check(head: [UInt8], fileSize: UInt64) throws(Problem) {
        guard head.count >= 4, head.prefix(4).elementsEqual([0x7f, 0x45, 0x4c, 0x46]) else { throw .notELF }
        guard head.count >= headerSize else { throw .truncated(needs: UInt64(headerSize), has: fileSize) }
        guard head[4] == 2, head[5] == 1 else { throw .foreign("not for 64-bit little-endian machines") }
        guard read(head, 16, 2) == 3 else { throw .foreign("not a shared object") }
        let machine = read(head, 18, 2)
        guard machine == nativeMachine else { throw .foreign("for another processor (machine \(machine))") }

        let programHeaders = try table(
            head,
            offset: read(head, 32, 8),
            size: read(head, 54, 2),
            count: read(head, 56, 2),
            fileSize
        )
        _ = try table(head, offset: read(head, 40, 8), size: read(head, 58, 2), count: read(head, 60, 2), fileSize)
        guard read(head, 54, 2) >= 56 else { throw .foreign("its program headers are malformed") }
        for index in 0..<read(head, 56, 2) {
            let start = programHeaders.lowerBound + index * read(head, 54, 2)
            guard start + 56 <= UInt64(head.count) else {
                throw .foreign("its program headers are not at its beginning")
            }
            let (end, overflow) = read(head, Int(start) + 8, 8).addingReportingOverflow(read(head, Int(start) + 32, 8))
            guard !overflow, end <= fileSize else { throw .truncated(needs: overflow ? .max : end, has: fileSize) }
        }
    }

    private static func table(
        _ head: [UInt8],
        offset: UInt64,
        size: UInt64,
        count: UInt64,
        _ fileSize: UInt64
    ) throws(Problem) -> Range<UInt64> {
        let (end, overflow) = offset.addingReportingOverflow(size * count)
        guard !overflow, end <= fileSize else { throw .truncated(needs: overflow ? .max : end, has: fileSize) }
        return offset..<end
    }

    private static func read(_ bytes: [UInt8], _ offset: Int, _ width: Int) -> UInt64 {
        bytes[offset..<offset + width].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static var nativeMachine: UInt64 {
        #if arch(x86_64)
            62
        #elseif arch(arm64)
            183
        #else
            0
        #endif
    }
}
