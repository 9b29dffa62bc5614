import BuildOSKit

internal import CLibvirt

/// libvirt's event loop, which it has one of in a process: it brings events of domains, and notices lost connections.
///
/// A program that registered a loop of its own before keeps that one, and must run it.
enum EventLoop {
    /// Starts the loop on a thread of its own if it isn't running; what went wrong, if anything did.
    static let failure: LibvirtFailure? = {
        clibvirt_silence_errors()
        guard virInitialize() == 0, virEventRegisterDefaultImpl() == 0 else { return .last() }
        do throws(Errno) {
            try DedicatedThread.start(name: "libvirt-events") {
                while virEventRunDefaultImpl() == 0 {}
            }
            return nil
        } catch {
            return .outside("no thread for libvirt's events: \(error)")
        }
    }()
}
