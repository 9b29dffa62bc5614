import Glibc

/// Speaks to controllers: asks for tasks, reports results, uploads files (BOT-3; build2-facts, 2).
public struct ControllerClient: Sendable {
    private let fetcher: any Fetcher
    private let openssl: OpenSSL
    private let key: AgentKey?
    private let scratch: FilePath
    /// How it speaks to them.
    public let settings: ControllerSettings
    private let sleep: @Sendable (Duration) async throws -> Void

    /// Creates a client.
    ///
    /// - Parameters:
    ///   - fetcher: must be able to post.
    ///   - transport: runs openssl(1), on this machine.
    ///   - key: by which controllers know this host; `nil` for controllers that don't ask.
    ///   - scratch: a directory for files that live as long as a request.
    ///   - sleep: waits between two tries.
    public init(
        fetcher: any Fetcher,
        transport: any Transport,
        key: AgentKey?,
        scratch: FilePath,
        settings: ControllerSettings = ControllerSettings(),
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    ) {
        self.fetcher = fetcher
        openssl = OpenSSL(transport)
        self.key = key
        self.scratch = scratch
        self.settings = settings
        self.sleep = sleep
    }

    /// Asks one controller for a task, once.
    ///
    /// - Parameter request: what this host can do; the client adds the fingerprint of its key.
    /// - Returns: a task, or `nil` if the controller has none.
    /// - Throws: ``ControllerError``, for a task that this host can't have been meant with, too.
    public func task(
        from url: ResourceURL,
        for request: TaskRequest
    ) async throws(ControllerError) -> TaskResponse.Assignment? {
        var request = request
        request.fingerprint = key?.fingerprint
        let bytes = try serialized(request.manifests, for: url, limit: settings.maximumTaskRequestBytes)
        let answer = try await post(FetchBody(contentType: Self.manifestType, content: .bytes(bytes)), to: url)
        let response: TaskResponse
        do {
            let manifests = try ManifestParser.parse(answer, source: "answer", limits: answerLimits)
            response = try TaskResponse(manifests, source: "answer")
        } catch {
            throw ControllerError(.unintelligible, url, error.description)
        }
        guard let assignment = response.assignment else { return nil }
        try check(assignment, url, request)
        return assignment
    }

    private func check(
        _ assignment: TaskResponse.Assignment,
        _ url: ResourceURL,
        _ request: TaskRequest
    ) throws(ControllerError) {
        func isOffered(_ name: String, as role: MachineHeader.Role) -> Bool {
            request.machines.contains { $0.name == name && $0.role == role }
        }
        let task = assignment.task
        guard isOffered(task.machine, as: .build) else {
            throw ControllerError(
                .unintelligible,
                url,
                "its task is for the machine '\(task.machine)', not offered to it"
            )
        }
        for machine in task.auxiliaryMachines.values.sorted() where !isOffered(machine, as: .auxiliary) {
            throw ControllerError(
                .unintelligible,
                url,
                "its task needs the auxiliary machine '\(machine)', not offered to it"
            )
        }
        guard request.interactiveMode.admits(interactive: task.interactive != nil) else {
            throw ControllerError(
                .unintelligible,
                url,
                "its task is \(task.interactive == nil ? "not " : "")interactive, and was not asked for"
            )
        }
        guard assignment.challenge == nil || key != nil else {
            throw ControllerError(.cannotSign, url, "it wants to know this host by a key, and there is none")
        }
    }

    /// Makes what is sent when a task is done: the challenge signed, logs cut if they are more than controllers take.
    ///
    /// - Parameter agentChecksum: what kind of agent did it.
    /// - Throws: ``ControllerError``
    public func resultRequest(
        _ result: BuildResult,
        of assignment: TaskResponse.Assignment,
        agentChecksum: String?
    ) async throws(ControllerError) -> ResultRequest {
        var request = ResultRequest(session: assignment.session, agentChecksum: agentChecksum, result: result)
        request.challenge = try await signed(assignment.challenge, for: assignment.resultURL)
        // Escapes and line breaks come on top of a log's own bytes, so the limit is approached from above.
        var limit = settings.maximumResultRequestBytes
        while limit > 4096 {
            let size = try serialized(request.manifests, for: assignment.resultURL, limit: .max).count
            guard size > settings.maximumResultRequestBytes else { break }
            limit -= limit / 8
            request.result = result
            request.result.limitLogs(bytes: limit)
        }
        return request
    }

    /// Reports a result, with retries.
    ///
    /// - Throws: ``ControllerError``
    public func report(_ request: ResultRequest, to url: ResourceURL) async throws(ControllerError) {
        try await report(manifests: request.manifests, to: url)
    }

    func report(manifests: [Manifest], to url: ResourceURL) async throws(ControllerError) {
        let bytes = try serialized(manifests, for: url, limit: settings.maximumResultRequestBytes)
        let body = FetchBody(contentType: Self.manifestType, content: .bytes(bytes))
        try await retrying(url) { () async throws(ControllerError) in _ = try await post(body, to: url) }
    }

