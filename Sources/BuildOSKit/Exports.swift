// Backends and modules see these types through the kit, and only through it: a second copy of
// either library inside a module would make casts and typed catches fail at the border.
@_exported public import Logging
@_exported public import SystemPackage
