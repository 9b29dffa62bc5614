import Synchronization

/// Loses, repeats and reorders packets by chance; see ``UDPRelay/lossy(seed:loss:repetition:reordering:)``.
final class LossyLink: Sendable {
    private struct State {
        var random: SeededGenerator
        /// A packet each way that the next one overtakes.
        var held: [UDPRelay.Direction: [UInt8]] = [:]
    }

    private let loss, repetition, reordering: Double
    private let state: Mutex<State>

    init(seed: UInt64, loss: Double, repetition: Double, reordering: Double) {
        self.loss = loss
        self.repetition = repetition
        self.reordering = reordering
        state = Mutex(State(random: SeededGenerator(seed: seed)))
    }

    func pass(_ packet: [UInt8], _ direction: UDPRelay.Direction) -> [[UInt8]] {
        state.withLock { state in
            let chance = Double.random(in: 0..<1, using: &state.random)
            if chance < loss { return [] }
            if let held = state.held.removeValue(forKey: direction) { return [packet, held] }
            if chance < loss + repetition { return [packet, packet] }
            guard chance < loss + repetition + reordering else { return [packet] }
            state.held[direction] = packet
            return []
        }
    }
}
