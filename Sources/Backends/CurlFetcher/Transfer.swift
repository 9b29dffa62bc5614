import BuildOSKit

internal import CCurl

/// One fetch: its handle, its file, its digest. Lives on the loop's thread, hence not Sendable.
final class Transfer {
    /// What becomes of the body of an answer.
    private enum Reception {
        /// It goes into the file, behind what is there up to that offset.
        case content(from: Int64)
        /// It isn't what was asked for, though it may say why.
        case refused
        /// It isn't the rest of what is there: the whole has to be fetched.
        case anew
    }

    let handle: EasyHandle
    private let order: TransferOrder
    private let file: DestinationFile
    private let body: RequestBody?
    private var digest: StreamDigest?
    /// What is there already, as long as the transfer can go on with it.
    private var continuing: PartialFetch?
    private var head = ResponseHead()
    private var reception: Reception?
    private var explanation: [UInt8] = []
    private var failure: FetchError?
    private var isRepeated = false
    private var reporter: ProgressReporter?
    /// Of all responses of a chain of redirects together.
    private static let maximumHeaderBytes = 1 << 20
    private static let maximumExplanationBytes = 4096

    private var request: FetchRequest { order.request }
    private var isWeb: Bool { request.url.scheme == .http || request.url.scheme == .https }
    var isCancelled: Bool { order.cancellation.isRequested }

    init(_ order: TransferOrder, _ access: ServerAccess) throws {
        let request = order.request
        guard let handle = EasyHandle() else {
            throw FetchError(.other, url: request.url, detail: "libcurl has no memory")
        }
        self.handle = handle
        self.order = order
        file = DestinationFile(request.destination)
        continuing = order.existing?.partial
        digest = try order.existing?.takeDigest() ?? Self.digest(for: request)
        do {
            body = try request.posting.map { try RequestBody($0.content) }
        } catch {
            throw FetchError(.other, url: request.url, detail: "what is to be sent can't be read: \(error)")
        }
        reporter = order.progress.map(ProgressReporter.init)
        setCallbacks()
        handle.configure(for: request, access)
        if let body { handle.post(body.byteCount) }
        handle.setHeaders(for: request, continuing: continuing)
        if let refusal = handle.refusal {
            let text = CurlLibrary.text(of: refusal)
            throw FetchError(.other, url: request.url, detail: "libcurl refused an option: \(text)")
        }
    }

    private static func digest(for request: FetchRequest) throws(FetchError) -> StreamDigest? {
        guard let algorithm = request.digestAlgorithm else { return nil }
        guard let digest = StreamDigest(algorithm) else {
            let detail = "libcrypto offers no \(algorithm.rawValue) here"
            throw FetchError(.other, url: request.url, detail: detail)
        }
        return digest
    }

