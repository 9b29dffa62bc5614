import BtrfsStorage
import BuildOSCommands
import BuildOSKit
import LocalTransport
import SSHRemote

@main
struct Main {
    static func main() async throws {
        var backends = BackendRegistry()
        try backends.register(BtrfsStorageProvider())
        try backends.register(LocalTransportProvider())
        try backends.register(SSHRemoteProvider())
        await BuildOSControl.runAsCalled(linking: backends)
    }
}
