import Testing

@testable import BuildOSKit

@Suite("BOT-4: what becomes of a guest") struct GuestWatchTests {
    static let limits = GuestLimits(startUp: .seconds(10), work: .seconds(100), shutdown: .seconds(20))

    static func watch(_ ending: GuestEnding, hold: Duration? = nil) -> GuestWatch {
        var limits = limits
        limits.hold = hold
        return GuestWatch(limits: limits, awaited: ["result"], ending: ending)
    }

    static func request(
        _ name: String,
        _ direction: ArtifactTransfer.Direction = .read,
        _ stage: ArtifactTransfer.Stage = .began
    ) -> GuestWatch.Event {
        .transfer(ArtifactTransfer(direction: direction, name: name, client: "10.0.0.2", stage: stage))
    }

    static let delivery = request("result", .write, .completed(byteCount: 5))

    @Test("BOT-4: a build that delivers is ended once it has been quiet for a moment")
    func build() {
        var watch = Self.watch(.kill)
        #expect(watch.handle(Self.request("task"), at: .seconds(5)) == [])
        #expect(watch.handle(Self.delivery, at: .seconds(50)) == [])
        #expect(watch.handle(.tick, at: .seconds(51)) == [])
        #expect(watch.handle(Self.request("more"), at: .seconds(51)) == [])
        #expect(watch.handle(.tick, at: .seconds(52)) == [])
        #expect(watch.handle(.tick, at: .seconds(53)) == [.kill])
        #expect(watch.handle(.ended(.killed), at: .seconds(54)) == [.finish(.delivered)])
        #expect(watch.handle(.ended(.killed), at: .seconds(55)) == [])
    }

    @Test("BOT-4: a build whose result is the last that comes is ended with it")
    func lastFile() {
        var watch = GuestWatch(limits: .build, awaited: ["result"], ending: .kill)
        #expect(watch.handle(Self.request("upload.tar", .write, .completed(byteCount: 9)), at: .seconds(5)) == [])
        #expect(watch.handle(Self.delivery, at: .seconds(6)) == [.kill])
        #expect(watch.handle(.ended(.killed), at: .seconds(7)) == [.finish(.delivered)])
    }

    @Test("BOT-1: a bootstrap that delivers is shut down, so that its disk is whole")
    func bootstrap() {
        var watch = Self.watch(.powerDown)
        _ = watch.handle(Self.delivery, at: .seconds(5))
        #expect(watch.handle(.tick, at: .seconds(7)) == [.powerDown])
        #expect(watch.handle(.ended(.guestShutdown), at: .seconds(9)) == [.finish(.delivered)])
    }

    @Test("BOT-1: a bootstrap that won't shut down, or dies doing it, is none")
    func badShutdown() {
        var watch = Self.watch(.powerDown)
        _ = watch.handle(Self.delivery, at: .seconds(5))
        _ = watch.handle(.tick, at: .seconds(7))
        #expect(watch.handle(.tick, at: .seconds(27)) == [.kill])
        guard case .finish(.died)? = watch.handle(.ended(.killed), at: .seconds(28)).first else {
            Issue.record("not taken for a failure")
            return
        }
        var other = Self.watch(.powerDown)
        _ = other.handle(Self.delivery, at: .seconds(5))
        _ = other.handle(.tick, at: .seconds(7))
        #expect(other.handle(.ended(.crashed("x")), at: .seconds(8)) == [.finish(.died("the hypervisor ended: x"))])
    }

