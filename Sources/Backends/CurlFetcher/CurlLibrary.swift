internal import CCurl

/// The library as a whole: set up once, and what it can do.
enum CurlLibrary {
    /// Sets the library up; the time of the first use is the only one that counts.
    static let setUp: CURLcode = curl_global_init(Int(CURL_GLOBAL_DEFAULT))

    /// The schemes of ``BuildOSKit/ResourceURL`` that this build of the library speaks.
    static var schemes: [String] {
        guard let information = curl_version_info(CURLVERSION_FIRST) else { return [] }
        var spoken: Set<String> = []
        var entry = information.pointee.protocols
        while let current = entry, let name = current.pointee {
            spoken.insert(String(cString: name))
            entry = current.advanced(by: 1)
        }
        return ["http", "https", "tftp", "file"].filter(spoken.contains)
    }

    /// Version of the library and of the TLS library under it.
    static var version: String {
        guard let information = curl_version_info(CURLVERSION_FIRST) else { return "libcurl" }
        let version = information.pointee.version.map { String(cString: $0) } ?? ""
        let tls = information.pointee.ssl_version.map { ", " + String(cString: $0) } ?? ""
        return "libcurl \(version)\(tls)"
    }

    /// Where the library looks for the certificates of authorities; `nil` if it has no such file.
    static var certificateBundle: String? {
        guard let handle = curl_easy_init() else { return nil }
        defer { curl_easy_cleanup(handle) }
        var path: UnsafePointer<CChar>?
        guard ccurl_get_string(handle, CURLINFO_CAINFO, &path) == CURLE_OK, let path else { return nil }
        return String(cString: path)
    }

    static func text(of code: CURLcode) -> String {
        curl_easy_strerror(code).map { String(cString: $0) } ?? "error \(code.rawValue) of libcurl"
    }
}
