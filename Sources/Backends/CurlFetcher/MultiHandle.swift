import BuildOSKit

internal import CCurl

/// Owns libcurl's multi handle and the transfers in it. Used by one thread alone, hence not Sendable.
final class MultiHandle {
    private let handle: UnsafeMutableRawPointer
    private var transfers: [UnsafeMutableRawPointer: Transfer] = [:]

    init?() {
        guard let handle = curl_multi_init() else { return nil }
        self.handle = handle
    }

    deinit {
        for transfer in transfers.values { curl_multi_remove_handle(handle, transfer.handle.pointer) }
        transfers = [:]
        curl_multi_cleanup(handle)
    }

    var isIdle: Bool { transfers.isEmpty }

    func begin(_ order: TransferOrder) {
        do {
            let transfer = try Transfer(order)
            let code = curl_multi_add_handle(handle, transfer.handle.pointer)
            guard code == CURLM_OK else {
                throw FetchError(.other, url: order.request.url, detail: Self.text(of: code))
            }
            transfers[transfer.handle.pointer] = transfer
        } catch {
            order.finish(.failure(error as? FetchError ?? .init(.other, url: order.request.url, detail: "\(error)")))
        }
    }

    func endCancelled() {
        for transfer in transfers.values where transfer.isCancelled { end(transfer, with: CURLE_ABORTED_BY_CALLBACK) }
    }

    /// Does what can be done without waiting.
    func perform() {
        var running: Int32 = 0
        let code = curl_multi_perform(handle, &running)
        var result = CURLE_OK
        while let ended = ccurl_take_ended(handle, &result) {
            if let transfer = transfers[ended] { end(transfer, with: result) }
        }
        guard code != CURLM_OK else { return }
        // Out of memory or worse: nothing that runs can be relied on.
        for transfer in transfers.values {
            transfer.fail(.other, Self.text(of: code))
            end(transfer, with: CURLE_FAILED_INIT)
        }
    }

    /// Waits until a transfer can go on, its time is over, or the signal is raised.
    func wait(for signal: WakeSignal) {
        var extra = curl_waitfd(fd: signal.descriptor, events: Int16(CURL_WAIT_POLLIN), revents: 0)
        curl_multi_poll(handle, &extra, 1, 60_000, nil)
        signal.wait()
    }

    private func end(_ transfer: Transfer, with code: CURLcode) {
        curl_multi_remove_handle(handle, transfer.handle.pointer)
        if transfer.shouldRepeat(after: code), curl_multi_add_handle(handle, transfer.handle.pointer) == CURLM_OK {
            return
        }
        transfers[transfer.handle.pointer] = nil
        transfer.conclude(code)
    }

    private static func text(of code: CURLMcode) -> String {
        curl_multi_strerror(code).map { String(cString: $0) } ?? "error \(code.rawValue) of libcurl"
    }
}
