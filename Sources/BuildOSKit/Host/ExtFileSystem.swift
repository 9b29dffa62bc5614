/// What the superblock of an ext2, ext3 or ext4 says about how it was left.
public enum ExtFileSystem {
    /// How many bytes of the device ``wasLeftClean(beginning:)`` looks at.
    public static let beginning = 2048

    /// Whether it was unmounted in order, so that nothing need be checked.
    ///
    /// - Parameter bytes: the beginning of the device.
    /// - Returns: `nil` if it isn't such a file system.
    public static func wasLeftClean(beginning bytes: [UInt8]) -> Bool? {
        guard bytes.count >= 1024 + 60, bytes[1024 + 56] == 0x53, bytes[1024 + 57] == 0xef else { return nil }
        return bytes[1024 + 58] == 1 && bytes[1024 + 59] == 0
    }
}
