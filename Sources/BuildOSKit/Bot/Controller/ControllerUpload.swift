/// A file for a controller, such as a package made from what was built (build2-facts, 2.9).
public struct ControllerUpload: Sendable, Hashable {
    /// Which of the task's upload addresses it is for, such as `bindist`.
    public var type: String
    /// What kind of it: `archive`, `debian`, `fedora`.
    public var instance: String
    /// The file; its name is told.
    public var archive: FilePath
    /// What else the controller is told.
    public var values: [String: String]

    /// Creates an upload.
    public init(type: String, instance: String, archive: FilePath, values: [String: String] = [:]) {
        self.type = type
        self.instance = instance
        self.archive = archive
        self.values = values
    }
}

/// What a controller says to an upload.
public struct UploadResponse: Sendable, Hashable {
    /// As in HTTP: 200 if it took the file.
    public let status: Int
    /// In its own words.
    public let message: String
    /// By what the upload is known there.
    public let reference: String?

    /// Takes an answer.
    ///
    /// - Throws: ``ManifestError``
    public init(_ manifests: [Manifest], source: String) throws(ManifestError) {
        guard let manifest = manifests.first, manifests.count == 1 else {
            throw ManifestError(source, nil, "\(manifests.count) manifests, not one")
        }
        guard let status = Int(try manifest.required("status", in: source)) else {
            throw ManifestError(source, nil, "its status is not a number")
        }
        self.status = status
        message = try manifest.required("message", in: source)
        reference = manifest["reference"]
    }
}
