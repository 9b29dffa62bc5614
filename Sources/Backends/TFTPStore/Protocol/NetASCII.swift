/// The text form of RFC 764 that TFTP's mode `netascii` means: a line ends with CR LF, and a CR that ends none is CR NUL.
enum NetASCII {
    private static let carriageReturn: UInt8 = 13
    private static let lineFeed: UInt8 = 10

    /// A file's bytes as they are sent.
    static func encode(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var encoded: [UInt8] = []
        for byte in bytes {
            switch byte {
            case lineFeed: encoded += [carriageReturn, lineFeed]
            case carriageReturn: encoded += [carriageReturn, 0]
            default: encoded.append(byte)
            }
        }
        return encoded
    }

    /// Takes what is received back to a file's bytes; pairs may be split between blocks.
    struct Decoder: Sendable {
        private var isAfterCarriageReturn = false

        mutating func decode(_ bytes: some Sequence<UInt8>) -> [UInt8] {
            var decoded: [UInt8] = []
            for byte in bytes {
                switch (isAfterCarriageReturn, byte) {
                case (true, lineFeed): decoded.append(lineFeed)
                case (true, 0): decoded.append(carriageReturn)
                // Not allowed; kept as it is.
                case (true, carriageReturn):
                    decoded.append(carriageReturn)
                    continue
                case (true, _): decoded += [carriageReturn, byte]
                case (false, carriageReturn): break
                case (false, _): decoded.append(byte)
                }
                isAfterCarriageReturn = !isAfterCarriageReturn && byte == carriageReturn
            }
            return decoded
        }

        /// What is left at the end.
        mutating func finish() -> [UInt8] {
            defer { isAfterCarriageReturn = false }
            return isAfterCarriageReturn ? [carriageReturn] : []
        }
    }
}
