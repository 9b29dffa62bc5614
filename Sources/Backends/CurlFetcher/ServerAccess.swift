import BuildOSKit
import Glibc

/// How servers are reached: what the options say, else what curl(1) takes from the environment.
///
/// Proxies need nothing here where the options name none: libcurl itself reads `http_proxy`, `https_proxy`, `all_proxy`
/// and `no_proxy`. The certificates of authorities it doesn't: curl(1) does that for it.
struct ServerAccess: Sendable, Hashable {
    /// Most transfers at once, 1 or more.
    let maximumTransfers: Int
    /// The proxy for every request, empty for none; `nil` leaves it to libcurl.
    let proxy: String?
    /// A file of certificates to trust; `nil` for the library's own.
    let certificateFile: String?
    /// A directory of certificates to trust besides; `nil` for the library's own.
    let certificateDirectory: String?
    /// Whether nothing else than ``certificateFile`` is to be trusted.
    let isFileAlone: Bool

    init(_ options: FetcherOptions, environment: (String) -> String? = HostProcess.environmentVariable) {
        func value(_ name: String) -> String? { environment(name).flatMap { $0.isEmpty ? nil : $0 } }
        maximumTransfers = max(1, options.maximumTransfers)
        proxy = options.proxy
        isFileAlone = options.certificateBundle != nil
        if let bundle = options.certificateBundle {
            certificateFile = bundle.string
            certificateDirectory = nil
        } else if let bundle = value("CURL_CA_BUNDLE") {
            certificateFile = bundle
            certificateDirectory = nil
        } else {
            certificateFile = value("SSL_CERT_FILE")
            certificateDirectory = value("SSL_CERT_DIR")
        }
    }

    /// What is wrong with the certificates, if anything.
    var preflight: [PreflightFinding] {
        guard let file = certificateFile ?? (certificateDirectory == nil ? CurlLibrary.certificateBundle : nil),
            access(file, R_OK) != 0
        else { return [] }
        return [
            PreflightFinding(
                problem: "\(file) is not there, so no https server can be trusted",
                remedy: certificateFile == nil
                    ? "install the Debian package ca-certificates"
                    : "correct CURL_CA_BUNDLE or SSL_CERT_FILE in the environment"
            )
        ]
    }
}
