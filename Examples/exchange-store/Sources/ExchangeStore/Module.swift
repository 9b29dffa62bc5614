import BuildOSKit

@_cdecl("buildos_module_abi_ExchangeStore")
public func exchangeStoreModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_ExchangeStore")
public func registerExchangeStoreModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(ExchangeStoreProvider())
}
