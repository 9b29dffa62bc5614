import BuildOSConformance
import BuildOSKit
import DirectoryStorage
import Glibc
import Testing

/// A fake on purpose: a sound storage with one fault built in, which the suite must find.
struct BrokenStorage: CustomTestStringConvertible {
    /// What it does wrong.
    let fault: String
    /// Words of the name of the check that must fail.
    let caughtBy: String
    let storage: FaultyStorage

    var testDescription: String { fault }

    init(_ fault: String, caughtBy: String, _ build: (inout FaultyStorage) -> Void) {
        self.fault = fault
        self.caughtBy = caughtBy
        var storage = FaultyStorage()
        build(&storage)
        self.storage = storage
    }

    static let all = keeping + sending + receiving

    private static let keeping = [
        BrokenStorage("makes every snapshot writable", caughtBy: "a read-only snapshot can't be written") {
            $0.onSnapshot = { try await $0.snapshot($1, to: $2, readOnly: false) }
        },
        BrokenStorage("takes any directory for a subvolume", caughtBy: "listed by name among others") {
            $0.onList = { storage, directory in
                try await storage.subvolumes(in: directory)
                    + FileTree.names(in: directory).filter { FileTree.isDirectory(directory.appending($0)) }.map {
                        Subvolume(
                            path: directory.appending($0),
                            isReadOnly: false,
                            uuid: nil,
                            parentUUID: nil,
                            receivedUUID: nil
                        )
                    }
            }
        },
        BrokenStorage("deletes what is inside as well", caughtBy: "a subvolume that holds others") {
            $0.onDelete = { storage, path in
                for inner in (try? await storage.subvolumes(in: path)) ?? [] { try await storage.delete(inner.path) }
                try await storage.delete(path)
            }
        },
        BrokenStorage("deletes where a link points", caughtBy: "a link to a subvolume are not subvolumes") {
            $0.onDelete = { storage, path in
                var target = [CChar](repeating: 0, count: 4096)
                let count = readlink(path.string, &target, target.count - 1)
                let name = String(decoding: target.prefix(max(0, count)).map(UInt8.init(bitPattern:)), as: UTF8.self)
                try await storage.delete(count > 0 ? path.removingLastComponent().appending(name) : path)
            }
        },
    ]

    private static let sending = [
        BrokenStorage("sends everything where a difference was asked for", caughtBy: "a difference carries less") {
            $0.onSend = { storage, request, sink, progress in
                var request = request
                request.parent = nil
                try await storage.send(request, to: sink, progress: progress)
            }
        },
        BrokenStorage("sends what is being written", caughtBy: "what can't be sent is refused") {
            $0.onSend = { storage, request, sink, progress in
                let wasReadOnly = try await storage.subvolume(at: request.subvolume).isReadOnly
                try await storage.setReadOnly(true, request.subvolume)
                try await storage.send(request, to: sink, progress: progress)
                try await storage.setReadOnly(wasReadOnly, request.subvolume)
            }
        },
        BrokenStorage("says nothing of the last bytes", caughtBy: "progress grows up to the size") {
            $0.onSend = { storage, request, sink, progress in
                try await storage.send(request, to: sink) { if $0.isMultiple(of: 2) { progress?($0 & ~0xfff) } }
            }
        },
        BrokenStorage("takes a reader that is gone for a fault of its own", caughtBy: "a reader that goes away") {
            $0.onSend = { storage, request, sink, progress in
                do throws(MachineStorageError) {
                    try await storage.send(request, to: sink, progress: progress)
                } catch  where error.kind == .streamClosed {
                    throw MachineStorageError(.other, path: error.path, cause: error.cause)
                }
            }
        },
        BrokenStorage("ends well when it is cancelled", caughtBy: "sending is cancelled") {
            $0.onSend = { storage, request, sink, progress in
                do throws(MachineStorageError) {
                    try await storage.send(request, to: sink, progress: progress)
                } catch  where error.kind == .cancelled {}
            }
        },
    ]

