import BuildOSKit
import TestSupport
import Testing

@testable import QEMUDirect

@Suite("QEMU's backend") struct QEMUDirectTests {
    @Test("what ended it is told by QEMU's reason first, then by who killed it, then by its process")
    func exits() {
        func exit(
            _ end: HypervisorProcess.End,
            _ reason: String? = nil,
            killed: Bool = false,
            words: String = ""
        ) -> VirtualMachineExit {
            MachineSession.exit(end, reason: reason, isKilled: killed, words: words)
        }
        #expect(exit(.exited(0), "guest-shutdown") == .guestShutdown)
        #expect(exit(.exited(0), "guest-shutdown", killed: true) == .guestShutdown)
        #expect(exit(.unknown, "guest-reset") == .guestReset)
        #expect(exit(.exited(0), "host-qmp-quit") == .killed)
        #expect(exit(.exited(0), "host-signal") == .killed)
        #expect(exit(.exited(0), "host-qmp-system-reset") == .killed)
        #expect(exit(.signalled(9), killed: true) == .killed)
        #expect(exit(.signalled(9)) == .crashed("signal 9"))
        #expect(exit(.exited(1), words: "no memory") == .crashed("exit status 1: no memory"))
        #expect(exit(.unknown) == .crashed("it is gone"))
    }

    @Test("every status of QEMU is a state")
    func states() {
        #expect(RunningMachine.state("running") == .running)
        #expect(RunningMachine.state("guest-panicked") == .panicked)
        #expect(RunningMachine.state("paused") == .paused(reason: nil))
        #expect(RunningMachine.state("postmigrate") == .paused(reason: nil))
        #expect(RunningMachine.state("io-error") == .paused(reason: "a disk failed"))
        #expect(RunningMachine.state("watchdog") == .paused(reason: "watchdog"))
    }

    @Test("a machine's record is read as it was written, and nothing else is one")
    func record() throws {
        let record = MachineRecord(
            id: .max,
            name: try #require(VirtualMachineName("m-1")),
            monitorSocket: "/tmp/monitor=1",
            serialSocket: "/tmp/serial-1",
            cgroup: "/sys/fs/cgroup/x",
            endsOnReset: true,
            firmwareResets: true
        )
        #expect(MachineRecord(parsing: record.text) == record)
        for text in ["", "name=m", "id=1", "id=x\nname=m", "id=1\nname=../m", "id=1\nname=m\nno sign"] {
            #expect(MachineRecord(parsing: text) == nil, "\(text)")
        }
    }

    @Test("leftovers of one machine are removed, those of a later one stay")
    func leftovers() async throws {
        try await withTemporaryDirectory { path in
            let directory = RunDirectory(path)
            let name = try #require(VirtualMachineName("m"))
            func record(_ id: UInt64) -> MachineRecord {
                MachineRecord(
                    id: id,
                    name: name,
                    monitorSocket: nil,
                    serialSocket: nil,
                    cgroup: nil,
                    endsOnReset: true,
                    firmwareResets: true
                )
            }
            try FileTree.write(record(2).text, to: directory.recordFile)
            try FileTree.write("words", to: directory.log)
            directory.removeAll(of: record(1))
            #expect(try FileTree.names(in: path).count == 2)
            directory.removeAll(of: record(2))
            #expect(try FileTree.names(in: path).isEmpty)
        }
    }

    @Test("QEMU's last words are what is worth reading of them")
    func lastWords() async throws {
        try await withTemporaryDirectory { path in
            let directory = RunDirectory(path)
            #expect(directory.lastWords == "")
            let noise = "qemu-system-x86_64: warning: TCG doesn't support requested feature: CPUID.01H:ECX.pcid\n"
            let lines = (1...9).map { "line \($0)\n" }.joined()
            try FileTree.write(noise + lines + "qemu-system-x86_64: -vnc: in use\n", to: directory.log)
            #expect(directory.lastWords == "line 6; line 7; line 8; line 9; -vnc: in use")
        }
    }

    @Test("a name is held by one, and free when that one lets go")
    func nameLock() throws {
        let name = try #require(VirtualMachineName("lock-\(UInt32.random(in: .min ... .max))"))
        do {
            let held = try NameLock(name)
            #expect(held.descriptor >= 0)
            #expect(throws: VirtualMachineError.self) { _ = try NameLock(name) }
        }
        #expect(throws: Never.self) { _ = try NameLock(name) }
    }

    @Test("sockets are taken one by one, and no more than there are")
    func slots() async throws {
        try await withTemporaryDirectory { path in
            let directory = RunDirectory(path)
            let taken = (0..<RunDirectory.slots).compactMap { _ in directory.takeSlot() }
            #expect(taken.map(\.slot) == Array(0..<RunDirectory.slots))
            #expect(directory.takeSlot() == nil)
            try taken[1].lock.close()
            let again = try #require(directory.takeSlot())
            #expect(again.slot == 1)
            for lock in [taken[0].lock, taken[2].lock, again.lock] { try lock.close() }
        }
    }

    /// The directories are fakes of control groups: this machine may have none that can be written.
    @Test("control groups are made where the memory controller is handed on, here or one above")
    func cgroupBase() async throws {
        try await withTemporaryDirectory { root in
            let membership = "1:name=systemd:/x\n0::/agent/main\n"
            #expect(MemoryCgroup.base(root: root, membership: membership) == nil)
            for group in ["agent", "agent/main"] {
                try FileTree.makeDirectory(root.appending(group))
                try FileTree.write("", to: root.appending(group).appending("cgroup.procs"))
                try FileTree.write("cpu\n", to: root.appending(group).appending("cgroup.subtree_control"))
            }
            try FileTree.write("cpu memory\n", to: root.appending("cgroup.controllers"))
            #expect(MemoryCgroup.base(root: root, membership: membership) == nil)
            try FileTree.write("cpu memory\n", to: root.appending("agent/cgroup.subtree_control"))
            #expect(MemoryCgroup.base(root: root, membership: membership) == root.appending("agent"))
            try FileTree.write("memory\n", to: root.appending("agent/main/cgroup.subtree_control"))
            #expect(MemoryCgroup.base(root: root, membership: membership) == root.appending("agent/main"))
            #expect(MemoryCgroup.base(root: root, membership: "1:memory:/x\n") == nil)
        }
    }

    @Test("the memory's limit and its excess are those of the group's files")
    func cgroupFiles() async throws {
        try await withTemporaryDirectory { base in
            let group = MemoryCgroup(path: base.appending("buildos-m"))
            #expect(!group.ranOutOfMemory)
            try FileTree.makeDirectory(group.path)
            for file in ["memory.max", "cgroup.procs"] { try FileTree.write("", to: group.path.appending(file)) }
            let name = try #require(VirtualMachineName("m"))
            let made = try MemoryCgroup.make(for: name, in: base, limit: MemorySize(gibibytes: 2))
            #expect(made.path == group.path)
            #expect(try FileTree.readText(group.path.appending("memory.max")) == "2147483648")
            try made.add(17)
            #expect(try FileTree.readText(group.path.appending("cgroup.procs")) == "17")
            try FileTree.write("oom 0\noom_kill 0\n", to: group.path.appending("memory.events"))
            #expect(!group.ranOutOfMemory)
            try FileTree.write("oom 3\noom_kill 1\n", to: group.path.appending("memory.events"))
            #expect(group.ranOutOfMemory)
        }
    }
}