    @Test("BOT-2: an auxiliary machine that is ready goes on until it is told to end, and its end before is a failure")
    func auxiliary() {
        func ready() -> GuestWatch {
            var watch = Self.watch(.serve)
            #expect(watch.handle(Self.delivery, at: .seconds(5)) == [])
            #expect(watch.handle(.tick, at: .seconds(7)) == [] && watch.phase == .serving)
            return watch
        }
        var used = ready()
        #expect(used.handle(.tick, at: .seconds(5000)) == [])
        #expect(used.handle(.interrupted, at: .seconds(5001)) == [.kill])
        #expect(used.handle(.ended(.killed), at: .seconds(5002)) == [.finish(.interrupted)])
        var gone = ready()
        #expect(
            gone.handle(.ended(.guestShutdown), at: .seconds(20)) == [
                .finish(.died("\(VirtualMachineExit.guestShutdown)"))
            ]
        )
        var panicked = ready()
        #expect(panicked.handle(.panicked, at: .seconds(20)) == [.kill])
        #expect(panicked.handle(.ended(.killed), at: .seconds(21)) == [.finish(.died("its kernel panicked"))])
        var hasty = Self.watch(.serve)
        _ = hasty.handle(Self.delivery, at: .seconds(5))
        #expect(
            hasty.handle(.ended(.guestShutdown), at: .seconds(6)) == [
                .finish(.died("\(VirtualMachineExit.guestShutdown)"))
            ]
        )
    }

    @Test("BOT-4: a guest that never calls, one that takes too long, one that dies, one that panics")
    func failures() {
        var silent = Self.watch(.kill)
        #expect(silent.handle(.tick, at: .seconds(9)) == [])
        #expect(silent.handle(.tick, at: .seconds(10)) == [.kill])
        #expect(silent.handle(.ended(.killed), at: .seconds(11)).description.contains("never"))

        var slow = Self.watch(.kill)
        _ = slow.handle(Self.request("task"), at: .seconds(5))
        #expect(slow.handle(.tick, at: .seconds(104)) == [])
        #expect(slow.handle(.tick, at: .seconds(105)) == [.kill])
        #expect(slow.handle(.ended(.killed), at: .seconds(106)) == [.finish(.overdue)])

        var dead = Self.watch(.kill)
        #expect(dead.handle(.ended(.guestReset), at: .seconds(1)) == [.finish(.neverCalled("reset by the guest"))])
        var reset = Self.watch(.kill)
        _ = reset.handle(Self.request("task"), at: .seconds(5))
        #expect(reset.handle(.ended(.guestReset), at: .seconds(6)) == [.finish(.died("reset by the guest"))])

        var panicked = Self.watch(.kill)
        _ = panicked.handle(Self.request("task"), at: .seconds(5))
        #expect(panicked.handle(.panicked, at: .seconds(6)) == [.kill])
        #expect(panicked.handle(.ended(.killed), at: .seconds(7)) == [.finish(.died("its kernel panicked"))])
    }

    @Test("BOT-4: a failed guest is held, suspended, for its time, or until somebody ends it, or it is interrupted")
    func hold() {
        func held() -> GuestWatch {
            var watch = Self.watch(.kill, hold: .seconds(1000))
            _ = watch.handle(Self.request("task"), at: .seconds(5))
            #expect(watch.handle(.tick, at: .seconds(105)) == [.suspend])
            return watch
        }
        var left = held()
        #expect(left.handle(.tick, at: .seconds(1104)) == [])
        #expect(left.handle(.tick, at: .seconds(1105)) == [.kill])
        #expect(left.handle(.ended(.killed), at: .seconds(1106)) == [.finish(.overdue)])
        var ended = held()
        #expect(ended.handle(.ended(.guestShutdown), at: .seconds(200)) == [.finish(.overdue)])
        var interrupted = held()
        #expect(interrupted.handle(.interrupted, at: .seconds(200)) == [.kill])
        #expect(interrupted.handle(.ended(.killed), at: .seconds(201)) == [.finish(.overdue)])
    }

    @Test("BOT-3: an empty file, another file, a broken transfer or a read are no delivery")
    func notDelivered() {
        var watch = Self.watch(.kill)
        for event in [
            Self.request("result", .write, .completed(byteCount: 0)), Self.request("result", .write, .failed("x")),
            Self.request("upload.tar", .write, .completed(byteCount: 9)),
            Self.request("result", .read, .completed(byteCount: 9)),
        ] {
            #expect(watch.handle(event, at: .seconds(5)) == [])
        }
        #expect(watch.handle(.tick, at: .seconds(60)) == [])
        #expect(watch.handle(.interrupted, at: .seconds(61)) == [.kill])
        #expect(watch.handle(.ended(.killed), at: .seconds(62)) == [.finish(.interrupted)])
    }

    @Test("BOT-2: what a guest's names, ports and rules are")
    func network() throws {
        let number = try #require(GuestNumber(try ToolchainName("stage"), number: 2, instance: 3))
        #expect(
            number.offset == 103 && number.displayPort == 6003 && number.tftpPort == 23503 && number.tap == "tap103"
        )
        #expect(number.monitorSocket == "/tmp/monitor-stage-3" && number.serialSocket == "/tmp/serial-stage-3")
        // By the same names an operator's command finds them.
        #expect(try AgentInstance(number.name).monitorSocket == number.monitorSocket)
        #expect(try AgentInstance(number.name).serialSocket == number.serialSocket)
        let auxiliaries = number.auxiliaries
        #expect(auxiliaries.map(\.auxiliary) == Array(1...9))
        let last = try #require(auxiliaries.last)
        #expect(last.tap == "tap103-9" && last.displayPort == 14_103 && last.tftpPort == 31_603)
        #expect(try AgentInstance(last.name).monitorSocket == last.monitorSocket)
        #expect(last.name == "stage-3-9" && last.snapshotPrefix == number.snapshotPrefix)
        let greatest = try #require(GuestNumber(.default, number: 9, instance: 99)?.auxiliaries.last)
        #expect(GuestNumber.tftpPorts.contains(greatest.tftpPort) && greatest.tap.utf8.count < 16)
        #expect(GuestNumber(.default, number: 10, instance: 1) == nil)
        #expect(GuestNumber(.default, number: 1, instance: 100) == nil)
        #expect(
            GuestNetwork.rules(number, bridgeAddress: try MACAddress("02:00:00:00:00:01")) == """
                table bridge buildos-tap103 {
                    chain prerouting {
                        type filter hook prerouting priority dstnat; policy accept;
                        iifname "tap103" ip daddr 196.254.111.222 udp dport 23400-32399 drop
                        iifname "tap103" ip daddr 196.254.111.222 ether daddr set 02:00:00:00:00:01 meta pkttype set host
                        iifname "tap103" ip daddr 196.254.111.222 udp dport 69 udp dport set 23503
                    }
                }

                """
        )
    }
}
