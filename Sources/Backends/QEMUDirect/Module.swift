import BuildOSKit

@_cdecl("buildos_module_abi_QEMUDirect")
public func qemuDirectModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_QEMUDirect")
public func registerQEMUDirectModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(QEMUDirectProvider())
}
