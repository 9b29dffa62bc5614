import Glibc

/// The format `directory-1`, in which a subvolume travels from a plain directory to file systems of any kind.
///
///     stream   = "buildos-directory-1\n" begin root entry… leave end
///     record   = kind (1 byte), length of the payload (4 bytes), payload
///
/// Integers are little-endian; what has no fixed size is preceded by its length in 4 bytes. Entries come depth first; a name
/// is a single component, its place is the directory that was entered last. `data` and `same` belong to the file before
/// them and come by rising offsets; what neither covers is a hole. The payload of `begin` ends with the SHA-256 of what is
/// before it in the payload, that of `end` is the SHA-256 of all bytes before it.
///
/// Storages give it what is theirs: where a subvolume is, what it is known by, and how it is completed.
public enum DirectoryStream {
    /// The format's name among capabilities.
    public static let format = "directory-1"
    /// What a stream begins with.
    public static let magic = StreamRecord.magic
    /// A name that no entry of a stream has: storages keep their own things under it.
    public static let reservedName = ".buildos-subvolumes"
    /// Directories inside one another at most; each is open while what is in it is visited.
    public static let maximalDepth = 200

    /// What a stream is of, and what it builds on.
    public struct Beginning: Sendable, Hashable {
        /// The subvolume's name: a single component.
        public let name: String
        /// What its content is known by.
        public let origin: SubvolumeOrigin
        /// The origin of the parent; `nil` if the stream holds everything.
        public let parent: SubvolumeOrigin?

        /// Creates a beginning.
        public init(name: String, origin: SubvolumeOrigin, parent: SubvolumeOrigin?) {
            self.name = name
            self.origin = origin
            self.parent = parent
        }
    }

    /// Where a stream goes.
    public struct Target {
        /// An open, empty directory.
        public let root: FileDescriptor
        /// The open root of the parent, if there is one.
        public let parent: FileDescriptor?

        /// Creates a target; the descriptors stay the caller's.
        public init(root: FileDescriptor, parent: FileDescriptor?) {
            self.root = root
            self.parent = parent
        }
    }

    /// Sends a tree, on a thread that may block; a difference after reading both trees.
    ///
    /// - Parameters:
    ///   - root: the open root.
    ///   - parent: the open root of the parent.
    ///   - stop: ends it.
    ///   - path: what errors are about.
    ///   - foreign: the names in an open directory that are passed over.
    public static func send(
        _ root: FileDescriptor,
        as beginning: Beginning,
        parent: FileDescriptor?,
        to writer: StreamWriter,
        stop: StopSignal,
        at path: FilePath,
        passingOver foreign: @escaping (Int32) -> Set<EntryName>
    ) throws(MachineStorageError) {
        do {
            let encoder = try StreamEncoder(writer)
            try encoder.begin(beginning)
            let sender = try TreeSender(encoder, parent: parent?.rawValue, stop: stop, passingOver: foreign)
            var walker = TreeWalker(sender, stop: stop, passingOver: foreign)
            try walker.walk(root.rawValue)
            try encoder.end()
        } catch {
            throw MachineStorageError(sending: error, path)
        }
    }

    /// Makes a tree from a stream, on a thread that may block. It is hostile until its digest is right; nothing outside of the
    /// target is touched, whatever it holds. What was made stays, for the caller to remove, if it fails.
    ///
    /// - Parameters:
    ///   - begin: says where it goes, once it is known what it is of.
    ///   - path: what errors are about.
    public static func receive(
        _ reader: StreamReader,
        at path: () -> FilePath,
        begin: @escaping (Beginning) throws -> Target
    ) throws(MachineStorageError) {
        do {
            var receiver = try TreeReceiver(reader, begin: begin)
            try receiver.run()
        } catch {
            throw MachineStorageError(receiving: error, path())
        }
    }

    /// Makes a tree as another is, sharing its data where the file system can, in an empty directory.
    public static func copy(
        _ root: FileDescriptor,
        to directory: FileDescriptor,
        passingOver foreign: @escaping (Int32) -> Set<EntryName>
    ) throws {
        var walker = TreeWalker(try SnapshotMaker(root: directory.rawValue), passingOver: foreign)
        try walker.walk(root.rawValue)
    }
}

/// What is wrong with a stream.
struct StreamDefect: Error, Hashable {
    let text: String
    init(_ text: String) { self.text = text }
}

extension MachineStorageError {
    /// What making or reading a tree failed by.
    public init(copying error: any Error, _ path: FilePath) {
        switch error {
        case let error as MachineStorageError: self = error
        case let error as TreeProblem: self.init(error.reason, path, "\(error.operation) '\(error.path)'")
        case let error as Errno: self.init(error, path, "make the subvolume")
        case let error as StreamFailure where error == .stopped:
            self.init(.cancelled, path: path, cause: "it was cancelled")
        default: self.init(.other, path: path, cause: "\(error)")
        }
    }

    /// What sending failed by.
    fileprivate init(sending error: any Error, _ path: FilePath) {
        switch error {
        case StreamFailure.stopped: self.init(.cancelled, path: path, cause: "sending was cancelled")
        case StreamFailure.closed: self.init(.streamClosed, path: path, cause: "nobody reads the stream any more")
        case StreamFailure.system(let reason): self.init(reason, path, "write the stream")
        case let defect as StreamDefect: self.init(.other, path: path, cause: defect.text)
        default: self.init(copying: error, path)
        }
    }

    /// What receiving failed by.
    fileprivate init(receiving error: any Error, _ path: FilePath) {
        switch error {
        case StreamFailure.stopped: self.init(.cancelled, path: path, cause: "receiving was cancelled")
        case StreamFailure.ended, StreamFailure.closed:
            self.init(.badStream, path: path, cause: "the stream ended before its end")
        case StreamFailure.system(let reason): self.init(.other, path: path, cause: "can't read the stream: \(reason)")
        case let defect as StreamDefect: self.init(.badStream, path: path, cause: defect.text)
        case let changed as ChangedParent:
            self.init(.noParent, path: path, cause: "the file '\(changed.path)' of its parent was changed here")
        case let problem as TreeProblem:
            switch problem.reason {
            case .noSpace, .diskQuotaExceeded, .readOnlyFileSystem, .notPermitted, .permissionDenied, .ioError:
                self.init(copying: problem, path)
            default:
                self.init(
                    .badStream,
                    path: path,
                    cause: "can't \(problem.operation) '\(problem.path)' of the stream: \(problem.reason)"
                )
            }
        default: self.init(copying: error, path)
        }
    }
}
