import BuildOSKit

@_cdecl("buildos_module_abi_CurlFetcher")
public func curlFetcherModuleABI() -> UnsafePointer<CChar> { ModuleABI.exported }

@_cdecl("buildos_module_register_CurlFetcher")
public func registerCurlFetcherModule(_ registrar: UnsafeMutableRawPointer) {
    ModuleRegistrar.from(registrar).register(CurlFetcherProvider())
}