    private func setCallbacks() {
        // The multi handle's owner keeps the transfer until libcurl has let go of it.
        let context = Unmanaged.passUnretained(self).toOpaque()
        handle.setCallbacks(
            context: context,
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
                transfer.reportProgress(received: Int64(now), expected: total > 0 ? Int64(total) : nil)
                return transfer.isCancelled ? 1 : 0
            }
        )
        guard body != nil else { return }
        handle.setBody(
            context: context,
            read: { bytes, size, count, context in
                guard let context, let bytes else { return Int(CURL_READFUNC_ABORT) }
                let buffer = UnsafeMutableRawBufferPointer(start: bytes, count: size * count)
                return Transfer.from(context).send(buffer) ?? Int(CURL_READFUNC_ABORT)
            },
            seek: { context, offset, _ in
                // libcurl always counts from the beginning (CURLOPT_SEEKFUNCTION(3)).
                guard let context, let body = Transfer.from(context).body else { return CURL_SEEKFUNC_FAIL }
                return body.seek(to: Int64(offset)) ? CURL_SEEKFUNC_OK : CURL_SEEKFUNC_FAIL
            }
        )
    }

    private static func from(_ context: UnsafeMutableRawPointer) -> Transfer {
        Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
    }

    private func reportProgress(received: Int64, expected: Int64?) {
        guard case .content(let offset) = reception else { return }
        reporter?.report(received: offset + received, expected: expected.map { offset + $0 })
    }

    /// Bytes put into the buffer, 0 at the end; `nil` ends the transfer.
    private func send(_ buffer: UnsafeMutableRawBufferPointer) -> Int? {
        do {
            return try body?.read(into: buffer) ?? 0
        } catch {
            fail(.other, "what is to be sent can't be read: \(error)")
            return nil
        }
    }

    /// Whether the transfer may go on.
    private func receive(_ chunk: UnsafeRawBufferPointer) -> Bool {
        do {
            switch try received() {
            case .content: return try take(chunk)
            case .anew: return false
            case .refused:
                explanation.append(contentsOf: chunk.prefix(Self.maximumExplanationBytes - explanation.count))
                return explanation.count < Self.maximumExplanationBytes
            }
        } catch let error as FetchError {
            fail(error.kind, error.detail)
            return false
        } catch {
            fail(.cannotWrite, "can't write \(file.path): \(error)")
            return false
        }
    }

    private func take(_ chunk: UnsafeRawBufferPointer) throws -> Bool {
        guard file.byteCount + Int64(chunk.count) <= request.limits.maximumBytes else {
            fail(.tooLarge, "it is larger than the limit of \(request.limits.maximumBytes) bytes")
            return false
        }
        if let digest, !digest.update(chunk) {
            fail(.other, "libcrypto failed")
            return false
        }
        try file.write(chunk)
        return true
    }

    /// What the answer is, decided when its body begins or it ends without one. Makes file and digest ready for it.
    private func received() throws -> Reception {
        if let reception { return reception }
        let decided = judge()
        reception = decided
        if case .content(let offset) = decided {
            if offset == 0, continuing != nil { digest = try Self.digest(for: request) }
            try file.open(keeping: offset)
        }
        return decided
    }

    private func judge() -> Reception {
        guard isWeb else { return .content(from: 0) }
        switch handle.responseCode {
        case 200: return .content(from: 0)
        case 206:
            guard let continuing else { return .refused }
            return head.isRest(of: continuing) ? .content(from: continuing.byteCount) : .anew
        case 416: return continuing == nil ? .refused : .anew
        case 201...299: return body == nil ? .refused : .content(from: 0)
        default: return .refused
        }
    }

    /// Whether the transfer may go on.
    private func receive(headerLine bytes: UnsafeRawBufferPointer) -> Bool {
        head.note(bytes)
        guard head.byteCount <= Self.maximumHeaderBytes else {
            fail(.other, "the headers of its answers are larger than \(Self.maximumHeaderBytes) bytes")
            return false
        }
        return true
    }

    /// Records what went wrong, unless something has before.
    func fail(_ kind: FetchError.Kind, _ detail: String) {
        if failure == nil { failure = FetchError(kind, url: request.url, detail: detail) }
    }

    /// Whether it is to be tried once more: the whole, if the server has no rest of what is there; or without TFTP
    /// options, as libcurl takes the size 0 that a server announces for an empty file as an error.
    func shouldRepeat(after code: CURLcode) -> Bool {
        guard !isRepeated, !isCancelled, failure == nil else { return false }
        if continuing != nil, isWeb, handle.responseCode > 0, case .anew = reception ?? judge() {
            continuing = nil
            reception = nil
            head = ResponseHead()
            do { digest = try Self.digest(for: request) } catch { failure = error }
            handle.setHeaders(for: request, continuing: nil)
        } else if code == CURLE_TFTP_ILLEGAL, file.byteCount == 0 {
            handle.set(CURLOPT_TFTP_NO_OPTIONS, 1)
        } else {
            return false
        }
        isRepeated = true
        return failure == nil && handle.refusal == nil
    }

    /// Says how it ended, with the library's result; the handle is out of the multi handle by now.
    func conclude(_ code: CURLcode) {
        do {
            order.finish(.success(try outcome(code)))
        } catch {
            let partial = partial(after: error.kind)
            if partial == nil {
                file.claim()
                file.discard()
            }
            let status = isWeb && handle.responseCode > 0 ? handle.responseCode : nil
            let told = FetchError(
                error.kind,
                url: error.url,
                detail: error.detail,
                httpStatus: status,
                partial: partial
            )
            order.finish(.failure(told))
        }
    }

    /// What stays in the destination, if it is wanted and the transfer can be gone on with.
    private func partial(after kind: FetchError.Kind) -> PartialFetch? {
        guard request.keepsPartial, request.posting == nil, kind != .tooLarge, kind != .cannotWrite else { return nil }
        switch reception {
        case .content(let offset):
            let validators = offset > 0 ? continuing?.validators : head.strongValidators
            guard isWeb, let validators, !validators.isEmpty, file.byteCount > 0, (try? file.keep()) != nil else {
                return nil
            }
            return PartialFetch(byteCount: file.byteCount, validators: validators)
        // What was there has not been touched.
        case .refused, nil: return continuing
        case .anew: return nil
        }
    }

    private func outcome(_ code: CURLcode) throws(FetchError) -> FetchOutcome {
        if isCancelled { throw FetchError(.cancelled, url: request.url, detail: "the fetch was cancelled") }
        if let failure { throw failure }
        // Before the library's result: the page that came with the status may have been cut short, or be too large.
        if isWeb, handle.responseCode >= 400 { throw refusal }
        guard code == CURLE_OK else { throw handle.error(code, of: request) }
        if isWeb, handle.responseCode == 304, body == nil, !request.unlessMatching.isEmpty { return .notModified }
        let offset: Int64
        do {
            guard case .content(let first) = try received() else { throw refusal }
            offset = first
            try requireWhole()
            try file.keep()
        } catch let error as FetchError {
            throw error
        } catch {
            throw FetchError(.cannotWrite, url: request.url, detail: "can't write \(file.path): \(error)")
        }
        let sum = digest?.finish()
        if digest != nil, sum == nil { throw FetchError(.other, url: request.url, detail: "libcrypto failed") }
        reporter?.finish(received: file.byteCount)
        var validators = head.validators
        if offset > 0, let continuing {
            validators.entityTag = validators.entityTag ?? continuing.validators.entityTag
            validators.lastModified = validators.lastModified ?? continuing.validators.lastModified
        }
        return .fetched(FetchedFile(byteCount: file.byteCount, digest: sum, validators: validators))
    }

    private func requireWhole() throws(FetchError) {
        guard case .content(let offset) = reception, offset > 0, let whole = head.range?.whole else { return }
        guard file.byteCount != whole else { return }
        let detail = "the server sent the bytes up to \(file.byteCount) of \(whole)"
        throw FetchError(.unreachable, url: request.url, detail: detail)
    }

    private var refusal: FetchError {
        let text = head.isPlainText ? String(decoding: explanation, as: UTF8.self) : ""
        let line = text.split(whereSeparator: \.isNewline).first ?? ""
        let shown = line.unicodeScalars.filter { $0.value >= 0x20 && $0.value != 0x7f }.prefix(200)
        return handle.statusError(handle.responseCode, of: request, String(String.UnicodeScalarView(shown)))
    }
}
