import BuildOSKit

/// The shell scripts that run on the host; POSIX sh, with Linux' /proc, and coreutils or busybox.
enum RemoteScript {
    /// What sshd(8) hands to the log-in shell to run a command.
    ///
    /// The command gets the process that sshd started, which leads a session. Before it takes over, a line on the
    /// standard error tells its number, or why it can't: so a missing program differs from a status of 127, and its
    /// session can be ended later.
    ///
    /// - Parameter mark: a word that nobody else writes.
    /// - Returns: `nil` if something in it holds a NUL, or a variable has a name that can't be.
    static func line(for command: Command, mark: String) -> String? {
        var removals: [String] = []
        var assignments: [String] = []
        for (name, value) in command.environment.sorted(by: { $0.key < $1.key }) {
            guard !name.isEmpty, !name.contains("=") else { return nil }
            if let value { assignments.append("\(name)=\(value)") } else { removals += ["-u", name] }
        }
        var words = ["exec", "env"] + removals + ["--"] + assignments
        words += ["/bin/sh", "-c", start, "sh", mark, command.workingDirectory?.string ?? "", command.executable]
        return ShellQuoting.line(words + command.arguments)
    }

    /// A command that ends a session: SIGTERM, after two to three seconds SIGKILL until nothing is left.
    ///
    /// By the clock: on a busy host a look at all processes takes its time.
    static func end(ofSession process: Int32) -> Command {
        Command("/bin/sh", ["-c", endSession, "sh", String(process)])
    }

    /// A command that writes its input to a file that appears whole or not at all.
    ///
    /// - Parameter size: of the input in bytes; less is what came before a connection was lost.
    static func receive(_ file: FilePath, size: Int64, permissions: FilePermissions) -> Command {
        let name = ".\(file.lastComponent?.string ?? "file").\(String(UInt64.random(in: .min ... .max), radix: 36))"
        let temporary = file.removingLastComponent().appending(name)
        let mode = String(permissions.rawValue, radix: 8)
        return Command("/bin/sh", ["-c", receiveFile, "sh", operand(temporary), operand(file), mode, String(size)])
    }

    /// A command that writes a file, and its permissions to the standard error.
    static func send(_ file: FilePath) -> Command { Command("/bin/sh", ["-c", sendFile, "sh", operand(file)]) }

    /// A path that no program takes for an option.
    private static func operand(_ path: FilePath) -> String {
        path.string.hasPrefix("-") ? "./\(path.string)" : path.string
    }

    // Nothing is assigned outside of subshells: it might be a variable that the command is to get.
    private static let start = """
        say() { printf '%s %s\\n' "$1" "$2" >&2; }
        if [ -n "$2" ]; then cd -- "$2" 2>/dev/null || { say "$1" directory; exit 126; }; fi
        case $3 in
        */*) if [ ! -e "$3" ]; then say "$1" program; exit 127; fi
          if [ ! -x "$3" ] || [ -d "$3" ]; then say "$1" permission; exit 126; fi ;;
        *) (IFS=:; set -f
          for d in ${PATH-/usr/bin:/bin}; do [ -f "${d:-.}/$3" ] && [ -x "${d:-.}/$3" ] && exit 0; done
          exit 1) || { say "$1" program; exit 127; } ;;
        esac
        say "$1" $$
        shift 2
        exec "$@"
        """

    private static let endSession = """
        members() {
          for f in /proc/[0-9]*/stat; do
            { IFS= read -r l <"$f"; } 2>/dev/null || continue
            set -- "$1" ${l##*) }
            case $2 in Z|X) continue ;; esac
            if [ "$5" = "$1" ]; then f=${f#/proc/}; echo "${f%/stat}"; fi
          done
        }
        p=$(members "$1")
        if [ -n "$p" ]; then kill -TERM $p 2>/dev/null; fi
        end=$(($(date +%s) + 3))
        while [ -n "$(members "$1")" ] && [ "$(date +%s)" -lt $end ]; do sleep 0.1; done
        end=$(($(date +%s) + 15))
        while p=$(members "$1"); [ -n "$p" ] && [ "$(date +%s)" -lt $end ]; do kill -KILL $p 2>/dev/null; sleep 0.02; done
        [ -z "$p" ]
        """

    private static let receiveFile = """
        trap 'rm -f "$1"' EXIT
        trap 'exit 1' HUP INT TERM
        umask 077
        set -C
        cat >"$1" || exit
        [ "$(stat -c %s "$1")" = "$4" ] || { echo 'it did not come whole' >&2; exit 1; }
        chmod "$3" "$1" && sync "$1" && mv -fT "$1" "$2"
        """

    private static let sendFile = """
        if [ ! -f "$1" ]; then
          if [ -e "$1" ]; then echo 'it is not a regular file' >&2; else echo 'No such file or directory' >&2; fi
          exit 1
        fi
        stat -L -c '%a' "$1" >&2 && cat <"$1"
        """
}

/// Takes the line of ``RemoteScript/line(for:mark:)`` out of a standard error.
struct StartReport {
    /// What the line says.
    enum Event: Hashable {
        case started(Int32)
        case noDirectory
        case noProgram
        case noPermission
    }

    /// `nil` until the line has come.
    private(set) var event: Event?
    private let mark: [UInt8]
    private var held: [UInt8] = []

    /// What a log-in shell may write before the command starts.
    private static let limit = 64 << 10

    init(mark: String) { self.mark = Array(mark.utf8) + [UInt8(ascii: " ")] }

    /// Takes bytes while there is no event yet.
    ///
    /// - Returns: what is not of the line: what came before it, and after it.
    mutating func feed(_ bytes: UnsafeRawBufferPointer) -> [UInt8] {
        held.append(contentsOf: bytes)
        guard let start = held.firstRange(of: mark) else {
            // The beginning of the mark may be at the end.
            guard held.count > Self.limit else { return [] }
            defer { held.removeFirst(held.count - mark.count) }
            return Array(held.dropLast(mark.count))
        }
        guard let end = held[start.upperBound...].firstIndex(of: UInt8(ascii: "\n")) else { return [] }
        let word = String(decoding: held[start.upperBound..<end], as: UTF8.self)
        event =
            switch word {
            case "directory": .noDirectory
            case "program": .noProgram
            case "permission": .noPermission
            default: Int32(word).map { .started($0) }
            }
        return takeHeld(without: start.lowerBound..<held.index(after: end))
    }

    /// What was held back, at the end of the stream.
    mutating func finish() -> [UInt8] { takeHeld(without: held.endIndex..<held.endIndex) }

    private mutating func takeHeld(without range: Range<Int>) -> [UInt8] {
        held.removeSubrange(range)
        defer { held = [] }
        return held
    }
}
