import BuildOSKit

/// What every ``VirtualMachines`` must do: the same definition has the same behaviour.
///
/// Guests are real: a kernel with the initramfs of `Scripts/make-test-guest`, or, where what runs in it doesn't matter, a
/// boot sector that writes to its serial port and halts.
public struct VirtualMachinesSuite: ConformanceSuite {
    public static var interface: BackendInterface { .virtualMachines }

    let makeBackend: @Sendable () throws -> any VirtualMachines
    let guest: ConformanceEnvironment.Guest
    let scratch: FilePath
    let patience: Duration

    /// Creates a suite for one implementation.
    ///
    /// - Parameters:
    ///   - scratch: the directory in which every check makes one of its own. Its path must be short enough for sockets in it.
    ///   - guest: what is run in most machines.
    ///   - patience: how long a guest has until it has done what is expected of it. A loaded machine without KVM is slow.
    ///   - makeBackend: makes an instance; those that it makes find each other's machines.
    public init(
        in scratch: FilePath = "/tmp",
        guest: ConformanceEnvironment.Guest,
        patience: Duration = .seconds(90),
        _ makeBackend: @escaping @Sendable () throws -> any VirtualMachines
    ) {
        self.scratch = scratch
        self.guest = guest
        self.patience = patience
        self.makeBackend = makeBackend
    }

    /// The checks, in the order in which they are best run.
    public var checks: [ConformanceCheck] {
        starting + exits + control + endPoints + bootOrder + devices + memorySnapshots + finding + leavings
    }

    func check(
        _ name: String,
        _ body: @escaping @Sendable (MachineBench) async throws -> Void
    ) -> ConformanceCheck {
        ConformanceCheck(name, timeLimit: .seconds(240)) {
            try await withScratchDirectory(in: scratch) { directory in
                let bench = try makeBench(directory)
                let result: Result<Void, any Error>
                do { result = .success(try await body(bench)) } catch { result = .failure(error) }
                await bench.endAll()
                try result.get()
            }
        }
    }

    func makeBench(_ directory: FilePath) throws -> MachineBench {
        MachineBench(backend: try makeBackend(), guest: guest, patience: patience, directory: directory)
    }
}
