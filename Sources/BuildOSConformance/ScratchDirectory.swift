import BuildOSKit

/// A directory for one check, removed afterwards whatever happened.
func withScratchDirectory<Result>(
    in parent: FilePath = "/tmp",
    isolation: isolated (any Actor)? = #isolation,
    _ body: (FilePath) async throws -> Result
) async throws -> Result {
    let path = parent.appending("buildos-check-\(String(UInt64.random(in: .min ... .max), radix: 36))")
    try FileTree.makeDirectory(path)
    do {
        let result = try await body(path)
        try FileTree.remove(path)
        return result
    } catch {
        try FileTree.remove(path)
        throw error
    }
}
