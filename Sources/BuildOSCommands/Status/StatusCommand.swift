import ArgumentParser
import BuildOSKit
import Glibc

/// `buildosctl status`
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Show what a host is doing, and why it isn't building if it isn't.",
        discussion: """
            Reads the file that the host's monitor writes. Exits with 0 if a monitor is alive, with 1 if there is no status, \
            or one that no living monitor has written. With --watch, shows it anew every two seconds until interrupted.
            """
    )

    @Option(help: ArgumentHelp("Read this file.", valueName: "file"))
    var file = StatusFile.standard.string
    @Flag(help: "Show it anew every two seconds.")
    var watch = false
    @OptionGroup var format: FormatOptions

    func run() async throws {
        guard watch else {
            let status = try StatusFile.read(FilePath(file))
            guard try show(status) else { throw ExitCode(1) }
            return
        }
        var shown: HostStatus?
        while true {
            do {
                let status = try StatusFile.read(FilePath(file))
                if isTerminal || status != shown {
                    // A terminal is cleared; anything else gets one listing after the other.
                    if isTerminal { print("\u{1b}[H\u{1b}[2J", terminator: "") }
                    _ = try show(status)
                }
                shown = status
            } catch let error as StatusFileError {
                if shown != nil || !isTerminal { print(error) } else { print("\u{1b}[H\u{1b}[2J\(error)") }
                shown = nil
            }
            fflush(nil)
            try await Task.sleep(for: .seconds(2))
        }
    }

    private var isTerminal: Bool { isatty(STDOUT_FILENO) == 1 && format.format == .text }

    private func show(_ status: HostStatus) throws -> Bool {
        let listing = StatusListing(status: status, now: .now)
        switch format.format {
        case .text: print(listing.text, terminator: "")
        case .json: try format.printJSON(status)
        }
        return !listing.isStale && status.state != "stopped"
    }
}
