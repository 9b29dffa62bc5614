import BuildOSKit

/// A directory that is removed with what is in it when the closure ends.
public func withTemporaryDirectory<Result>(
    isolation: isolated (any Actor)? = #isolation,
    _ body: (FilePath) async throws -> Result
) async throws -> Result {
    let path = FilePath("/tmp/buildos-test-\(UInt64.random(in: .min ... .max))")
    try FileTree.makeDirectory(path)
    let result: Result
    do { result = try await body(path) } catch {
        try FileTree.remove(path)
        throw error
    }
    try FileTree.remove(path)
    return result
}
