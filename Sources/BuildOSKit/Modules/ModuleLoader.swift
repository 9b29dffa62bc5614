import Glibc

/// A module that was loaded.
public struct LoadedModule: Sendable {
    /// `<Name>` of `lib<Name>.so`.
    public let name: String
    /// The file.
    public let file: FilePath
    /// What it registered.
    public let backends: [BackendIdentity]
}

/// A module that was not loaded, and why.
public struct ModuleProblem: DiagnosableError, Hashable {
    /// The file or directory.
    public let file: FilePath
    public let cause: String
    public let remedy: String?
    public var subject: String { "module \(file)" }

    init(_ file: FilePath, _ cause: String, remedy: String? = nil) {
        self.file = file
        self.cause = cause
        self.remedy = remedy
    }
}

/// What the loader found.
public struct ModuleInventory: Sendable {
    /// The backends that can be used.
    public fileprivate(set) var registry = BackendRegistry()
    /// The modules they came from.
    public fileprivate(set) var modules: [LoadedModule] = []
    /// What could not be loaded. A broken module never keeps the others from working.
    public fileprivate(set) var problems: [ModuleProblem] = []

    init() {}

    /// Backends that are linked into a program, which then loads no modules.
    public init(linked registry: BackendRegistry) { self.registry = registry }
}

/// Finds and loads backend modules (BACK-2, BACK-4).
public enum ModuleLoader {
    /// Loads every module on the search path. Modules stay loaded for the life of the process.
    ///
    /// - Parameter names: if given, only the modules of these names, so that what others need isn't loaded either.
    public static func loadAll(
        _ searchPath: ModuleSearchPath = .current(),
        named names: Set<String>? = nil
    ) -> ModuleInventory {
        var inventory = ModuleInventory()
        var candidates: [(name: String, file: FilePath)] = []
        for directory in searchPath.directories {
            guard let found = moduleNames(in: directory.path) else {
                if directory.isExplicit {
                    inventory.problems.append(
                        ModuleProblem(
                            directory.path,
                            "no such directory",
                            remedy: "check --module-path and BUILDOS_MODULE_PATH"
                        )
                    )
                }
                continue
            }
            candidates += found.filter { names?.contains($0) ?? true }
                .map { ($0, directory.path.appending("lib\($0).so")) }
        }

        var seen: Set<FileIdentity> = []
        candidates = candidates.filter { FileIdentity($0.file).map { seen.insert($0).inserted } ?? true }
        let files = Dictionary(grouping: candidates, by: \.name)
        for candidate in candidates {
            let namesakes = files[candidate.name, default: []].map(\.file)
            if namesakes.count > 1 {
                inventory.problems.append(
                    ModuleProblem(
                        candidate.file,
                        "there are several modules of this name: \(namesakes.map(\.string).joined(separator: ", "))",
                        remedy: "remove all but one from the search path"
                    )
                )
                continue
            }
            do throws(ModuleProblem) {
                try load(candidate.name, candidate.file, into: &inventory)
            } catch {
                inventory.problems.append(error)
            }
        }
        return inventory
    }

    /// Loads one module, wherever it is, with the same checks. It stays loaded for the life of the process.
    public static func load(_ file: FilePath) -> ModuleInventory {
        var inventory = ModuleInventory()
        do throws(ModuleProblem) {
            guard let name = moduleName(ofFile: file.lastComponent?.string ?? "") else {
                throw ModuleProblem(
                    file,
                    "its name is not that of a module",
                    remedy: "name it lib<Name>.so, as its exported functions say; <Name> is a plain ASCII identifier"
                )
            }
            // A name without a slash would be looked up where libraries are, not here.
            try load(name, file.string.contains("/") ? file : FilePath(".").appending(file.string), into: &inventory)
        } catch {
            inventory.problems.append(error)
        }
        return inventory
    }

