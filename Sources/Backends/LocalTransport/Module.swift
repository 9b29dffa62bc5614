import BuildOSKit

@_cdecl("buildos_module_abi_LocalTransport")
public func localTransportModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_LocalTransport")
public func registerLocalTransportModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(LocalTransportProvider())
}
