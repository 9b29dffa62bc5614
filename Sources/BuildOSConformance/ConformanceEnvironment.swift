import BuildOSKit

/// What suites need from outside of themselves. What isn't given is passed over, with the reason in the report.
///
/// | Interface | Needs |
/// |---|---|
/// | ``BuildOSKit/Fetcher`` | ``localTransport`` for what has to do with https: the suite brings its servers |
/// | ``BuildOSKit/ArtifactStore`` | ``scratch`` |
/// | ``BuildOSKit/MachineStorage`` | one of ``volumes``, or ``scratch``, on a file system of its kind; for the rest its owner's rights |
/// | ``BuildOSKit/VirtualMachines`` | ``guest`` |
/// | ``BuildOSKit/Transport`` | nothing on this machine; ``remoteHost`` if its commands run on another |
public struct ConformanceEnvironment: Sendable {
    /// A guest that virtual machines are checked with; `Scripts/make-test-guest` makes one.
    public struct Guest: Sendable, Hashable {
        /// The kernel's image.
        public var kernel: FilePath
        /// The initramfs that makes it the test guest.
        public var initrd: FilePath

        /// Creates a description of a guest.
        public init(kernel: FilePath, initrd: FilePath) {
            self.kernel = kernel
            self.initrd = initrd
        }

        /// The guest that `Scripts/make-test-guest` put in a directory.
        public init(in directory: FilePath) {
            self.init(kernel: directory.appending("vmlinuz"), initrd: directory.appending("initrd"))
        }
    }

    /// A directory in which every check makes one of its own, which it removes.
    public var scratch: FilePath
    /// Directories on file systems that a ``BuildOSKit/MachineStorage`` may be at home on, with room for 200 MB. The first
    /// that it takes is used.
    public var volumes: [FilePath]
    /// Runs programs on this machine that checks need, such as openssl(1).
    public var localTransport: (any Transport)?
    /// A host to log in to without being asked. It must have the programs of `coreutils`, `bash` and `procps`, and
    /// `python3` where ports are forwarded; nothing but what is under its `/tmp` is changed.
    public var remoteHost: RemoteHost?
    /// A guest for virtual machines.
    public var guest: Guest?
    /// Where virtual machines are to run, by the backend's own syntax; its default if `nil`.
    public var hypervisor: String?

    /// Creates an environment.
    public init(
        scratch: FilePath = "/tmp",
        volumes: [FilePath] = [],
        localTransport: (any Transport)? = nil,
        remoteHost: RemoteHost? = nil,
        guest: Guest? = nil,
        hypervisor: String? = nil
    ) {
        self.scratch = scratch
        self.volumes = volumes
        self.localTransport = localTransport
        self.remoteHost = remoteHost
        self.guest = guest
        self.hypervisor = hypervisor
    }
}
