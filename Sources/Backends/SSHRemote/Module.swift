import BuildOSKit

@_cdecl("buildos_module_abi_SSHRemote")
public func sshRemoteModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_SSHRemote")
public func registerSSHRemoteModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(SSHRemoteProvider())
}
