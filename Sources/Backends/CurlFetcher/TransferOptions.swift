import BuildOSKit

internal import CCurl

extension EasyHandle {
    /// Sets everything but the callbacks.
    func configure(for request: FetchRequest) {
        let limits = request.limits
        set(CURLOPT_URL, request.url.description)
        set(CURLOPT_PROTOCOLS_STR, CurlLibrary.schemes.joined(separator: ","))
        // A server must not send a host to its own files, nor from https to http.
        set(CURLOPT_REDIR_PROTOCOLS_STR, request.url.scheme == .https ? "https" : "http,https")
        set(CURLOPT_FOLLOWLOCATION, 1)
        set(CURLOPT_MAXREDIRS, limits.maximumRedirects)
        set(CURLOPT_FAILONERROR, 1)
        set(CURLOPT_USERAGENT, "buildos")
        // Without it libcurl uses SIGALRM for time limits on name resolution.
        set(CURLOPT_NOSIGNAL, 1)
        set(CURLOPT_CONNECTTIMEOUT_MS, limits.connectTimeout.wholeMilliseconds)
        if let total = limits.totalTimeout { set(CURLOPT_TIMEOUT_MS, total.wholeMilliseconds) }
        set(CURLOPT_LOW_SPEED_LIMIT, limits.lowSpeedBytesPerSecond)
        set(CURLOPT_LOW_SPEED_TIME, max(1, Int(limits.lowSpeedTime.components.seconds)))
        set(CURLOPT_MAXFILESIZE_LARGE, bytes: limits.maximumBytes)
        set(CURLOPT_BUFFERSIZE, 256 * 1024)
        // A block that fits an Ethernet frame; servers that don't know the option use 512 bytes (RFC 2348).
        set(CURLOPT_TFTP_BLKSIZE, 1428)
        if let tag = request.unlessMatching.entityTag { addHeader("If-None-Match: \(tag)") }
        if let date = request.unlessMatching.lastModified { addHeader("If-Modified-Since: \(date)") }
        useHeaders()
    }
}

extension Duration {
    /// At least 1, as 0 means no limit to libcurl.
    fileprivate var wholeMilliseconds: Int {
        let (seconds, attoseconds) = components
        return max(1, Int(clamping: seconds).multipliedOrMaximum(1000) + Int(attoseconds / 1_000_000_000_000_000))
    }
}

extension Int {
    fileprivate func multipliedOrMaximum(_ factor: Int) -> Int {
        let (product, overflows) = multipliedReportingOverflow(by: factor)
        return overflows ? Int.max / 2 : Swift.min(product, Int.max / 2)
    }
}
