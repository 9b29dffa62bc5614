import BuildOSKit

internal import CCurl

/// Owns libcurl's multi handle, the transfers in it, and the orders that wait for one of these to end. Used by one
/// thread alone, hence not Sendable.
final class MultiHandle {
    private let handle: UnsafeMutableRawPointer
    private let access: ServerAccess
    private var transfers: [UnsafeMutableRawPointer: Transfer] = [:]
    private var waiting: [TransferOrder] = []

    init?(_ access: ServerAccess) {
        guard let handle = curl_multi_init() else { return nil }
        self.handle = handle
        self.access = access
    }

    deinit {
        for transfer in transfers.values { curl_multi_remove_handle(handle, transfer.handle.pointer) }
        transfers = [:]
        curl_multi_cleanup(handle)
    }

    var isIdle: Bool { transfers.isEmpty && waiting.isEmpty }

    /// Takes orders, in whose turn they begin.
    func add(_ orders: [TransferOrder]) {
        waiting += orders
        beginWaiting()
    }

    private func beginWaiting() {
        let free = access.maximumTransfers - transfers.count
        guard free > 0, !waiting.isEmpty else { return }
        let next = waiting.prefix(free)
        waiting.removeFirst(next.count)
        for order in next { begin(order) }
    }

    private func begin(_ order: TransferOrder) {
        do {
            let transfer = try Transfer(order, access)
            let code = curl_multi_add_handle(handle, transfer.handle.pointer)
            guard code == CURLM_OK else {
                throw FetchError(.other, url: order.request.url, detail: Self.text(of: code))
            }
            transfers[transfer.handle.pointer] = transfer
        } catch {
            order.refuse(error as? FetchError ?? FetchError(.other, url: order.request.url, detail: "\(error)"))
        }
    }

    func endCancelled() {
        for order in waiting where order.cancellation.isRequested {
            order.refuse(.cancelled, "the fetch was cancelled")
        }
        waiting.removeAll { $0.cancellation.isRequested }
        for transfer in transfers.values where transfer.isCancelled { end(transfer, with: CURLE_ABORTED_BY_CALLBACK) }
        beginWaiting()
    }

    /// Does what can be done without waiting.
    func perform() {
        var running: Int32 = 0
        let code = curl_multi_perform(handle, &running)
        var result = CURLE_OK
        while let ended = ccurl_take_ended(handle, &result) {
            if let transfer = transfers[ended] { end(transfer, with: result) }
        }
        if code != CURLM_OK {
            // Out of memory or worse: nothing that runs can be relied on.
            for transfer in transfers.values {
                transfer.fail(.other, Self.text(of: code))
                end(transfer, with: CURLE_FAILED_INIT)
            }
        }
        beginWaiting()
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
