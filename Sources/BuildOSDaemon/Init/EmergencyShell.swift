import BuildOSKit
import CHost
import Glibc

/// The shell at which a boot stops (STOR-3).
enum EmergencyShell {
    /// Shows a message and a shell on the console; reboots when the shell is left.
    static func run(_ message: String, drivers: DriverSetup?) async -> Never {
        // Keyboard and screen may need drivers that the set-up itself had no use for.
        if let drivers { await drivers.loadAll() }
        _ = try? FileDescriptor.standardOutput.writeAll((message + "\n").utf8)
        if let shell = start() {
            var status: Int32 = 0
            // Process 1 inherits whatever is left of its descendants.
            while true {
                let ended = waitpid(-1, &status, 0)
                if ended == shell || (ended < 0 && errno == ECHILD) { break }
            }
        } else {
            _ = try? FileDescriptor.standardOutput.writeAll(
                "No shell could be started. Rebooting in 30 seconds.\n".utf8
            )
            sleep(30)
        }
        _ = try? FileDescriptor.standardOutput.writeAll("Rebooting.\n".utf8)
        sync()
        _ = umount2(StoragePlan.stateDirectory.string, Int32(MNT_DETACH))
        _ = chost_reboot()
        // Only without the right to reboot, as in a container; process 1 must not end.
        while true { sleep(3600) }
    }

    /// Whether somebody presses Enter on the console within a time.
    static func isAskedFor(within seconds: Int) -> Bool {
        var console = pollfd(fd: FileDescriptor.standardInput.rawValue, events: Int16(POLLIN), revents: 0)
        guard poll(&console, 1, Int32(seconds) * 1000) > 0, console.revents & Int16(POLLIN) != 0 else { return false }
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = buffer.withUnsafeMutableBytes { try? FileDescriptor.standardInput.read(into: $0) }
        return (count ?? 0) > 0
    }

    private static func start() -> pid_t? {
        let candidates = [terminal, "/dev/console"].compactMap { $0 }
        for (program, options) in [("/bin/bash", ["--noprofile", "--norc", "-i"]), ("/bin/sh", ["-i"])] {
            for terminal in candidates {
                let arguments = CStrings([program] + options)
                let environment = CStrings([
                    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root",
                    "TERM=\(type(of: terminal))", "PS1=buildos# ",
                ])
                var process: Int32 = 0
                let reason = withExtendedLifetime((arguments, environment)) {
                    chost_spawn_on_terminal(terminal, program, arguments.pointers, environment.pointers, &process)
                }
                if reason == 0 { return process }
            }
        }
        return nil
    }

    /// What a serial line or a screen understands.
    private static func type(of terminal: String) -> String {
        let isScreen = terminal.hasPrefix("/dev/tty") && terminal.dropFirst("/dev/tty".count).first?.isNumber == true
        return isScreen ? "linux" : "vt220"
    }

    /// The device behind `/dev/console`, which itself can't control a session.
    private static var terminal: String? {
        guard let active = try? FileTree.readText("/sys/class/tty/console/active"),
            let last = active.split(whereSeparator: { $0 == " " || $0 == "\n" }).last
        else { return nil }
        guard last == "tty0" else { return "/dev/\(last)" }
        let screen = (try? FileTree.readText("/sys/class/tty/tty0/active"))?.split(separator: "\n").first
        return "/dev/\(screen ?? "tty1")"
    }
}