    /// Uploads a file that a build made, with retries. To be done before the result is reported.
    ///
    /// - Returns: what the controller says; its status is 200 if it took the file.
    /// - Throws: ``ControllerError``
    public func upload(
        _ upload: ControllerUpload,
        of assignment: TaskResponse.Assignment
    ) async throws(ControllerError) -> UploadResponse {
        guard let url = assignment.uploadURLs[upload.type] else {
            let cause = "it takes no uploads of the type '\(upload.type)'"
            throw ControllerError(.rejected, assignment.resultURL, cause)
        }
        let sum: String
        do { sum = try await openssl.sha256(.file(upload.archive)) } catch {
            throw ControllerError(.local, url, error.description)
        }
        var parts: [(name: String, content: MultipartForm.Content)] = [("session", .text(assignment.session))]
        if let challenge = try await signed(assignment.challenge, for: url) {
            parts.append(("challenge", .text(challenge)))
        }
        parts += [
            ("instance", .text(upload.instance)), ("archive", .file(upload.archive)), ("sha256sum", .text(sum)),
        ]
        parts += upload.values.sorted { $0.key < $1.key }.map { ($0.key, .text($0.value)) }
        let form = MultipartForm(parts)
        let file = scratchFile("upload")
        defer { unlink(file.string) }
        do { try form.write(to: file) } catch { throw ControllerError(.local, url, error.description) }
        var status = stat()
        guard stat(file.string, &status) == 0, Int64(status.st_size) <= settings.maximumUploadBytes else {
            let cause = "the upload is \(status.st_size) bytes, more than \(settings.maximumUploadBytes)"
            throw ControllerError(.tooLarge, url, cause)
        }
        let body = FetchBody(contentType: form.contentType, content: .file(file))
        let answer = try await retrying(url) { () async throws(ControllerError) in try await post(body, to: url) }
        do {
            return try UploadResponse(
                ManifestParser.parse(answer, source: "answer", limits: answerLimits),
                source: "answer"
            )
        } catch {
            throw ControllerError(.unintelligible, url, error.description)
        }
    }

    private static let manifestType = "text/manifest"

    private var answerLimits: ManifestLimits { ManifestLimits(bytes: settings.maximumAnswerBytes, manifests: 2) }

    private func signed(_ challenge: String?, for url: ResourceURL) async throws(ControllerError) -> String? {
        guard let challenge else { return nil }
        guard let key else { throw ControllerError(.cannotSign, url, "there is no key to sign its challenge with") }
        do { return try await key.sign(challenge) } catch {
            throw ControllerError(.cannotSign, url, error.description)
        }
    }

    private func serialized(
        _ manifests: [Manifest],
        for url: ResourceURL,
        limit: Int
    ) throws(ControllerError) -> [UInt8] {
        let bytes: [UInt8]
        do { bytes = try ManifestSerializer.serialize(manifests) } catch {
            throw ControllerError(.local, url, error.description)
        }
        guard bytes.count <= limit else {
            throw ControllerError(.tooLarge, url, "the request has \(bytes.count) bytes, more than \(limit)")
        }
        return bytes
    }

    private func scratchFile(_ kind: String) -> FilePath {
        scratch.appending("\(kind)-\(String(UInt64.random(in: .min ... .max), radix: 36))")
    }

    private func post(_ body: FetchBody, to url: ResourceURL) async throws(ControllerError) -> [UInt8] {
        let file = scratchFile("answer")
        defer { unlink(file.string) }
        let request = FetchRequest(
            url: url,
            destination: file,
            limits: FetchLimits(
                maximumBytes: Int64(settings.maximumAnswerBytes),
                connectTimeout: settings.connectTimeout,
                totalTimeout: settings.requestTimeout,
                // A controller may think for as long as the request may take.
                lowSpeedTime: settings.requestTimeout
            ),
            posting: body
        )
        do { _ = try await fetcher.fetch(request) } catch { throw ControllerError(error) }
        do { return try FileTree.read(file, limit: settings.maximumAnswerBytes) } catch {
            throw ControllerError(.local, url, error.description)
        }
    }

    private func retrying<Success>(
        _ url: ResourceURL,
        _ attempt: () async throws(ControllerError) -> Success
    ) async throws(ControllerError) -> Success {
        var generator = SeededGenerator(seed: .random(in: .min ... .max))
        var failures = 0
        while true {
            do {
                return try await attempt()
            } catch {
                failures += 1
                guard error.mayPass, failures <= settings.retries else { throw error }
            }
            do {
                try await sleep(settings.retryPauses.delay(afterFailures: failures, using: &generator))
            } catch {
                throw ControllerError(.cancelled, url, "it was not tried again")
            }
        }
    }
}
