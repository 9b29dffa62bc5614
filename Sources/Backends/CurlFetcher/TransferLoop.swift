import BuildOSKit
import Glibc
import Synchronization

internal import CCurl

/// Says that a transfer is no longer wanted; read by the loop when it is woken.
final class Cancellation: Sendable {
    private let isSet = Mutex(false)
    func request() { isSet.withLock { $0 = true } }
    var isRequested: Bool { isSet.withLock { $0 } }
}

/// A fetch on its way to the loop.
struct TransferOrder: Sendable {
    let request: FetchRequest
    let progress: (@Sendable (FetchProgress) -> Void)?
    let cancellation: Cancellation
    /// What of the resource is there already.
    let existing: ExistingContent?
    /// Called once, from the loop's thread.
    let finish: @Sendable (Result<FetchOutcome, FetchError>) -> Void

    /// Fails before a transfer was begun. What is in the destination stays only if it can still be gone on with.
    func refuse(_ error: FetchError) {
        let partial = request.keepsPartial ? existing?.partial : nil
        if partial == nil { DestinationFile.remove(request.destination) }
        finish(.failure(FetchError(error.kind, url: error.url, detail: error.detail, partial: partial)))
    }

    func refuse(_ kind: FetchError.Kind, _ detail: String) {
        refuse(FetchError(kind, url: request.url, detail: detail))
    }
}

/// The thread that all transfers of a fetcher run on.
///
/// Every handle of libcurl is made, used and freed on that thread; what crosses to it are orders, and a
/// descriptor that wakes it.
final class TransferLoop: Sendable {
    private struct Inbox {
        var orders: [TransferOrder] = []
        var isStopping = false
    }
    private let inbox = Mutex(Inbox())
    private let signal: WakeSignal
    private let access: ServerAccess

    init(_ access: ServerAccess) throws(Errno) {
        self.access = access
        signal = try WakeSignal(blocking: false)
        try DedicatedThread.start(name: "curl-fetcher") { self.run() }
    }

    func submit(_ order: TransferOrder) {
        inbox.withLock { $0.orders.append(order) }
        signal.raise()
    }

    func wake() { signal.raise() }

    func stop() {
        inbox.withLock { $0.isStopping = true }
        signal.raise()
    }

    private func run() {
        guard CurlLibrary.setUp == CURLE_OK, let multi = MultiHandle(access) else {
            return refuseAll()
        }
        while true {
            let (orders, isStopping) = takeInbox()
            if isStopping, orders.isEmpty, multi.isIdle { return }
            multi.add(orders)
            multi.endCancelled()
            multi.perform()
            multi.wait(for: signal)
        }
    }

    private func takeInbox() -> ([TransferOrder], Bool) {
        inbox.withLock { inbox in
            defer { inbox.orders = [] }
            return (inbox.orders, inbox.isStopping)
        }
    }

    /// The library could not be set up: every order fails.
    private func refuseAll() {
        while true {
            let (orders, isStopping) = takeInbox()
            if isStopping, orders.isEmpty { return }
            for order in orders { order.refuse(.other, "libcurl can't be set up") }
            var descriptor = pollfd(fd: signal.descriptor, events: Int16(POLLIN), revents: 0)
            poll(&descriptor, 1, -1)
            signal.wait()
        }
    }
}
