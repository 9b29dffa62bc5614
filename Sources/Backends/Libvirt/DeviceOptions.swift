import BuildOSKit

/// Options of a machine's manifest as QEMU gets them from libvirt, which runs it in a directory of its own.
struct DeviceOptions {
    /// One argument each.
    let arguments: [String]

    /// Puts in the interface's name and address where a value is `?`, and the working directory before relative paths.
    ///
    /// Paths are what QEMU's options for drives and character devices call `file`, `filename` and `path`, and what options
    /// such as `-cdrom` are given; not what stands in JSON.
    init(
        _ options: [String],
        interface: VirtualNetworkInterface?,
        workingDirectory: FilePath?
    ) throws(InvalidValue) {
        var arguments: [String] = []
        var isPathExpected = false
        for option in options {
            defer { isPathExpected = Self.optionsWithPath.contains(option) }
            if option.hasPrefix("-") || option.hasPrefix("{") {
                arguments.append(option)
            } else if isPathExpected {
                arguments.append(Self.absolute(option, workingDirectory, isInList: false))
            } else {
                arguments.append(try Self.rewritten(option, interface, workingDirectory))
            }
        }
        self.arguments = arguments
    }

    private static let optionsWithPath: Set<String> = [
        "-bios", "-cdrom", "-fda", "-fdb", "-hda", "-hdb", "-hdc", "-hdd", "-initrd", "-kernel", "-pflash", "-sd",
    ]
    private static let pathKeys: Set<String> = ["file", "file.filename", "filename", "path"]

    private static func rewritten(
        _ option: String,
        _ interface: VirtualNetworkInterface?,
        _ workingDirectory: FilePath?
    ) throws(InvalidValue) -> String {
        var parts: [String] = []
        for part in split(option) {
            let ends = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard ends.count == 2 else {
                parts.append(part)
                continue
            }
            switch (ends[0], ends[1]) {
            case ("ifname", "?"):
                guard case .tap(let name)? = interface?.connection else {
                    throw InvalidValue("'ifname=?' stands for a tap device, and the machine has none")
                }
                parts.append("ifname=\(name)")
            case ("mac", "?"):
                guard let address = interface?.macAddress else {
                    throw InvalidValue("'mac=?' stands for an address, and the first interface has none")
                }
                parts.append("mac=\(address)")
            case (let key, let value) where pathKeys.contains(key):
                parts.append("\(key)=\(absolute(value, workingDirectory, isInList: true))")
            default:
                parts.append(part)
            }
        }
        return parts.joined(separator: ",")
    }

    /// The parts of an option between commas; a doubled comma is one that belongs to a value, and stays doubled.
    private static func split(_ option: String) -> [String] {
        var parts = [""]
        var rest = option[...]
        while let character = rest.popFirst() {
            if character != "," {
                parts[parts.count - 1].append(character)
            } else if rest.first == "," {
                rest.removeFirst()
                parts[parts.count - 1] += ",,"
            } else {
                parts.append("")
            }
        }
        return parts
    }

    /// What names a protocol, such as `fat:` or `http:`, is no path.
    private static func absolute(_ path: String, _ directory: FilePath?, isInList: Bool) -> String {
        let hasProtocol = path.prefix { $0 != "/" }.contains(":")
        guard let directory, !path.isEmpty, !path.hasPrefix("/"), !hasProtocol else { return path }
        let prefix = directory.string
        return (isInList ? escaped(prefix) : prefix) + "/" + path
    }

    /// A value of an option: QEMU wants its commas doubled.
    static func escaped(_ value: String) -> String {
        String(value.flatMap { $0 == "," ? [",", ","] : [$0] })
    }
}
