import BuildOSKit
import Testing

/// Drives a machine by hand: time passes only when the test says so.
struct MachineDriver {
    private(set) var machine: MonitorMachine
    private(set) var now: MonitorInstant = .start

    init(_ settings: MonitorSettings, seed: UInt64 = 1) { machine = MonitorMachine(settings, seed: seed) }

    /// A machine that has started and cleaned, with the effects of that thrown away.
    static func running(_ settings: MonitorSettings, seed: UInt64 = 1) -> MachineDriver {
        var driver = MachineDriver(settings, seed: seed)
        driver.send(.started(reports: []))
        driver.send(.prepared(.success(MachineCleaningReport())))
        return driver
    }

    @discardableResult
    mutating func send(_ event: MonitorEvent) -> [MonitorEffect] { machine.handle(event, at: now) }

    /// Goes to the next instant at which the machine wants to be woken.
    @discardableResult
    mutating func wake() -> [MonitorEffect] {
        guard let next = machine.nextWake else { return [] }
        now = max(now, next)
        return send(.tick)
    }

    /// Lets time pass and ticks once.
    @discardableResult
    mutating func pass(_ duration: Duration) -> [MonitorEffect] {
        now = now.advanced(by: duration)
        return send(.tick)
    }

    /// Brings a toolchain from its sync to running agents.
    mutating func bringUp(_ name: ToolchainName, _ synced: SyncedToolchain = .old) {
        send(.synced(name, .ready(synced)))
        send(.bootstrapped(name, .success(.own)))
        send(.agentsStarted(name, nil))
        send(.agentsSeen([:]))
    }

    func state(_ name: ToolchainName) throws -> ToolchainState {
        try #require(machine.toolchains.first { $0.toolchain.name == name })
    }
}

extension ToolchainName {
    static let first = ToolchainName.default
    static func named(_ text: String) throws -> ToolchainName { try ToolchainName(text) }
}

extension AgentChoice {
    static let own = AgentChoice(.bbot, because: "it can be built")
}

extension SyncedToolchain {
    static let old = SyncedToolchain(version: "0.17.0", id: "aa11", checksums: .of("1"))
    static let new = SyncedToolchain(version: "0.18.0", id: "bb22", checksums: .of("2"))
}

extension Digest {
    /// A digest made of one digit; for tests.
    static func of(_ digit: Character) -> Digest {
        guard let digest = Digest(.sha256, hexadecimal: String(repeating: digit, count: 64)) else {
            fatalError("\(digit) is not a hexadecimal digit")
        }
        return digest
    }
}

extension MonitorSettings {
    /// Settings with toolchains of these names and a build id to follow.
    static func example(_ names: ToolchainName...) throws -> MonitorSettings {
        var settings = MonitorSettings()
        settings.toolchains = try names.enumerated().map {
            Toolchain(
                name: $1,
                number: $0 + 1,
                url: try ResourceURL("https://example.org/\($1)/toolchain.sha256"),
                instances: 2
            )
        }
        settings.buildIDURL = try ResourceURL("tftp://example.org/buildos/buildos-buildid")
        settings.runningBuildID = BuildID("20251123-aaaaaaaa")
        return settings
    }
}

extension Array<MonitorEffect> {
    /// The subjects of the mails among the effects.
    var mails: [String] {
        compactMap {
            switch $0 {
            case .mail(let mail), .announce(let mail, _): mail.subject
            default: nil
            }
        }
    }
}

let down = Trouble(.toolchainFetch, "toolchain default", cause: "no route to host")
let corrupt = Trouble(.toolchainRefused, "toolchain default", cause: "checksum of a.tar.xz is wrong")
let broken = Trouble(.toolchainBootstrap, "toolchain default", cause: "build.sh: exit status 1")
