import BuildOSKit
import FoundationEssentials
import Glibc

internal import CLibvirt

/// QEMU's machine protocol, by way of libvirt: for what libvirt offers no call for (libvirt-qemu.h).
struct QEMUMonitor {
    private let domain: virDomainPtr

    /// The monitor of a domain that runs. Its calls block.
    init(_ domain: virDomainPtr) { self.domain = domain }

    /// What a reset by the guest does: `reset` or `shutdown`.
    func setRebootAction(_ action: String) throws(LibvirtFailure) {
        try execute("set-action", ["reboot": .text(action)])
    }

    /// Sends a descriptor's file to QEMU, under a name.
    func send(_ descriptor: FileDescriptor, as name: String) throws(LibvirtFailure) {
        try execute("getfd", ["fdname": .text(name)], descriptor: descriptor)
    }

    /// Begins to write memory and devices to a descriptor that was sent, as fast as it takes them.
    func beginSaving(to name: String) throws(LibvirtFailure) {
        try execute("migrate-set-parameters", ["max-bandwidth": .number(Int64.max)])
        try execute("migrate", ["uri": .text("fd:\(name)")])
    }

    /// Begins to read memory and devices from a descriptor that was sent.
    func beginRestoring(from name: String) throws(LibvirtFailure) {
        try execute("migrate-incoming", ["uri": .text("fd:\(name)")])
    }

    /// Gives up what ``beginSaving(to:)`` began.
    func cancelSaving() throws(LibvirtFailure) {
        try execute("migrate_cancel")
    }

    /// How far saving or restoring is.
    func migrationStatus() throws(LibvirtFailure) -> MigrationStatus {
        try execute("query-migrate")
    }

    /// The answer to `query-migrate` (qapi/migration.json, MigrationInfo).
    struct MigrationStatus: Decodable {
        let status: String?
        let errorDescription: String?

        enum CodingKeys: String, CodingKey {
            case status
            case errorDescription = "error-desc"
        }
    }

    private enum Argument: Encodable {
        case text(String)
        case number(Int64)

        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            switch self {
            case .text(let text): try container.encode(text)
            case .number(let number): try container.encode(number)
            }
        }
    }

    private struct Request: Encodable {
        let execute: String
        let arguments: [String: Argument]?
    }

    private struct Reply<Value: Decodable>: Decodable {
        let value: Value?
        let error: Refusal?

        enum CodingKeys: String, CodingKey {
            case value = "return"
            case error
        }
    }

    private struct Refusal: Decodable { let desc: String }
    private struct Nothing: Decodable {}

    private func execute(
        _ command: String,
        _ arguments: [String: Argument] = [:],
        descriptor: FileDescriptor? = nil
    ) throws(LibvirtFailure) {
        let _: Nothing = try execute(command, arguments, descriptor: descriptor)
    }

    private func execute<Value: Decodable>(
        _ command: String,
        _ arguments: [String: Argument] = [:],
        descriptor: FileDescriptor? = nil
    ) throws(LibvirtFailure) -> Value {
        let reply: Reply<Value>
        do {
            let request = Request(execute: command, arguments: arguments.isEmpty ? nil : arguments)
            let text = try send(String(decoding: try JSONEncoder().encode(request), as: UTF8.self), descriptor)
            reply = try JSONDecoder().decode(Reply<Value>.self, from: Data(text.utf8))
        } catch let failure as LibvirtFailure {
            throw failure
        } catch {
            throw .outside("QEMU's answer to \(command) can't be understood")
        }
        if let refusal = reply.error { throw .outside("QEMU refuses \(command): \(refusal.desc)") }
        guard let value = reply.value else { throw .outside("QEMU's answer to \(command) is empty") }
        return value
    }

    private func send(_ request: String, _ descriptor: FileDescriptor?) throws(LibvirtFailure) -> String {
        var result: UnsafeMutablePointer<CChar>?
        let status: Int32
        if let descriptor {
            var files: [UInt32] = [UInt32(bitPattern: descriptor.rawValue)]
            status = files.withUnsafeMutableBufferPointer { files in
                files.withMemoryRebound(to: Int32.self) { files in
                    virDomainQemuMonitorCommandWithFiles(
                        domain,
                        request,
                        UInt32(files.count),
                        files.baseAddress,
                        nil,
                        nil,
                        &result,
                        0
                    )
                }
            }
        } else {
            status = virDomainQemuMonitorCommand(domain, request, &result, 0)
        }
        guard status == 0, let result else { throw .last() }
        defer { free(result) }
        return String(cString: result)
    }
}
