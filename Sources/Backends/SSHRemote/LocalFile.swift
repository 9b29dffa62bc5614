import BuildOSKit
import Glibc

/// A file on this machine's end of a copy.
struct LocalFile: Sendable {
    let descriptor: FileDescriptor
    let size: Int64
    /// Where it is now, and where it is to be.
    private let path: FilePath
    private let destination: FilePath

    /// Opens a file to be read.
    static func open(_ path: FilePath) throws(TransportError) -> LocalFile {
        do {
            let descriptor = try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
            var status = stat()
            guard fstat(descriptor.rawValue, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
                try? descriptor.close()
                throw TransportError(.inputOutput, subject: path.string, detail: "it is not a regular file")
            }
            return LocalFile(descriptor: descriptor, size: Int64(status.st_size), path: path, destination: path)
        } catch {
            throw failure(path, error)
        }
    }

    /// Makes a file to be written, under a temporary name.
    static func create(beside destination: FilePath) throws(TransportError) -> LocalFile {
        let random = String(UInt64.random(in: .min ... .max), radix: 36)
        let name = ".\(destination.lastComponent?.string ?? "file").\(random)"
        let path = destination.removingLastComponent().appending(name)
        do {
            let descriptor = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create, .exclusiveCreate, .closeOnExec],
                permissions: .ownerReadWrite
            )
            return LocalFile(descriptor: descriptor, size: 0, path: path, destination: destination)
        } catch {
            throw failure(destination, error)
        }
    }

    func close() { try? descriptor.close() }

    /// Brings what was written to the disk, and to its name.
    func complete(_ permissions: FilePermissions) async throws(TransportError) {
        try await DedicatedThread.run(name: "file-sync") { () throws(TransportError) in
            guard fchmod(descriptor.rawValue, permissions.rawValue) == 0, fsync(descriptor.rawValue) == 0,
                rename(path.string, destination.string) == 0
            else { throw Self.failure(destination, Errno(rawValue: errno)) }
        }
        close()
    }

    /// Removes what was written.
    func abandon() {
        unlink(path.string)
        close()
    }

    private static func failure(_ path: FilePath, _ error: any Error) -> TransportError {
        error as? TransportError ?? TransportError(.inputOutput, subject: path.string, detail: "\(error)")
    }
}
