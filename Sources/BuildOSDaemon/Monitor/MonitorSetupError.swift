import BuildOSKit

/// Why a program of the host can't begin its work.
struct MonitorSetupError: DiagnosableError, Hashable {
    let subject: String
    let cause: String
    let remedy: String?
}
