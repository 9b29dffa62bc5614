import BuildOSKit
import LocalTransport

/// Makes an image as `buildosctl image build` does, with the same steps told on standard output.
///
/// - Throws: `ImageBuildError`, `TransportError`, `FileError`
func buildImage(in output: FilePath, from prefix: FilePath) async throws {
    let options = ImageBuilder.Options(output: output, kernel: .cloud, prefix: prefix)
    let builder = ImageBuilder(transport: LocalTransport(), options: options) { event in
        switch event {
        case .began(let step): print(step)
        case .note: break
        case .finished(_, let bytes): if let bytes { print("    \(bytes) bytes") }
        }
    }
    print("build id \(try await builder.build().buildID)")
}
