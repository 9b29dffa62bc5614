import BuildOSKit

internal import CCurl

extension EasyHandle {
    /// Sets everything but the callbacks and the headers.
    func configure(for request: FetchRequest, _ access: ServerAccess) {
        let limits = request.limits
        set(CURLOPT_URL, request.url.description)
        set(CURLOPT_PROTOCOLS_STR, CurlLibrary.schemes.joined(separator: ","))
        // A server must not send a host to its own files, nor from https to http.
        set(CURLOPT_REDIR_PROTOCOLS_STR, request.url.scheme == .https ? "https" : "http,https")
        set(CURLOPT_FOLLOWLOCATION, 1)
        set(CURLOPT_MAXREDIRS, limits.maximumRedirects)
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
        reach(request.url.scheme, access)
    }

    private func reach(_ scheme: ResourceURL.Scheme, _ access: ServerAccess) {
        if scheme == .tftp || scheme == .file {
            // There is no proxy for these; one in the environment is meant for the others.
            set(CURLOPT_PROXY, "")
        } else if let proxy = access.proxy {
            set(CURLOPT_PROXY, proxy)
            set(CURLOPT_NOPROXY, "")
        }
        if let file = access.certificateFile { set(CURLOPT_CAINFO, file) }
        if access.isFileAlone {
            clear(CURLOPT_CAPATH)
        } else if let directory = access.certificateDirectory {
            set(CURLOPT_CAPATH, directory)
        }
    }

    /// Makes it a POST request.
    func post(_ byteCount: Int64) {
        set(CURLOPT_POST, 1)
        set(CURLOPT_POSTFIELDSIZE_LARGE, bytes: byteCount)
        // On a connection that was used before, libcurl sends a request again if no answer comes; it may have been heard.
        set(CURLOPT_FRESH_CONNECT, 1)
        set(CURLOPT_POSTREDIR, Int(CURL_REDIR_POST_301 | CURL_REDIR_POST_302 | CURL_REDIR_POST_303))
    }

    /// Sets the headers that the request needs.
    ///
    /// - Parameter continuing: what is there already.
    func setHeaders(for request: FetchRequest, continuing: PartialFetch?) {
        var lines: [String] = []
        if let body = request.posting {
            // Without 'Expect', which libcurl would send with a large body and wait a second for an answer to.
            lines = ["Content-Type: \(body.contentType)", "Expect:"]
        } else {
            if let tag = request.unlessMatching.entityTag { lines.append("If-None-Match: \(tag)") }
            if let date = request.unlessMatching.lastModified { lines.append("If-Modified-Since: \(date)") }
            if let continuing, let version = continuing.validators.entityTag ?? continuing.validators.lastModified {
                lines.append("Range: bytes=\(continuing.byteCount)-")
                lines.append("If-Range: \(version)")
            }
        }
        setHeaders(lines)
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
