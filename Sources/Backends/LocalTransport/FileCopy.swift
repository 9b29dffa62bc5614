import BuildOSKit
import Glibc

/// Copies a file on this machine: a temporary name, the disk, a rename.
struct FileCopy: Sendable {
    let source: FilePath
    let destination: FilePath
    let permissions: FilePermissions?
    let progress: (@Sendable (Int64) -> Void)?

    /// Bytes copied between two looks at cancellation and two reports.
    private static let portion = 1 << 20

    func run(isCancelled: @Sendable () -> Bool) throws(TransportError) {
        do throws(FileError) {
            try copy(isCancelled)
        } catch  where error.errno == .canceled {
            throw TransportError(.cancelled, subject: source.string)
        } catch {
            throw TransportError(.inputOutput, subject: source.string, detail: error.description)
        }
    }

    private func copy(_ isCancelled: @Sendable () -> Bool) throws(FileError) {
        let input = try Self.open(source, O_RDONLY, 0)
        defer { close(input) }
        var status = stat()
        guard fstat(input, &status) == 0 else { throw FileError("read", source, Errno(rawValue: errno)) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw FileError("copy", source, .invalidArgument) }
        let name = ".\(destination.lastComponent?.string ?? "file").\(UInt64.random(in: .min ... .max))"
        let temporary = destination.removingLastComponent().appending(name)
        let mode = permissions?.rawValue ?? status.st_mode & 0o7777
        let output = try Self.open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode_t(mode))
        defer { close(output) }
        do throws(FileError) {
            try transfer(from: input, to: output, temporary, isCancelled)
            guard fchmod(output, mode_t(mode)) == 0, fsync(output) == 0,
                rename(temporary.string, destination.string) == 0
            else { throw FileError("write", destination, Errno(rawValue: errno)) }
        } catch {
            unlink(temporary.string)
            throw error
        }
    }

    private func transfer(
        from input: Int32,
        to output: Int32,
        _ temporary: FilePath,
        _ isCancelled: @Sendable () -> Bool
    ) throws(FileError) {
        var copied: Int64 = 0
        var portion = [UInt8](repeating: 0, count: Self.portion)
        while true {
            guard !isCancelled() else { throw FileError("copy", source, .canceled) }
            do {
                let count = try portion.withUnsafeMutableBytes { try FileDescriptor(rawValue: input).read(into: $0) }
                if count == 0 { return }
                try FileDescriptor(rawValue: output).writeAll(portion[..<count])
                copied += Int64(count)
            } catch {
                throw FileError("write", temporary, error as? Errno ?? .ioError)
            }
            progress?(copied)
        }
    }

    private static func open(_ path: FilePath, _ flags: Int32, _ mode: mode_t) throws(FileError) -> Int32 {
        let descriptor = Glibc.open(path.string, flags | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw FileError("open", path, Errno(rawValue: errno)) }
        return descriptor
    }
}