    private static func load(
        _ name: String,
        _ file: FilePath,
        into inventory: inout ModuleInventory
    ) throws(ModuleProblem) {
        try checkFile(file)
        _ = sharedKit
        guard let handle = dlopen(file.string, RTLD_NOW | RTLD_LOCAL) else {
            throw explain(loaderMessage(), of: file)
        }
        guard let abiFunction = dlsym(handle, ModuleABI.abiSymbol(name)) else {
            throw ModuleProblem(
                file,
                "it exports no \(ModuleABI.abiSymbol(name)), so it is not a Build OS module",
                remedy: "the symbol's name must match the file's"
            )
        }
        let abi = String(
            cString: unsafeBitCast(abiFunction, to: (@convention(c) () -> UnsafePointer<CChar>).self)()
        )
        let expected = "\(ModuleABI.current)"
        guard abi == expected else {
            throw ModuleProblem(
                file,
                "its ABI is '\(abi)', this program's is '\(expected)'",
                remedy: "rebuild the module with this program's kit and compiler"
            )
        }
        guard let registerFunction = dlsym(handle, ModuleABI.registerSymbol(name)) else {
            throw ModuleProblem(file, "it exports no \(ModuleABI.registerSymbol(name))")
        }

        let registrar = ModuleRegistrar()
        withExtendedLifetime(registrar) {
            unsafeBitCast(registerFunction, to: (@convention(c) (UnsafeMutableRawPointer) -> Void).self)(
                Unmanaged.passUnretained(registrar).toOpaque()
            )
        }
        guard !registrar.providers.isEmpty else { throw ModuleProblem(file, "it registered no backend") }
        var extended = inventory.registry
        for provider in registrar.providers {
            do throws(BackendRegistryError) { try extended.register(provider) } catch {
                throw ModuleProblem(file, error.description, remedy: "remove one of the modules")
            }
        }
        inventory.registry = extended
        inventory.modules.append(
            LoadedModule(name: name, file: file, backends: registrar.providers.map(\.identity))
        )
    }

    /// Whether the shared kit, which modules name as a library they need, was found by way of this program's run path.
    ///
    /// A module that is installed with this program finds it by itself. For one that lies elsewhere it is loaded
    /// beforehand, under the bare name that the module asks for: the dynamic linker then takes it. What modules refer to
    /// in it binds to this program's own definitions.
    private static let sharedKit = dlopen("libBuildOSKitShared.so", RTLD_NOW | RTLD_LOCAL) != nil

    /// Reads what the file claims to be before the dynamic linker trusts it.
    private static func checkFile(_ file: FilePath) throws(ModuleProblem) {
        var status = stat()
        guard stat(file.string, &status) == 0 else { throw ModuleProblem(file, "\(Errno(rawValue: errno))") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw ModuleProblem(file, "it is not a regular file") }
        let head: [UInt8]
        do {
            let descriptor = try FileDescriptor.open(file, .readOnly)
            head = try descriptor.closeAfter {
                try [UInt8](unsafeUninitializedCapacity: 8192) { buffer, count in
                    count = try descriptor.read(into: UnsafeMutableRawBufferPointer(buffer))
                }
            }
        } catch {
            throw ModuleProblem(file, "it can't be read: \(error)")
        }
        do throws(ELFImage.Problem) {
            try ELFImage.check(head: head, fileSize: UInt64(status.st_size))
        } catch {
            throw ModuleProblem(file, error.text, remedy: "reinstall it")
        }
    }

    /// Makes the dynamic linker's message one that names what is missing.
    private static func explain(_ message: String, of file: FilePath) -> ModuleProblem {
        if let missing = message.firstRange(of: ": cannot open shared object file") {
            let library =
                message[..<missing.lowerBound].split(separator: ":").last.map { $0.filter { $0 != " " } } ?? ""
            if !library.isEmpty, !file.string.hasSuffix(library) {
                return ModuleProblem(
                    file,
                    "it needs \(library), which is not on this machine",
                    remedy: "install the package that has \(library)"
                )
            }
        }
        if message.contains("undefined symbol") {
            return ModuleProblem(
                file,
                "it was built for another version of the kit: \(message)",
                remedy: "rebuild the module with this program's kit and compiler"
            )
        }
        return ModuleProblem(file, message)
    }

    private static func loaderMessage() -> String {
        dlerror().map { String(cString: $0) } ?? "the dynamic linker gave no reason"
    }

    /// `<Name>` of every `lib<Name>.so` in a directory, sorted, the kit itself passed over; `nil` if the directory can't be read.
    private static func moduleNames(in directory: FilePath) -> [String]? {
        guard let files = try? FileTree.names(in: directory) else { return nil }
        return files.compactMap(moduleName(ofFile:))
    }

    /// `<Name>` of `lib<Name>.so`; `nil` if it can't be a module.
    private static func moduleName(ofFile file: String) -> String? {
        guard file.hasPrefix("lib"), file.hasSuffix(".so") else { return nil }
        let stem = file.dropFirst(3).dropLast(3)
        guard stem != "BuildOSKitShared", let first = stem.unicodeScalars.first, first.properties.isXIDStart,
            stem.unicodeScalars.allSatisfy({ $0.isASCII && $0.properties.isXIDContinue })
        else { return nil }
        return String(stem)
    }
}

/// Tells files apart whatever path leads to them.
private struct FileIdentity: Hashable {
    let device: UInt64
    let inode: UInt64

    init?(_ path: FilePath) {
        var status = stat()
        guard stat(path.string, &status) == 0 else { return nil }
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
    }
}
