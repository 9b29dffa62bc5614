import Testing

@testable import BuildOSKit

@Suite("QEMU's monitor on a host") struct QEMUMonitorTests {
    /// What QEMU 7.2 sends through a socket for one command, its line editor's control sequences included.
    private let transcript =
        "QEMU 7.2.9 monitor - type 'help' for more information\r\n(qemu) i\u{1b}[K\u{1b}[Din\u{1b}[K\u{1b}[D\u{1b}[Dinfo vnc"
        + "\u{1b}[K\r\ndefault:\r\n  Server: 127.0.0.1:5901 (ipv4)\r\n    Auth: none (Sub: none)\r\n(qemu) "

    @Test("MACH-7: the answer is what stands between the command and the next prompt")
    func answer() {
        #expect(
            QEMUMonitor.answer(in: transcript, to: "info vnc")
                == "default:\n  Server: 127.0.0.1:5901 (ipv4)\n    Auth: none (Sub: none)"
        )
        #expect(QEMUMonitor.answer(in: "QEMU\r\n(qemu) cont\r\n(qemu) ", to: "cont").isEmpty)
        #expect(QEMUMonitor.answer(in: "", to: "cont").isEmpty)
    }

    @Test("MACH-7: the screen's port is in what 'info vnc' says")
    func port() {
        #expect(QEMUMonitor.vncPort(in: QEMUMonitor.answer(in: transcript, to: "info vnc")) == 5901)
        #expect(QEMUMonitor.vncPort(in: "  Server: ::1:5999 (ipv6)") == 5999)
        for other in ["Server: disabled", "", "  Server: 127.0.0.1:0 (ipv4)", "Server: 127.0.0.1:99999"] {
            #expect(QEMUMonitor.vncPort(in: other) == nil)
        }
    }

    @Test(
        "MACH-7: an instance is <toolchain>-<number>, and nothing that could leave /tmp",
        arguments: [
            "", "default", "default-", "-1", "default-0", "default-01", "default-100", "a/b-1", "../x-1", "a-b-1",
            "default-1-0", "default-1-10", "default-1-1-1", "default-1-", "1-1", "default-1\n",
        ]
    )
    func instances(text: String) {
        #expect(throws: MachineError.self) { try AgentInstance(text) }
    }

    @Test(
        "MACH-7: the monitor's socket is where the manual has it; an auxiliary machine has its number after the instance's"
    )
    func socket() throws {
        #expect(try AgentInstance("default-2-9").monitorSocket == "/tmp/monitor-default-2-9")
        #expect(try AgentInstance("default-2").monitorSocket == "/tmp/monitor-default-2")
    }
}
