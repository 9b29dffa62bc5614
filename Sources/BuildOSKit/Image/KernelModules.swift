/// The dependencies of a kernel's modules, from `modules.dep` (modules.dep(5)).
public struct KernelModules: Sendable, Hashable {
    /// The file of each module, relative to `/lib/modules/<version>`, by name.
    private let files: [String: String]
    /// What each file needs, in the order `modules.dep` gives.
    private let needs: [String: [String]]

    /// Reads the text of `modules.dep`; a line without a colon is passed over.
    public init(parsing text: String) {
        var files: [String: String] = [:]
        var needs: [String: [String]] = [:]
        for line in text.split(separator: "\n") {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let file = String(line[..<colon])
            needs[file] = line[line.index(after: colon)...].split(separator: " ").map(String.init)
            files[Self.name(of: file)] = file
        }
        self.files = files
        self.needs = needs
    }

    /// The files that load the modules named, each after what it needs; `nil` with the first name that isn't there.
    public func loadOrder(of names: [String]) -> Result<[String], MissingKernelModule> {
        var order: [String] = []
        for name in names {
            guard let file = files[Self.canonical(name)] else { return .failure(MissingKernelModule(name: name)) }
            // modules.dep lists the whole closure, what is needed last first.
            for needed in needs[file, default: []].reversed() + [file] where !order.contains(needed) {
                order.append(needed)
            }
        }
        return .success(order)
    }

    private static func name(of file: String) -> String {
        let base = file.split(separator: "/").last ?? ""
        return canonical(String(base.prefix { $0 != "." }))
    }

    /// Module names have `_` where their files may have `-`.
    private static func canonical(_ name: String) -> String { String(name.map { $0 == "-" ? "_" : $0 }) }
}

/// A kernel module that stage 1 needs and the kernel package does not have.
public struct MissingKernelModule: DiagnosableError, Hashable {
    /// Its name.
    public let name: String

    public var subject: String { "kernel module \(name)" }
    public var cause: String { "the kernel package does not have it, and stage 1 loads it" }
    public var remedy: String? { "choose another --kernel, or mend OS/initramfs/modules" }
}
