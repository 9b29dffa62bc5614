import TestSupport
import Testing

/// Everything that needs a lab, one thing after the other: a lab has one machine, as the machine it runs on has few.
///
/// The suites in it are the boots of a host's life, in the order of their names; each starts where the one before
/// left the disks and the servers.
@Suite("End to end", .serialized, .enabled(if: Lab.obstacle == nil, "\(Lab.obstacle ?? "")"), .lab)
struct EndToEndTests {}

@Suite("Around the lab")
struct AroundTheLab {
    @Test("What the end-to-end tests need is there")
    func prerequisites() {
        _ = Requirements.isMet(Lab.obstacle == nil, Lab.obstacle ?? "")
    }
}
