import BuildOSKit
import Glibc

internal import CFiles

/// The subvolumes of one directory: a hidden directory in it holds a record of each, and what is being made or deleted.
///
/// Everything that appears or goes does so by one rename, while the hidden directory is locked (flock(2)), by whatever
/// process. What is worked on meanwhile has a name of its own and a lock of its own; where the lock is free and the name
/// still there, somebody crashed, and the next who comes removes it.
struct SubvolumeTable {
    /// The name of the hidden directory.
    static let hiddenName = DirectoryStream.reservedName
    private static let recordPrefix = "of."
    private static let workPrefix = "work."

    /// The directory whose subvolumes these are.
    let directory: FilePath
    private var hidden: FilePath { directory.appending(Self.hiddenName) }

    /// Creates the table of a directory, which may have none yet.
    init(_ directory: FilePath) { self.directory = directory }

    /// The names of the subvolumes that have a record, and of the hidden directory, if there is one.
    static func names(in directory: Int32) -> Set<EntryName> {
        let opened = openat(directory, hiddenName, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard opened >= 0 else { return [] }
        guard let stream = fdopendir(opened) else {
            close(opened)
            return []
        }
        defer { closedir(stream) }
        var names = Set([EntryName(hiddenName.utf8)].compactMap(\.self))
        while let entry = readdir(stream) {
            let bytes = withUnsafeBytes(of: &entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if bytes.starts(with: recordPrefix.utf8), let name = EntryName(bytes.dropFirst(recordPrefix.utf8.count)) {
                names.insert(name)
            }
        }
        return names
    }

    /// The subvolumes that are there, by name.
    func all() -> [(name: String, record: SubvolumeRecord)] {
        ((try? FileTree.names(in: hidden)) ?? []).compactMap { file in
            guard file.hasPrefix(Self.recordPrefix) else { return nil }
            let name = String(file.dropFirst(Self.recordPrefix.count))
            return record(name).map { (name, $0) }
        }
    }

    /// The record of a subvolume; `nil` if what is there is none.
    func record(_ name: String) -> SubvolumeRecord? {
        var status = stat()
        guard lstat(directory.appending(name).string, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
            let text = try? FileTree.readText(recordPath(name), limit: 4096), let record = SubvolumeRecord(text),
            record.inode == UInt64(status.st_ino)
        else { return nil }
        return record
    }

    /// Replaces the record of a subvolume. To be called with the lock held.
    func write(_ record: SubvolumeRecord, for name: String) throws(MachineStorageError) {
        do throws(FileError) {
            try FileTree.write(record.text, to: recordPath(name))
        } catch {
            throw MachineStorageError(error.errno, directory.appending(name), "note what it is")
        }
    }

    /// Runs a closure while no other process or thread changes the table.
    func locked<Success>(_ body: () throws(MachineStorageError) -> Success) throws(MachineStorageError) -> Success {
        let lock = try lock()
        defer {
            // Not there any more once nothing is in it, so that an empty directory is one.
            rmdir(hidden.string)
            close(lock)
        }
        return try body()
    }

    private func lock() throws(MachineStorageError) -> Int32 {
        while true {
            if mkdir(hidden.string, 0o755) != 0, errno != EEXIST {
                throw MachineStorageError(Errno(rawValue: errno), directory, "make subvolumes in it")
            }
            let opened = open(hidden.string, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
            if opened < 0, errno == ENOENT { continue }
            guard opened >= 0 else {
                throw MachineStorageError(Errno(rawValue: errno), directory, "open its subvolumes")
            }
            while flock(opened, LOCK_EX) != 0, errno == EINTR {}
            var status = stat()
            // Whoever held the lock before may have removed it.
            if fstat(opened, &status) == 0, status.st_nlink > 0 { return opened }
            close(opened)
        }
    }

    /// A directory that is made or deleted, invisible, with its lock held.
    struct Work {
        let path: FilePath
        let descriptor: Int32
    }

    /// Makes an empty directory to fill; what crashed ones left is removed before.
    func begin() throws(MachineStorageError) -> Work {
        try locked { () throws(MachineStorageError) in
            sweep()
            let path = hidden.appending(Self.workPrefix + VolumeUUID.random().description)
            guard mkdir(path.string, 0o700) == 0 else {
                throw MachineStorageError(Errno(rawValue: errno), directory, "make a directory in it")
            }
            return try hold(path)
        }
    }

    /// Makes what was begun a subvolume.
    ///
    /// - Throws: ``MachineStorageError``; it is then still there, to be abandoned.
    func publish(
        _ work: Work,
        as name: String,
        _ makeRecord: (_ inode: UInt64) -> SubvolumeRecord
    ) throws(MachineStorageError) {
        let path = directory.appending(name)
        var status = stat()
        guard fstat(work.descriptor, &status) == 0 else {
            throw MachineStorageError(Errno(rawValue: errno), path, "make it")
        }
        try locked { () throws(MachineStorageError) in
            guard !FileTree.exists(path) else {
                throw MachineStorageError(.alreadyExists, path: path, cause: "there is something already")
            }
            try write(makeRecord(UInt64(status.st_ino)), for: name)
            guard cfiles_rename_new(AT_FDCWD, work.path.string, AT_FDCWD, path.string) == 0 else {
                let reason = Errno(rawValue: errno)
                unlink(recordPath(name).string)
                throw MachineStorageError(reason, path, "put it in place")
            }
            FileTree.synchronize(directory)
        }
        close(work.descriptor)
    }

    /// Takes a subvolume away, whole: what is left is to be abandoned.
    func withdraw(_ name: String) throws(MachineStorageError) -> Work {
        let hiddenPath = hidden.appending(Self.workPrefix + VolumeUUID.random().description)
        return try locked { () throws(MachineStorageError) in
            let path = directory.appending(name)
            guard record(name) != nil else {
                throw MachineStorageError(.notASubvolume, path: path, cause: "it is not a subvolume")
            }
            guard rename(path.string, hiddenPath.string) == 0 else {
                throw MachineStorageError(Errno(rawValue: errno), path, "delete the subvolume")
            }
            unlink(recordPath(name).string)
            FileTree.synchronize(directory)
            return try hold(hiddenPath)
        }
    }

    /// Removes what was begun or withdrawn.
    func abandon(_ work: Work) throws(MachineStorageError) {
        defer { close(work.descriptor) }
        ReadOnlyFlags.clear(work.descriptor)
        do throws(FileError) {
            try FileTree.remove(work.path)
        } catch {
            throw MachineStorageError(error.errno, work.path, "remove it")
        }
        try locked {}
    }

    private func hold(_ path: FilePath) throws(MachineStorageError) -> Work {
        let opened = open(path.string, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        guard opened >= 0 else { throw MachineStorageError(Errno(rawValue: errno), path, "open the directory") }
        flock(opened, LOCK_EX | LOCK_NB)
        return Work(path: path, descriptor: opened)
    }

    private func recordPath(_ name: String) -> FilePath { hidden.appending(Self.recordPrefix + name) }

    /// Removes what nobody works on any more. With the lock held, nobody begins to.
    private func sweep() {
        for file in (try? FileTree.names(in: hidden)) ?? [] {
            let path = hidden.appending(file)
            if file.hasPrefix(Self.recordPrefix) {
                if record(String(file.dropFirst(Self.recordPrefix.count))) == nil { unlink(path.string) }
            } else if file.hasPrefix(Self.workPrefix) {
                let opened = open(path.string, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                guard opened >= 0 else { continue }
                defer { close(opened) }
                guard flock(opened, LOCK_EX | LOCK_NB) == 0 else { continue }
                ReadOnlyFlags.clear(opened)
                try? FileTree.remove(path)
            }
        }
    }
}
