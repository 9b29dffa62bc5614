import BuildOSKit
import CTFTPFiles
import Glibc

/// A file that a client writes: under a temporary name until it is whole.
///
/// The temporary file is locked as long as it is written, so that ``sweep(_:)`` can tell what a crash left behind.
final class UploadFile: Sendable {
    private static let prefix = ".buildos-upload-"

    private let directory: HeldFile
    private let file: HeldFile
    private let temporary: String
    private let name: String
    private let mayReplace: Bool

    /// Makes the temporary file. Waits for the disk.
    ///
    /// - Throws: ``TFTPRefusal`` in the client's words.
    init(_ name: String, _ rules: UploadRules) throws(TFTPRefusal) {
        let opened = open(rules.directory.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else { throw Self.refusal(errno) }
        directory = HeldFile(descriptor: opened)
        var status = stat()
        if fstatat(opened, name, &status, AT_SYMLINK_NOFOLLOW) == 0 {
            guard status.st_mode & S_IFMT == S_IFREG else { throw TFTPRefusal(.accessViolation, "that isn't a file") }
            guard rules.mayReplace else { throw Self.exists }
        }
        temporary = Self.prefix + String(UInt64.random(in: .min ... .max), radix: 36)
        let made = ctftp_create_locked(opened, temporary)
        guard made >= 0 else { throw Self.refusal(-made) }
        file = HeldFile(descriptor: made)
        self.name = name
        mayReplace = rules.mayReplace
    }

    /// Adds bytes.
    func write(_ bytes: UnsafeRawBufferPointer) throws(TFTPRefusal) {
        var rest = bytes
        while !rest.isEmpty {
            let count = Glibc.write(file.descriptor, rest.baseAddress, rest.count)
            guard count > 0 else {
                if count < 0, errno == EINTR { continue }
                throw Self.refusal(errno)
            }
            rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(count))
        }
    }

    /// Makes what was written durable and gives it its name. Waits for the disk.
    ///
    /// - Throws: ``TFTPRefusal``; the temporary file is then gone.
    func commit() throws(TFTPRefusal) {
        do throws(TFTPRefusal) {
            guard fsync(file.descriptor) == 0 else { throw Self.refusal(errno) }
            if mayReplace {
                guard renameat(directory.descriptor, temporary, directory.descriptor, name) == 0 else {
                    throw Self.refusal(errno)
                }
            } else {
                // Unlike a rename, a link never replaces what somebody else has put there meanwhile.
                guard linkat(directory.descriptor, temporary, directory.descriptor, name, 0) == 0 else {
                    throw Self.refusal(errno)
                }
                unlinkat(directory.descriptor, temporary, 0)
            }
            fsync(directory.descriptor)
        } catch {
            discard()
            throw error
        }
    }

    /// Removes what was written.
    func discard() { unlinkat(directory.descriptor, temporary, 0) }

    /// Removes what servers that are no more have left in a directory.
    static func sweep(_ directory: FilePath) throws(FileError) {
        let opened = open(directory.string, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard opened >= 0 else { throw FileError("open", directory, Errno(rawValue: errno)) }
        defer { close(opened) }
        for name in try FileTree.names(in: directory) where name.hasPrefix(prefix) {
            if ctftp_is_unlocked(opened, name) == 1 { unlinkat(opened, name, 0) }
        }
    }

    private static let exists = TFTPRefusal(.fileExists, "that file is there already")

    private static func refusal(_ reason: Int32) -> TFTPRefusal {
        switch reason {
        case ENOSPC, EDQUOT, EFBIG: TFTPRefusal(.diskFull, "there is no room for the file")
        case EEXIST: exists
        case EACCES, EPERM, EROFS: TFTPRefusal(.accessViolation, "the server may not write that file")
        default: TFTPRefusal(.notDefined, "the file can't be written: \(Errno(rawValue: reason))")
        }
    }
}
