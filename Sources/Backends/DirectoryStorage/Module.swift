import BuildOSKit

@_cdecl("buildos_module_abi_DirectoryStorage")
public func directoryStorageModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_DirectoryStorage")
public func registerDirectoryStorageModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(DirectoryStorageProvider())
}
