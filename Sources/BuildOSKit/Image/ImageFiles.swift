/// The three files of an image (BOOT-1), under the names they have on a boot server.
public struct ImageFiles: Sendable, Hashable {
    /// The kernel's file name.
    public static let kernelName = "buildos-image"
    /// The name of the initramfs with the root file system in it.
    public static let initrdName = "buildos-initrd"
    /// The name of the file that hosts poll for updates (BOOT-8).
    public static let buildIDName = "buildos-buildid"

    /// The directory that holds them.
    public let directory: FilePath

    /// The image in a directory.
    public init(in directory: FilePath) { self.directory = directory }

    /// The kernel.
    public var kernel: FilePath { directory.appending(Self.kernelName) }
    /// The initramfs with the root file system in it.
    public var initrd: FilePath { directory.appending(Self.initrdName) }
    /// The build id and the checksums of the other two.
    public var buildID: FilePath { directory.appending(Self.buildIDName) }
}

/// Who an image is: what `buildos-buildid` says of it. ``BuildIDFile`` is the reader's side.
public struct ImageIdentity: Sendable, Hashable {
    /// Derived from the content of kernel and root file system (BOOT-10): 64 lower-case hexadecimal digits.
    public let buildID: String
    /// SHA-256 of `buildos-image`, in hexadecimal.
    public let kernelDigest: String
    /// SHA-256 of `buildos-initrd`, in hexadecimal.
    public let initrdDigest: String

    /// Creates an identity.
    public init(buildID: String, kernelDigest: String, initrdDigest: String) {
        self.buildID = buildID
        self.kernelDigest = kernelDigest
        self.initrdDigest = initrdDigest
    }

    /// The text of `buildos-buildid`: the build id on the first line, then the checksums of the other two files as
    /// `sha256sum --binary` prints them, so that a host can verify what it loads with kexec.
    public var text: String {
        "\(buildID)\n\(kernelDigest) *\(ImageFiles.kernelName)\n\(initrdDigest) *\(ImageFiles.initrdName)\n"
    }

    /// The text whose SHA-256 is the build id: what the host runs, whatever it is packed in.
    static func text(kernelDigest: String, rootDigest: String, initramfsDigest: String) -> String {
        "\(kernelDigest) *kernel\n\(rootDigest) *root\n\(initramfsDigest) *initramfs\n"
    }
}
