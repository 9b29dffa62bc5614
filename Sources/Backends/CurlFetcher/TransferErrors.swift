import BuildOSKit

internal import CCurl

extension EasyHandle {
    /// What a result of the library means.
    func error(_ code: CURLcode, of request: FetchRequest) -> FetchError {
        let kind: FetchError.Kind
        var detail = message(for: code)
        switch code {
        case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT, CURLE_GOT_NOTHING,
            CURLE_PROXY, CURLE_RECV_ERROR, CURLE_SEND_ERROR, CURLE_PARTIAL_FILE, CURLE_HTTP2, CURLE_HTTP2_STREAM:
            kind = .unreachable
        case CURLE_OPERATION_TIMEDOUT: kind = .timedOut
        case CURLE_TOO_MANY_REDIRECTS:
            kind = .redirects
            detail = "more than \(request.limits.maximumRedirects) redirects, the last to \(effectiveURL ?? "itself")"
        case CURLE_UNSUPPORTED_PROTOCOL:
            // The scheme asked for is spoken, so it is one that a server sent us to.
            kind = .redirects
            detail = "it redirects to a scheme that is not allowed there: \(detail)"
        case CURLE_FILESIZE_EXCEEDED:
            kind = .tooLarge
            detail = "it is larger than the limit of \(request.limits.maximumBytes) bytes"
        case CURLE_TFTP_NOTFOUND, CURLE_REMOTE_FILE_NOT_FOUND, CURLE_FILE_COULDNT_READ_FILE: kind = .notFound
        case CURLE_TFTP_PERM, CURLE_TFTP_ILLEGAL, CURLE_TFTP_UNKNOWNID, CURLE_REMOTE_ACCESS_DENIED: kind = .refused
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER,
            CURLE_SSL_CACERT_BADFILE, CURLE_SSL_CRL_BADFILE, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_ENGINE_NOTFOUND,
            CURLE_SSL_ENGINE_SETFAILED, CURLE_SSL_PINNEDPUBKEYNOTMATCH, CURLE_SSL_INVALIDCERTSTATUS:
            kind = .untrusted
        default: kind = .other
        }
        return FetchError(kind, url: request.url, detail: detail)
    }

    /// What a status that is no success means.
    ///
    /// - Parameter explanation: the beginning of the server's own words, if it gave any as plain text.
    func statusError(_ status: Int, of request: FetchRequest, _ explanation: String) -> FetchError {
        let kind: FetchError.Kind = status == 404 || status == 410 ? .notFound : .refused
        let words = explanation.isEmpty ? "" : ": \(explanation)"
        return FetchError(kind, url: request.url, detail: "the server answered with HTTP status \(status)\(words)")
    }
}
