import BuildOSKit

@_cdecl("buildos_module_abi_BtrfsStorage")
public func btrfsStorageModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_BtrfsStorage")
public func registerBtrfsStorageModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(BtrfsStorageProvider())
}
