import BuildOSKit
import TestSupport
import Testing

/// What goes wrong beside a build: steps of the agent's test at a desk.
extension EndToEndTests.Agent {
    /// A task of a higher priority ends one that runs and is built in its machine; both controllers are told.
    func interrupted(_ lab: AgentLab, _ clean: String) async throws {
        try await lab.lab.publishPackage(check: "sleep 10000")
        try await lab.withAgent {
            try await lab.controller.control("tasks=1")
            try await eventually("a build", within: .seconds(120)) {
                try lab.agentStatus().reason == "the machine works"
            }
            try await lab.lab.publishPackage(check: clean)
            try await lab.urgentController.control("tasks=1")
            try await eventually("the urgent result", within: .seconds(120), every: .seconds(1)) {
                try await lab.urgentController.results() == ["success"]
            }
            #expect(try await lab.controller.results().last == "interrupt")
            #expect(try await lab.build() == "success")
        }
    }

    /// A machine of which nothing is heard is started three times, and given up for a fault that isn't the task's.
    func silent(_ lab: AgentLab) async throws {
        let before = try lab.restarts()
        try await lab.withAgent(["--startup-timeout", "5"]) {
            try await lab.withGuestsUnheard {
                let status = try await lab.build()
                #expect(status == "abort")
            }
        }
        #expect(try lab.restarts() == before + 2)
    }

    /// A result that its controller can't be told outlives the agent, and is told by the next one.
    func away(_ lab: AgentLab, _ clean: String) async throws {
        let before = try await lab.controller.results().count
        try await lab.lab.publishPackage(check: "sleep 10; false")
        try await lab.withAgentToBeKilled {
            try await lab.controller.control("tasks=1")
            try await eventually("a build", within: .seconds(120)) {
                try lab.agentStatus().reason == "the machine works"
            }
            try await lab.controller.control("drop=1&times=1000")
            try await eventually("a result that is kept", within: .seconds(120)) {
                try !lab.keptResults().isEmpty
            }
        }
        #expect(try await lab.controller.results().count == before)
        try await lab.controller.control("times=0")
        try await lab.lab.publishPackage(check: clean)
        try await lab.withAgent {
            try await eventually("the kept result", within: .seconds(60), every: .seconds(1)) {
                try await lab.controller.results().count > before
            }
            #expect(try await lab.controller.results().last == "error")
            #expect(try await lab.build() == "success")
            try await eventually("an empty spool", within: .seconds(20)) { try lab.keptResults().isEmpty }
        }
    }
}
