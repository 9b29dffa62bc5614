import Testing

@testable import BuildOSKit

@Suite("What would be sent to a host") struct UploadPlanTests {
    private func subvolume(
        _ name: String,
        uuid: String? = nil,
        parent: String? = nil,
        received: String? = nil,
        readOnly: Bool = true
    ) -> SenderImage {
        SenderImage(
            Subvolume(
                path: FilePath("/desk/\(name)"),
                isReadOnly: readOnly,
                uuid: uuid ?? "u-\(name)",
                parentUUID: parent,
                receivedUUID: received
            )
        )
    }

    /// A host that has revisions received from the desk, and the last of them in effect.
    private func host(
        _ revisions: [String] = [],
        identity: (String) -> String? = { "u-m-\($0)" },
        current: String? = nil,
        receives: [String] = ["btrfs-1"]
    ) throws -> HostInventory {
        var contents = MachineContents(volume: .default, machine: try MachineName("m"), exists: !revisions.isEmpty)
        for text in revisions {
            let revision = try #require(MachineRevision(text))
            contents.revisions.append(
                .init(revision: revision, isReadOnly: true, uuid: "h-\(text)", identity: identity(text))
            )
            if let identity = identity(text) {
                contents.received.append(.init(revision: revision, identity: identity))
            }
        }
        if let current = current ?? revisions.last { contents.links = [.init(version: 1, target: "m-\(current)")] }
        return HostInventory(
            contents: contents,
            space: VolumeSpace(total: 1 << 40, available: 1 << 40),
            receives: receives,
            compressions: [.none]
        )
    }

    private func plan(
        _ source: SenderImage,
        _ others: [SenderImage] = [],
        _ host: HostInventory,
        _ intent: UploadIntent = .any
    ) throws -> UploadPlan {
        try UploadPlan(source, others: others, sends: ["btrfs-2", "btrfs-1"], host: host, intent: intent)
    }

    @Test("MACH-2: a host without the machine gets all of it, in the best format of both")
    func full() throws {
        let plan = try plan(subvolume("m-1.0"), [], host())
        #expect(plan.action == .full && plan.base == nil && plan.format == "btrfs-1" && plan.before == nil)
    }

    @Test("MACH-3: the base is the nearest forebear that the host has, through writable copies in between")
    func lineage() throws {
        let others = [
            subvolume("m-1.0"), subvolume("m-1.1"), subvolume("m-1.2"),
            subvolume("work", parent: "u-m-1.0", readOnly: false), subvolume("other-1.0"),
        ]
        let plan = try plan(subvolume("m-1.3", parent: "u-work"), others, host(["1.0", "1.1"]))
        #expect(plan.action == .incremental && plan.base == "m-1.0" && plan.baseIdentity == "u-m-1.0")
        #expect(plan.before == MachineRevision("1.1"))
    }

    @Test("MACH-3: without a forebear, the nearest revision below, else the lowest above")
    func nearest() throws {
        let others = ["m-1.0", "m-1.1", "m-1.2", "m-1.5"].map { subvolume($0) }
        let host = try host(["1.0", "1.1", "1.5"], current: "1.0")
        #expect(try plan(subvolume("m-1.3"), others, host).base == "m-1.1")
        let above = try self.host(["1.5"], current: "1.4")
        #expect(try plan(subvolume("m-1.3"), others, above).base == "m-1.5")
    }

    @Test("MACH-3: an image that was itself received is known by what it was received from")
    func received() throws {
        let base = subvolume("m-1.0", uuid: "local", received: "origin")
        let plan = try plan(subvolume("m-1.1", parent: "local"), [base], host(["1.0"], identity: { _ in "origin" }))
        #expect(plan.baseIdentity == "origin")
    }

    @Test("MACH-3: a writable copy is no base, and neither is what the host has from elsewhere")
    func noBase() throws {
        let writable = subvolume("m-1.0", readOnly: false)
        #expect(try plan(subvolume("m-1.1", parent: "u-m-1.0"), [writable], host(["1.0"])).action == .full)
        let foreign = try host(["1.0"], identity: { _ in nil })
        #expect(try plan(subvolume("m-1.1"), [subvolume("m-1.0")], foreign).action == .full)
    }

    @Test("MACH-9: what the host has is not sent again")
    func there() throws {
        let host = try host(["1.0", "1.1"], current: "1.1")
        #expect(try plan(subvolume("m-1.1"), [], host).action == .nothing)
        let inactive = try self.host(["1.0", "1.1"], current: "1.0")
        let plan = try plan(subvolume("m-1.1"), [], inactive)
        #expect(plan.action == .activate && plan.format == nil)
    }

    private func refusal(
        _ source: SenderImage,
        _ host: HostInventory,
        _ intent: UploadIntent = .any
    ) -> String {
        do {
            return "accepted: \(try plan(source, [], host, intent))"
        } catch {
            return "\(error)"
        }
    }

