import BuildOSKit
import Glibc

/// Makes a subvolume from a stream of the format `directory-1`, on a thread that may block: an image from a desk without btrfs.
///
/// What a difference takes over from its parent shares the parent's data, as with btrfs' own streams.
final class DirectoryStreamReceiver {
    private let reader: StreamReader
    private let directory: FilePath
    private let descriptor: FileDescriptor
    private var made: (place: SubvolumePlace, root: FileDescriptor, reference: SubvolumeReference)?
    private var parent: FileDescriptor?

    /// Creates a receiver into a directory on a btrfs volume.
    init(_ reader: StreamReader, into directory: FilePath) throws(MachineStorageError) {
        self.reader = reader
        self.directory = directory
        descriptor = try FileDescriptor.open(btrfsDirectory: directory)
    }

    deinit {
        try? made?.root.close()
        try? parent?.close()
        try? descriptor.close()
    }

    /// Whether a stream is of this format; what was looked at is still to be read.
    static func isMeant(by reader: StreamReader) throws(StreamFailure) -> Bool {
        DirectoryStream.magic.starts(with: try reader.peek(StreamHead.magic.count))
    }

    /// Reads the stream to its end.
    ///
    /// - Returns: the path of the subvolume, which is read-only.
    /// - Throws: ``MachineStorageError``; the subvolume is then deleted again.
    func run() throws(MachineStorageError) -> FilePath {
        do throws(MachineStorageError) {
            try DirectoryStream.receive(reader, at: { self.made?.place.path ?? self.directory }, begin: begin)
            guard let made else { throw MachineStorageError(.badStream, path: directory, cause: "it is empty") }
            try made.place.complete(made.root, as: made.reference)
            return made.place.path
        } catch {
            made?.place.delete()
            throw error
        }
    }

    private func begin(_ beginning: DirectoryStream.Beginning) throws -> DirectoryStream.Target {
        let place = SubvolumePlace(directory: directory, descriptor: descriptor, name: beginning.name)
        guard let reference = SubvolumeReference(beginning.origin) else { throw unknown(place) }
        if let base = beginning.parent {
            guard let base = SubvolumeReference(base) else { throw unknown(place) }
            parent = try SubvolumeIndex(descriptor).parent(base, at: place.path)
        }
        let root = try place.make(from: nil)
        made = (place, root, reference)
        return DirectoryStream.Target(root: root, parent: parent)
    }

    private func unknown(_ place: SubvolumePlace) -> MachineStorageError {
        MachineStorageError(.badStream, path: place.path, cause: "it names the identity of nothing")
    }
}

extension SubvolumeReference {
    /// The index of identities has no more than these two numbers, and they are enough. `nil` if it is the identity of nothing.
    fileprivate init?(_ origin: SubvolumeOrigin) {
        guard !origin.uuid.isZero else { return nil }
        self.init(identity: origin.uuid, transaction: origin.generation)
    }
}

extension FileDescriptor {
    /// Opens a directory that subvolumes are to be made in.
    static func open(btrfsDirectory directory: FilePath) throws(MachineStorageError) -> FileDescriptor {
        do {
            return try FileDescriptor.open(directory, .readOnly, options: [.directory, .closeOnExec])
        } catch {
            throw MachineStorageError(error as? Errno ?? .ioError, directory, "open the directory")
        }
    }
}
