import BuildOSKit

/// What a server's configuration says about a request.
struct RequestPolicy: Sendable {
    /// What is to become of it.
    enum Decision: Equatable, Sendable {
        case withhold
        case read(RelativePath)
        /// Into the upload directory, under a name of one component.
        case write(String)
        case refuse(TFTPRefusal)
    }

    private let readableNames: Set<String>?
    private let withheldNames: Set<String>
    private let uploads: UploadRules?

    init(_ configuration: ArtifactServerConfiguration) {
        readableNames = configuration.readableNames
        withheldNames = configuration.withheldNames
        uploads = configuration.uploads
    }

    /// Names are taken relative to the root, whether they begin with slashes or not, and parts of them that begin with a dot
    /// are kept for what isn't published yet.
    func decide(_ request: TFTPRequest) -> Decision {
        let text = request.name.utf8.split(separator: UInt8(ascii: "/")).map { String(Substring($0)) }
            .joined(separator: "/")
        let path: RelativePath
        do throws(RelativePath.ParseError) {
            path = try RelativePath(text)
        } catch {
            return .refuse(TFTPRefusal(.accessViolation, "the name can't be used: \(error.cause)"))
        }
        if withheldNames.contains(path.description) { return .withhold }
        guard !path.components.contains(where: { $0.utf8.first == UInt8(ascii: ".") }) else {
            return .refuse(TFTPRefusal(.fileNotFound, "hidden files are not there for clients"))
        }
        switch request.direction {
        case .read:
            guard readableNames?.contains(path.description) ?? true else {
                return .refuse(TFTPRefusal(.accessViolation, "that file can't be read"))
            }
            return .read(path)
        case .write:
            guard let uploads else { return .refuse(TFTPRefusal(.accessViolation, "this server is read-only")) }
            guard path.components.count == 1, uploads.names?.contains(path.description) ?? true else {
                return .refuse(TFTPRefusal(.accessViolation, "that file can't be written"))
            }
            return .write(path.lastComponent)
        }
    }
}
