import BuildOSKit

@_cdecl("buildos_module_abi_TFTPStore")
public func tftpStoreModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_TFTPStore")
public func registerTFTPStoreModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(TFTPStoreProvider())
}