    @Test("MACH-2: what can't be sent, or isn't wanted, is refused with a reason and a remedy")
    func refusals() throws {
        #expect(
            try refusal(subvolume("m-1.0", readOnly: false), host())
                == "image 'm-1.0': /desk/m-1.0 is writable, so it could change while it is sent "
                + "(make it read-only: btrfs property set -ts /desk/m-1.0 ro true)"
        )
        #expect(
            try refusal(subvolume("m-1.0"), host(["1.0"], identity: { _ in "another" }))
                == "image 'm-1.0': the host has that revision with other content "
                + "(give what you have the next revision: snapshot it, read-only, as m-1.1)"
        )
        #expect(
            try refusal(subvolume("m-1.0"), host(["1.0"], identity: { _ in nil }))
                == "image 'm-1.0': the host has that revision, and not from here "
                + "(give what you have the next revision: snapshot it, read-only, as m-1.1)"
        )
        #expect(
            try refusal(subvolume("m-1.1"), host(["1.0"]), .add)
                == "machine 'm': it is there already, in revision 1.0 (use 'buildosctl machine upgrade')"
        )
        #expect(
            try refusal(subvolume("m-1.0"), host(), .upgrade)
                == "machine 'm': it is not there in any revision of protocol 1 (use 'buildosctl machine add')"
        )
        #expect(
            try refusal(subvolume("m-1.1"), host(["1.2"]), .upgrade)
                == "image 'm-1.1': revision 1.2 is in effect, which is newer "
                + "(to go back to a revision the host has, use 'buildosctl machine rollback')"
        )
        #expect(
            try refusal(subvolume("m-1.1"), host(["1.0"], receives: []))
                == "image 'm-1.1': this machine sends btrfs-2, btrfs-1, the host receives nothing "
                + "(send from a storage of the same kind)"
        )
    }

    @Test(
        "MACH-1: what is no image's name says why",
        arguments: [
            ("linux", "its name has no '-' before a revision"),
            ("linux-", "its name does not end with a revision"),
            ("linux-1", "its name does not end with a revision"),
            ("linux-1.0.0", "its name does not end with a revision"),
            ("linux-01.0", "its name does not end with a revision"),
            ("-1.0", "the machine's name is empty"), ("-rf-1.0", "does not begin with a letter or a digit"),
            (".hidden-1.0", "does not begin with a letter or a digit"), ("..-1.0", "does not begin"),
            ("a b-1.0", "holds something else than letters, digits and . _ + -"), ("a\n-1.0", "holds something else"),
            (String(repeating: "a", count: 300) + "-1.0", "is longer than 128 characters"),
        ]
    )
    func names(text: String, reason: String) {
        do {
            Issue.record("accepted: \(try MachineImage(text))")
        } catch {
            #expect(error.kind == .invalid && error.cause.contains(reason))
            #expect(error.description.hasSuffix("(name it <machine>-<protocol>.<revision>, such as linux-gcc_6-1.0)"))
            #expect(!error.description.contains("\n") && error.description.utf8.count < 400)
        }
    }

    private func offer(_ revision: String = "1.1", base: String? = nil, estimate: Int64? = nil) throws -> UploadOffer {
        UploadOffer(
            image: try MachineImage("m-\(revision)"),
            identity: "u-m-\(revision)",
            base: base,
            format: "btrfs-1",
            compression: .none,
            chunkSize: 1 << 20,
            estimate: estimate,
            spools: true,
            activates: true,
            intent: .any,
            keep: nil
        )
    }

    @Test("MACH-2: the host checks what it is offered, whoever offers it")
    func offers() throws {
        func check(_ offer: UploadOffer, _ host: HostInventory) throws -> Bool {
            try OfferCheck(offer: offer, contents: host.contents, receives: host.receives).wantsStream()
        }
        #expect(try check(offer(), host(["1.0"])))
        #expect(try check(offer(base: "u-m-1.0"), host(["1.0"])))
        #expect(try !check(offer("1.0"), host(["1.0"])))
        #expect(throws: MachineError.self) { try check(offer(base: "nobody's"), host(["1.0"])) }
        #expect(throws: MachineError.self) { try check(offer(), host(["1.0"], receives: ["directory-1"])) }
        #expect(throws: MachineError.self) { try check(offer("1.0"), host(["1.0"], identity: { _ in "another" })) }
    }

    @Test("MACH-2: room is checked before anything is sent, and the spool never takes what the image needs")
    func room() throws {
        let host = try host()
        func room(_ estimate: Int64?, free: Int64) throws -> Int64 {
            let check = OfferCheck(offer: try offer(estimate: estimate), contents: host.contents, receives: [])
            return try check.spoolRoom(VolumeSpace(total: 1 << 40, available: free), limit: 1 << 30)
        }
        #expect(try room(1 << 30, free: 1 << 35) == 1 << 30)
        #expect(try room(1 << 30, free: (1 << 30) + (100 << 20)) == 84 << 20)
        #expect(try room(nil, free: 0) == 0)
        do {
            Issue.record("accepted: \(try room(2 << 30, free: 1 << 30))")
        } catch {
            #expect(
                "\(error)"
                    == "image 'm-1.1': it needs 2.0 GiB, and 1.0 GiB are free on volume 'default' (remove machines or "
                    + "revisions that are no longer used: 'buildosctl machine prune')"
            )
        }
    }

    @Test("MACH-9: pruning keeps the newest, and whatever is in use")
    func pruning() throws {
        var contents = try host(["1.0", "1.1", "1.2", "1.3", "2.0"], current: "1.1").contents
        func prune(_ keep: Int) -> [String] { MachinePruning(contents, keep: keep).remove.map(\.description) }
        #expect(prune(1) == ["1.0", "1.2"])
        #expect(prune(0) == ["1.0", "1.2"])
        #expect(prune(3) == ["1.0"])
        #expect(prune(10).isEmpty)
        contents.bootstrapped = [
            .init(name: "m-default", toolchain: .default, parentUUID: "h-1.2")
        ]
        #expect(prune(1) == ["1.0"])
        #expect(MachinePruning(contents, keep: 1).inUse.map(\.description) == ["1.1", "1.2"])
        // A link that leads nowhere: nothing goes for it.
        contents.links = [.init(version: 1, target: "m-1.9")]
        #expect(prune(1).isEmpty)
    }
}
