/// A file system on a disk or a partition.
public struct BlockDevice: Sendable, Hashable {
    /// Its device, such as `/dev/sda1`.
    public let path: String
    /// The label of the file system.
    public let label: String
    /// The type of the file system, such as `btrfs`.
    public let type: String
    /// The identity of the file system; the devices of a btrfs share it.
    public let fileSystem: String
    /// The identity of the device in a file system of several devices.
    public let member: String

    /// Creates a device.
    public init(path: String, label: String, type: String, fileSystem: String = "", member: String = "") {
        self.path = path
        self.label = label
        self.type = type
        self.fileSystem = fileSystem
        self.member = member
    }

    /// Reads the output of `blkid -o export` (blkid(8)): blocks of `NAME=value`, with backslashes before what a shell
    /// would take for special.
    ///
    /// Devices without a label are left out; what can't be understood is passed over.
    public static func parse(blkidExport text: String) -> [BlockDevice] {
        var devices: [BlockDevice] = []
        var tags: [String: String] = [:]
        func finish() {
            if let path = tags["DEVNAME"], path.hasPrefix("/dev/"), let label = tags["LABEL"] {
                devices.append(
                    BlockDevice(
                        path: path,
                        label: label,
                        type: tags["TYPE"] ?? "",
                        fileSystem: tags["UUID"] ?? "",
                        member: tags["UUID_SUB"] ?? ""
                    )
                )
            }
            tags = [:]
        }
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("DEVNAME=") { finish() }
            guard let equals = line.firstIndex(of: "=") else { continue }
            tags[String(line[..<equals])] = unescaped(line[equals...].dropFirst())
        }
        finish()
        return devices
    }

    private static func unescaped(_ text: Substring) -> String {
        var result = ""
        var isEscaped = false
        for character in text {
            if character == "\\", !isEscaped {
                isEscaped = true
            } else {
                result.append(character)
                isEscaped = false
            }
        }
        return result
    }
}
