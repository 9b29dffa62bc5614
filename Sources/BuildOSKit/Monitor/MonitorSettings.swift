/// What a monitor is to do, decided once when it starts.
public struct MonitorSettings: Sendable, Hashable {
    /// The toolchains, in the order in which they are worked on.
    public var toolchains: [Toolchain]
    /// The file that holds the build id to run; `nil` if the host isn't to follow one.
    public var buildIDURL: ResourceURL?
    /// The build id that runs; `nil` if this is no image.
    public var runningBuildID: BuildID?
    /// For which build id the host rebooted last.
    public var lastReboot: RebootRecord?
    /// How long a host waits before it reboots for a build id again that the last reboot did not bring: this, doubled
    /// with every further reboot in vain …
    public var vainRebootPause: Duration
    /// … up to this.
    public var vainRebootPauseLimit: Duration
    /// Time between two looks at a watched file.
    public var pollInterval: Duration
    /// How long running builds may hold up a reboot.
    public var drainLimit: Duration
    /// The longest random delay before a reboot.
    public var rebootSpread: Duration
    /// How to reboot.
    public var rebootMethod: RebootMethod
    /// Waits between tries of what failed.
    public var backOff: BackOff
    /// The same trouble isn't mailed again within this time, unless it passed in between.
    public var mailPause: Duration
    /// How long a watched file may give no usable answer before that is mailed.
    public var watchPatience: Duration
    /// Time between two looks at what a reboot waits for.
    public var drainCheckInterval: Duration
    /// Time between two looks at the agents' units.
    public var agentCheckInterval: Duration
    /// How long agents must have been up for their trouble to count as passed.
    public var agentProbation: Duration
    /// After how many restarts by systemd an agent is reported.
    public var restartLimit: Int
    /// How long a reboot may take to end this program before it counts as failed.
    public var rebootPatience: Duration

    /// Takes over a host's configuration; what that doesn't hold has its standard value.
    public init(
        _ configuration: HostConfiguration = HostConfiguration(),
        runningBuildID: BuildID? = nil,
        lastReboot: RebootRecord? = nil
    ) {
        toolchains = configuration.toolchains
        buildIDURL = configuration.buildIDURL
        self.runningBuildID = runningBuildID
        self.lastReboot = lastReboot
        vainRebootPause = .seconds(600)
        vainRebootPauseLimit = .seconds(6 * 3600)
        pollInterval = configuration.pollInterval
        drainLimit = configuration.drainLimit
        rebootSpread = configuration.rebootSpread
        rebootMethod = configuration.rebootMethod
        backOff = BackOff()
        mailPause = .seconds(6 * 3600)
        watchPatience = .seconds(3600)
        drainCheckInterval = .seconds(5)
        agentCheckInterval = .seconds(15)
        agentProbation = .seconds(600)
        restartLimit = 5
        rebootPatience = .seconds(600)
    }
}
