import ArgumentParser

/// `buildosctl machine`
struct MachineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "machine",
        abstract: "Add, upgrade, roll back, remove and look at the build machines of hosts.",
        discussion: """
            A machine is a directory on a volume of a host, /build/machines/<volume>/<machine>/, with read-only images \
            <machine>-<protocol>.<revision> and a link <machine>-<protocol> to the one in effect. Without --host, commands \
            are about this machine.

              buildosctl machine create linux-gcc_6-1.0                    # from Debian packages
              buildosctl machine add linux-gcc_6-1.0 --host build@host     # all of it
              buildosctl machine upgrade linux-gcc_6-1.1 --host build@host # the difference alone
              buildosctl machine rollback linux-gcc_6 --host build@host
              buildosctl machine remove linux-gcc_6 --host build@host      # waits for builds

            Everything may be interrupted and run again. Exit status: 0 if all went well on all hosts, 75 if what failed \
            may go well when it is run again, 64 for a wrong command line, else 1.
            """,
        subcommands: [
            MachineCreateCommand.self,
            MachineAddCommand.self,
            MachineUpgradeCommand.self,
            MachineListCommand.self,
            MachineInfoCommand.self,
            MachineRollbackCommand.self,
            MachinePruneCommand.self,
            MachineRemoveCommand.self,
            MachineLoginCommand.self,
            MachineMonitorCommand.self,
            MachineReceiveCommand.self,
        ]
    )
}
