import BuildOSKit
import Testing

extension EndToEndTests {
    /// The first boot of a host with empty disks: everything is set up, toolchains are bootstrapped, agents run.
    @Suite(
        "1. First boot",
        .serialized,
        .host { lab in
            try await MainHost.furnish(lab)
            return try await MainHost.shape("boot1", pxe: true, in: lab)
        }
    )
    struct Boot1 {
        let lab: Lab
        let host: VirtualHost

        init() throws {
            lab = try Lab.current
            host = try VirtualHost.current
        }
    }
}
