import BuildOSKit

@_cdecl("buildos_module_abi_Libvirt")
public func libvirtModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_Libvirt")
public func registerLibvirtModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(LibvirtProvider())
}
