import BuildOSKit

internal import CCurl

/// One fetch: its handle, its file, its digest. Lives on the loop's thread, hence not Sendable.
final class Transfer {
    let handle: EasyHandle
    private let order: TransferOrder
    private let file: DestinationFile
    private let digest: StreamDigest?
    private var validators = ResourceValidators()
    private var failure: FetchError?
    private var headerBytes = 0
    private var isRepeated = false
    /// Of all responses of a chain of redirects together.
    private static let maximumHeaderBytes = 1 << 20
    private var reporter: ProgressReporter?

    private var request: FetchRequest { order.request }
    var isCancelled: Bool { order.cancellation.isRequested }

    init(_ order: TransferOrder) throws {
        let url = order.request.url
        guard let handle = EasyHandle() else { throw FetchError(.other, url: url, detail: "libcurl has no memory") }
        self.handle = handle
        self.order = order
        file = DestinationFile(order.request.destination)
        if let algorithm = order.request.digestAlgorithm {
            guard let digest = StreamDigest(algorithm) else {
                throw FetchError(.other, url: url, detail: "libcrypto offers no \(algorithm.rawValue) here")
            }
            self.digest = digest
        } else {
            digest = nil
        }
        reporter = order.progress.map(ProgressReporter.init)
        setCallbacks()
        handle.configure(for: order.request)
        if let refusal = handle.refusal {
            throw FetchError(.other, url: url, detail: "libcurl refused an option: \(CurlLibrary.text(of: refusal))")
        }
    }

    private func setCallbacks() {
        handle.setCallbacks(
            // The multi handle's owner keeps the transfer until libcurl has let go of it.
            context: Unmanaged.passUnretained(self).toOpaque(),
            write: { bytes, size, count, context in
                guard let context, let bytes else { return 0 }
                let chunk = UnsafeRawBufferPointer(start: bytes, count: size * count)
                return Transfer.from(context).receive(chunk) ? size * count : 0
            },
            header: { bytes, size, count, context in
                guard let context, let bytes else { return 0 }
                let line = UnsafeRawBufferPointer(start: bytes, count: size * count)
                return Transfer.from(context).receive(headerLine: line) ? size * count : 0
            },
            progress: { context, total, now, _, _ in
                guard let context else { return 0 }
                let transfer = Transfer.from(context)
                transfer.reporter?.report(received: Int64(now), expected: total > 0 ? Int64(total) : nil)
                return transfer.isCancelled ? 1 : 0
            }
        )
    }

    private static func from(_ context: UnsafeMutableRawPointer) -> Transfer {
        Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    }

    /// Whether the transfer may go on.
    private func receive(_ chunk: UnsafeRawBufferPointer) -> Bool {
        guard file.byteCount + Int64(chunk.count) <= request.limits.maximumBytes else {
            fail(.tooLarge, "it is larger than the limit of \(request.limits.maximumBytes) bytes")
            return false
        }
        if let digest, !digest.update(chunk) {
            fail(.other, "libcrypto failed")
            return false
        }
        do {
            try file.write(chunk)
            return true
        } catch {
            fail(.cannotWrite, "can't write \(file.path): \(error)")
            return false
        }
    }

    /// Whether the transfer may go on.
    private func receive(headerLine bytes: UnsafeRawBufferPointer) -> Bool {
        headerBytes += bytes.count
        guard headerBytes <= Self.maximumHeaderBytes else {
            fail(.other, "the headers of its answers are larger than \(Self.maximumHeaderBytes) bytes")
            return false
        }
        note(headerLine: String(decoding: bytes, as: UTF8.self))
        return true
    }

    private func note(headerLine line: String) {
        // Each response of a chain of redirects has a status line of its own.
        if line.hasPrefix("HTTP/") { validators = ResourceValidators() }
        guard let colon = line.firstIndex(of: ":") else { return }
        let value = String(line[colon...].dropFirst().trimmingBlanks)
        guard !value.isEmpty, value.utf8.count <= 1024 else { return }
        switch line[..<colon].lowercased() {
        case "etag": validators.entityTag = value
        case "last-modified": validators.lastModified = value
        default: break
        }
    }

    /// Records what went wrong, unless something has before.
    func fail(_ kind: FetchError.Kind, _ detail: String) {
        if failure == nil { failure = FetchError(kind, url: request.url, detail: detail) }
    }

    /// Whether it is to be tried once more, without TFTP options: libcurl takes the size 0 that a server announces
    /// for an empty file as an error.
    func shouldRepeat(after code: CURLcode) -> Bool {
        guard code == CURLE_TFTP_ILLEGAL, !isRepeated, !isCancelled, file.byteCount == 0 else { return false }
        isRepeated = true
        handle.set(CURLOPT_TFTP_NO_OPTIONS, 1)
        return true
    }

    /// Says how it ended, with the library's result; the handle is out of the multi handle by now.
    func conclude(_ code: CURLcode) {
        do {
            order.finish(.success(try outcome(code)))
        } catch {
            file.claim()
            file.discard()
            order.finish(.failure(error))
        }
    }

    private func outcome(_ code: CURLcode) throws(FetchError) -> FetchOutcome {
        if isCancelled { throw FetchError(.cancelled, url: request.url, detail: "the fetch was cancelled") }
        if let failure { throw failure }
        guard code == CURLE_OK else { throw handle.error(code, of: request) }
        switch (request.url.scheme, handle.responseCode) {
        case (.http, 304), (.https, 304):
            guard !request.unlessMatching.isEmpty else { throw handle.statusError(304, of: request) }
            return .notModified
        case (.http, let status), (.https, let status):
            guard status == 200 else { throw handle.statusError(status, of: request) }
        case (.tftp, _), (.file, _): break
        }
        do {
            try file.keep()
        } catch {
            throw FetchError(.cannotWrite, url: request.url, detail: "can't write \(file.path): \(error)")
        }
        let sum = digest?.finish()
        if digest != nil, sum == nil { throw FetchError(.other, url: request.url, detail: "libcrypto failed") }
        reporter?.finish(received: file.byteCount)
        return .fetched(FetchedFile(byteCount: file.byteCount, digest: sum, validators: validators))
    }
}

/// Passes progress on, ten times a second at most.
private struct ProgressReporter {
    private let handler: @Sendable (FetchProgress) -> Void
    private var next = ContinuousClock.now
    private var last: Int64 = 0

    init(_ handler: @escaping @Sendable (FetchProgress) -> Void) { self.handler = handler }

    mutating func report(received: Int64, expected: Int64?) {
        guard received != last else { return }
        let now = ContinuousClock.now
        guard now >= next else { return }
        next = now + .milliseconds(100)
        last = received
        handler(FetchProgress(received: received, expected: expected))
    }

    func finish(received: Int64) {
        handler(FetchProgress(received: received, expected: received))
    }
}

extension Substring {
    fileprivate var trimmingBlanks: Substring {
        let isBlank: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0.isNewline }
        guard let start = firstIndex(where: { !isBlank($0) }), let end = lastIndex(where: { !isBlank($0) }) else {
            return ""
        }
        return self[start...end]
    }
}
