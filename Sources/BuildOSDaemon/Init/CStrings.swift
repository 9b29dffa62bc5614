import Glibc

/// Texts as a C function takes a list of them: an array of pointers that ends with a null pointer, freed with this object.
final class CStrings {
    let pointers: [UnsafeMutablePointer<CChar>?]

    init(_ texts: [String]) { pointers = texts.map { strdup($0) } + [nil] }

    deinit { pointers.forEach { free($0) } }
}
