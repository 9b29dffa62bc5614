import BuildOSKit

/// The strict controller of `Fixtures/controller.py` in the lab's network.
struct LabController: Sendable {
    let lab: Lab
    let address: String
    var port = 8090

    /// What a host is to ask.
    var url: String { "http://\(address):\(port)" }

    /// Runs it while a closure runs. Its task is the package ``Lab/publishPackage(check:)`` makes.
    ///
    /// - Parameters:
    ///   - repository: the web server that has the package.
    ///   - key: the public key of the host that asks; without one, hosts are not asked who they are.
    func run(repository: String, key: FilePath? = nil, _ body: () async throws -> Void) async throws {
        let task = lab.directory.appending("task-\(port).manifest")
        try FileTree.write(
            ": 1\nname: hello\nversion: 1.0\nrepository-url: \(repository)\ntarget: x86_64-linux-gnu\n",
            to: task
        )
        let command = lab.inside(
            "python3",
            [
                Lab.fixture("controller.py").string, "--task", task.string, "--address", address, "--port", "\(port)",
            ] + (key.map { ["--key", $0.string] } ?? [])
        )
        try await lab.withProgram("controller-\(port)", command) {
            try await eventually("the controller", within: .seconds(20)) { (try? await control("tasks=0")) != nil }
            try await body()
        }
    }

    /// Tells it what to do with the requests to come.
    func control(_ query: String) async throws {
        try await lab.check("curl", ["-sS", "--fail", "-X", "POST", "\(url)/control?\(query)"])
    }

    /// The statuses of the results that came, in order.
    func results() async throws -> [String] {
        try await lab.check("curl", ["-sS", "--fail", "\(url)/control/results"])
            .split(separator: "\n").compactMap { $0.split(separator: " ").last.map(String.init) }
    }

    /// How one was to log in to the last task's build.
    func login() async throws -> String {
        try await lab.check("curl", ["-sS", "--fail", "\(url)/control/login"])
    }

    /// The last result, with its logs.
    func lastResult() async throws -> String {
        try await lab.check("curl", ["-sS", "--fail", "\(url)/control/last"])
    }

    /// What it had to find fault with.
    func complaints() async throws -> [Substring] {
        try await lab.check("curl", ["-sS", "--fail", "\(url)/control/log"])
            .split(separator: "\n").filter { !$0.hasPrefix("listening") && !$0.hasSuffix(" ok") }
    }
}