    private static let receiving = [
        BrokenStorage("forgets what it received", caughtBy: "knows what it was received from") {
            $0.onReceive = { storage, source, directory, progress in
                let received = try await storage.receive(from: source, into: directory, progress: progress)
                return Subvolume(
                    path: received.path,
                    isReadOnly: received.isReadOnly,
                    uuid: received.uuid,
                    parentUUID: received.parentUUID,
                    receivedUUID: nil
                )
            }
        },
        BrokenStorage("leaves what came of a broken stream", caughtBy: "a stream that is cut off") {
            $0.onReceive = { storage, source, directory, progress in
                do throws(MachineStorageError) {
                    return try await storage.receive(from: source, into: directory, progress: progress)
                } catch {
                    try FileTree.makeDirectory(directory.appending("half"))
                    throw error
                }
            }
        },
        BrokenStorage("looks for no damage", caughtBy: "a bit that is turned over") {
            $0.onReceive = { storage, source, directory, progress in
                do throws(MachineStorageError) {
                    return try await storage.receive(from: source, into: directory, progress: progress)
                } catch  where error.kind == .badStream {
                    try await storage.create(directory.appending("taken"))
                    return try await storage.subvolume(at: directory.appending("taken"))
                }
            }
        },
        BrokenStorage("reads on after the end", caughtBy: "read to its end and no further") {
            $0.onReceive = { storage, source, directory, progress in
                let received = try await storage.receive(from: source, into: directory, progress: progress)
                var byte: UInt8 = 0
                _ = read(source.rawValue, &byte, 1)
                return received
            }
        },
        BrokenStorage("replaces what is there", caughtBy: "nothing is received over what is there") {
            $0.onReceive = { storage, source, directory, progress in
                for found in try await storage.subvolumes(in: directory) { try await storage.delete(found.path) }
                return try await storage.receive(from: source, into: directory, progress: progress)
            }
        },
        BrokenStorage("builds on what was changed", caughtBy: "a difference to what isn't here, or was changed") {
            // Only the word that tells of the change is taken away; the stream is not received.
            $0.onReceive = { storage, source, directory, progress in
                do throws(MachineStorageError) {
                    return try await storage.receive(from: source, into: directory, progress: progress)
                } catch  where error.kind == .noParent {
                    try await storage.create(directory.appending("guessed"))
                    return try await storage.subvolume(at: directory.appending("guessed"))
                }
            }
        },
    ]
}

/// A storage of plain directories with a fault: each closure stands in for an operation.
struct FaultyStorage: MachineStorage {
    typealias Progress = @Sendable (Int64) -> Void

    var onSnapshot: (@Sendable (DirectoryStorage, FilePath, FilePath) async throws -> Void)?
    var onList: (@Sendable (DirectoryStorage, FilePath) async throws -> [Subvolume])?
    var onDelete: (@Sendable (DirectoryStorage, FilePath) async throws -> Void)?
    var onSend: (@Sendable (DirectoryStorage, SendRequest, FileDescriptor, Progress?) async throws -> Void)?
    var onReceive: (@Sendable (DirectoryStorage, FileDescriptor, FilePath, Progress?) async throws -> Subvolume)?

    private let sound = DirectoryStorage()
    let backendName = "faulty"
    var capabilities: MachineStorageCapabilities { sound.capabilities }

    func isVolume(_ directory: FilePath) async throws(MachineStorageError) -> Bool {
        try await sound.isVolume(directory)
    }
    func space(of directory: FilePath) async throws(MachineStorageError) -> VolumeSpace {
        try await sound.space(of: directory)
    }
    func subvolume(at path: FilePath) async throws(MachineStorageError) -> Subvolume {
        try await sound.subvolume(at: path)
    }
    func create(_ path: FilePath) async throws(MachineStorageError) { try await sound.create(path) }
    func setReadOnly(_ readOnly: Bool, _ path: FilePath) async throws(MachineStorageError) {
        try await sound.setReadOnly(readOnly, path)
    }
    func synchronize(_ directory: FilePath) async throws(MachineStorageError) { try await sound.synchronize(directory) }

    func subvolumes(in directory: FilePath) async throws(MachineStorageError) -> [Subvolume] {
        try await faulty(directory) {
            if let onList { return try await onList(sound, directory) }
            return try await sound.subvolumes(in: directory)
        }
    }

    func snapshot(_ source: FilePath, to destination: FilePath, readOnly: Bool) async throws(MachineStorageError) {
        try await faulty(destination) {
            if let onSnapshot { return try await onSnapshot(sound, source, destination) }
            try await sound.snapshot(source, to: destination, readOnly: readOnly)
        }
    }

    func delete(_ path: FilePath) async throws(MachineStorageError) {
        try await faulty(path) {
            if let onDelete { return try await onDelete(sound, path) }
            try await sound.delete(path)
        }
    }

    func send(_ request: SendRequest, to sink: FileDescriptor, progress: Progress?) async throws(MachineStorageError) {
        try await faulty(request.subvolume) {
            if let onSend { return try await onSend(sound, request, sink, progress) }
            try await sound.send(request, to: sink, progress: progress)
        }
    }

    func receive(
        from source: FileDescriptor,
        into directory: FilePath,
        progress: Progress?
    ) async throws(MachineStorageError) -> Subvolume {
        try await faulty(directory) {
            if let onReceive { return try await onReceive(sound, source, directory, progress) }
            return try await sound.receive(from: source, into: directory, progress: progress)
        }
    }

    private func faulty<Success>(
        _ path: FilePath,
        _ body: () async throws -> Success
    ) async throws(MachineStorageError) -> Success {
        do {
            return try await body()
        } catch {
            throw error as? MachineStorageError ?? MachineStorageError(.other, path: path, cause: "\(error)")
        }
    }
}
