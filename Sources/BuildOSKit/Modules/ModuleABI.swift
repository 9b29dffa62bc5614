/// What a module and the program that loads it must agree on.
public enum ModuleABI {
    /// The ABI of the code that calls this: kit interface and compiler.
    ///
    /// Emitted into the client, so that a module carries the value it was compiled with. The number counts
    /// changes of the kit's interfaces that a compiled module would not survive.
    @_alwaysEmitIntoClient
    public static var current: StaticString {
        #if compiler(>=6.5)
            "buildos-kit-5/swift-6.5-or-later"
        #elseif compiler(>=6.4)
            "buildos-kit-5/swift-6.4"
        #elseif compiler(>=6.3)
            "buildos-kit-5/swift-6.3"
        #else
            "buildos-kit-5/swift-6.2-or-earlier"
        #endif
    }

    /// ``current`` for a module's exported ABI function: NUL-terminated UTF-8 that lives as long as the module.
    @_alwaysEmitIntoClient
    public static var exported: UnsafePointer<CChar> {
        UnsafeRawPointer(current.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    /// The exported function of `lib<Name>.so` that returns its ABI.
    public static func abiSymbol(_ moduleName: String) -> String { "buildos_module_abi_\(moduleName)" }

    /// The exported function of `lib<Name>.so` that registers its backends.
    public static func registerSymbol(_ moduleName: String) -> String { "buildos_module_register_\(moduleName)" }
}
