internal import CCurl

/// Owns one handle of libcurl and the memory it points to. Used by one thread alone, hence not Sendable.
final class EasyHandle {
    let pointer: UnsafeMutableRawPointer
    private let errorText: UnsafeMutablePointer<CChar>
    private var headers: UnsafeMutablePointer<curl_slist>?
    /// The first option the library refused.
    private(set) var refusal: CURLcode?

    init?() {
        guard let pointer = curl_easy_init() else { return nil }
        self.pointer = pointer
        errorText = .allocate(capacity: Int(CURL_ERROR_SIZE))
        errorText.initialize(repeating: 0, count: Int(CURL_ERROR_SIZE))
        note(ccurl_set_error_buffer(pointer, errorText))
    }

    deinit {
        curl_easy_cleanup(pointer)
        curl_slist_free_all(headers)
        errorText.deallocate()
    }

    func set(_ option: CURLoption, _ value: Int) { note(ccurl_set_long(pointer, option, value)) }
    func set(_ option: CURLoption, bytes: Int64) { note(ccurl_set_offset(pointer, option, curl_off_t(bytes))) }
    func set(_ option: CURLoption, _ value: String) { note(ccurl_set_string(pointer, option, value)) }
    func clear(_ option: CURLoption) { note(ccurl_set_string(pointer, option, nil)) }

    /// Has these lines sent with the request's header, in place of earlier ones.
    func setHeaders(_ lines: [String]) {
        let earlier = headers
        headers = nil
        for line in lines {
            // A line break would let its author write further headers.
            guard line.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else { return note(CURLE_BAD_FUNCTION_ARGUMENT) }
            guard let longer = curl_slist_append(headers, line) else { return note(CURLE_OUT_OF_MEMORY) }
            headers = longer
        }
        note(ccurl_set_list(pointer, CURLOPT_HTTPHEADER, headers))
        curl_slist_free_all(earlier)
    }

    /// Has a body asked for by callbacks with `context`, which must outlive the transfer.
    func setBody(
        context: UnsafeMutableRawPointer,
        read: @escaping ccurl_data_callback,
        seek: @escaping ccurl_seek_callback
    ) {
        note(ccurl_set_read_callbacks(pointer, read, seek, context))
    }

    /// Has the callbacks called with `context`, which must outlive the transfer.
    func setCallbacks(
        context: UnsafeMutableRawPointer,
        write: @escaping ccurl_data_callback,
        header: @escaping ccurl_data_callback,
        progress: @escaping ccurl_progress_callback
    ) {
        note(ccurl_set_write_callback(pointer, write, context))
        note(ccurl_set_header_callback(pointer, header, context))
        note(ccurl_set_progress_callback(pointer, progress, context))
    }

    /// The status of the last response; 0 for a scheme that has none.
    var responseCode: Int {
        var code = 0
        return ccurl_get_long(pointer, CURLINFO_RESPONSE_CODE, &code) == CURLE_OK ? code : 0
    }

    /// The last URL, after redirects.
    var effectiveURL: String? {
        var text: UnsafePointer<CChar>?
        guard ccurl_get_string(pointer, CURLINFO_EFFECTIVE_URL, &text) == CURLE_OK, let text else { return nil }
        return String(cString: text)
    }

    /// The library's own words on what went wrong.
    func message(for code: CURLcode) -> String {
        let text = String(cString: errorText)
        // With TFTP, libcurl asks an unconnected socket for its peer and keeps the complaint for what fails later.
        return text.isEmpty || text.hasPrefix("getpeername()") ? CurlLibrary.text(of: code) : text
    }

    private func note(_ code: CURLcode) {
        if code != CURLE_OK, refusal == nil { refusal = code }
    }
}
