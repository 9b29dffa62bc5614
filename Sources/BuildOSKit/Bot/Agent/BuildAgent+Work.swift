extension BuildAgent {
    /// Removes what an earlier run of this instance left, however it ended: its guest, its network, its snapshots.
    func cleanUp() async {
        let number = settings.number
        while !Task.isCancelled {
            do {
                try await runner.cleanUp(
                    number,
                    bridge: settings.bridge.rawValue,
                    runtimeDirectory: settings.paths.runtime(of:)
                )
                break
            } catch {
                // As long as a guest may still run, its snapshot can't be removed, and no other started.
                enter(.starting, "what an earlier run left can't be cleaned up: \(error)")
                logger.error("\(error)")
                try? await Task.sleep(for: .seconds(10))
            }
        }
        for volume in (try? settings.paths.machines.volumes()) ?? [] {
            for (name, directory) in (try? MachineLayout.machines(in: volume)) ?? [] {
                for entry in (try? FileTree.names(in: directory)) ?? [] {
                    guard case .temporary(number.toolchain, let suffix) = MachineEntry(entry, of: name),
                        suffix.hasPrefix(number.snapshotPrefix)
                    else { continue }
                    do {
                        try await ports.storage.delete(directory.appending(entry))
                        logger.notice("\(entry): removed; an earlier run of this agent left it")
                    } catch {
                        logger.error("\(directory.appending(entry)): it can't be removed: \(error)")
                    }
                }
            }
        }
    }

    /// Tells controllers what they could not be told when it was news.
    func deliverKept() async {
        do throws(FileError) {
            for report in try await spool.deliverKept(by: client) { note(report) }
        } catch {
            logger.error("\(error)")
        }
    }

    private func note(_ report: ResultSpool.Report) {
        switch report.fate {
        case .delivered: logger.info("result \(report.name): delivered")
        case .kept(let error): logger.warning("result \(report.name): kept, to be delivered later: \(error)")
        case .refused(let error): logger.error("result \(report.name): the controller does not take it: \(error)")
        case .expired: logger.error("result \(report.name): dropped, no controller waits for it any more")
        case .damaged(let reason): logger.error("result \(report.name): dropped: \(reason)")
        case .displaced: logger.error("result \(report.name): dropped, to make room for others")
        }
    }

    /// Bootstraps the first machine that needs it, if no other instance does that and it isn't too early.
    ///
    /// - Returns: how long to do nothing then; `nil` if there was nothing to bootstrap.
    func bootstrapNext(_ machines: [BuildMachine]) async -> Duration? {
        for machine in machines {
            guard case .needsBootstrap(let reason) = machine.readiness, canHave(machine.manifest.header) else {
                continue
            }
            let subject = bootstrapSubject(machine)
            if let note = BootstrapFailures.read(locks.failureNote(machine), subject: subject), note.nextTry > .now {
                continue
            }
            guard let right = try? locks.takeBootstrap(), let lock = try? locks.take(machine) else { continue }
            // Another instance may have done it while this one looked.
            guard
                case .needsBootstrap? = catalog.content().machines.first(where: { $0.directory == machine.directory })?
                    .readiness
            else { continue }
            await dropStandby()
            await bootstrap(machine, because: reason, subject)
            withExtendedLifetime((right, lock)) {}
            return .zero
        }
        return nil
    }

    private func bootstrap(_ machine: BuildMachine, because reason: String, _ subject: String) async {
        logger.notice("machine \(machine.name): bootstrap: \(reason)")
        enter(.bootstrapping, reason, machine: machine)
        let bootstrap = MachineBootstrap(runner: runner, storage: ports.storage, settings: settings, logger: logger)
        do {
            try await bootstrap.run(machine) { progress in
                Task { await self.show(progress, machine, .bootstrapping) }
            }
            try FileTree.remove(locks.failureNote(machine))
            logger.notice("machine \(machine.name): bootstrapped")
        } catch is CancellationError {
        } catch {
            logger.error("machine \(machine.name): \(error)")
            let note = BootstrapFailures.add("\(error)", subject: subject, to: locks.failureNote(machine), now: .now)
            if note.count == 1 { await mail(machine, error) }
        }
    }

    private func mail(_ machine: BuildMachine, _ error: any Error) async {
        let message = MonitorMail(
            subject: "machine \(machine.name) can't be bootstrapped",
            paragraphs: [
                "\(error).",
                "It is tried again, less and less often, until it succeeds or its image or the toolchain changes. "
                    + "This is not mailed again.",
            ]
        )
        do { try await ports.mail.send(message.rendered(host: settings.host, buildID: nil)) } catch {
            logger.error("the administrator could not be told: \(error)")
        }
    }

    /// Builds a task and reports its result.
    ///
    /// - Returns: a task of a higher priority that came meanwhile, to be built in the same machine: it has interrupted this
    ///   one, unless that had just ended.
    func build(_ offer: Offer, in held: HeldMachine, beside auxiliaries: [HeldMachine]) async -> Offer? {
        let (assignment, controller) = offer
        let (task, machine) = (assignment.task, held.machine)
        logger.notice("task \(task.name)/\(task.version) of \(controller.url) in machine \(machine.name)")
        let number = begin(task, of: controller)
        enter(.building, nil, machine: machine)
        interruptOthers(for: controller)
        beginWatch()
        let job = TaskBuild.Job(
            assignment: assignment,
            machine: held,
            auxiliaries: auxiliaries,
            isBoosted: ControllerPriority(controller).isBoosted,
            standby: await takeStandby(for: offer, in: held)
        )
        lastBuilt = machine.directory
        let audience = TaskBuild.Audience(
            progress: { progress in Task { await self.show(progress, machine, .building) } },
            upload: { archive in await self.upload(archive, of: assignment) }
        )
        let work = Task { await taskBuild.run(job, audience) }
        let watch = Task {
            let above = await challenge(to: controller, with: [held] + auxiliaries)
            if above != nil { work.cancel() }
            return above
        }
        let ear = Task { if await awaitInterruption(ofTask: number) { work.cancel() } }
        var report = await withTaskCancellationHandler {
            await work.value
        } onCancel: {
            work.cancel()
        }
        ear.cancel()
        endWatch()
        if report.isInterrupted, !Task.isCancelled {
            report.result = .ofAgent(task, .interrupt, "a task of a higher priority takes its place")
        }
        logger.notice("task \(task.name)/\(task.version): \(report.result.status.rawValue)")
        count(report.result)
        await deliver(report.result, of: assignment)
        // A question that is on its way is waited for: a task whose answer nobody reads is lost for hours.
        return await withTaskCancellationHandler {
            await watch.value
        } onCancel: {
            watch.cancel()
        }
    }

    private func upload(_ archive: FilePath, of assignment: TaskResponse.Assignment) async {
        for type in assignment.uploadURLs.keys.sorted() {
            do throws(ControllerError) {
                let upload = ControllerUpload(type: type, instance: "archive", archive: archive)
                let response = try await client.upload(upload, of: assignment)
                logger.notice("upload \(type): \(response.status) \(response.message)")
            } catch {
                logger.error("upload \(type): \(error)")
            }
        }
    }

    /// Told to end or not, the result is delivered, or kept.
    private func deliver(_ result: BuildResult, of assignment: TaskResponse.Assignment) async {
        await Task {
            do {
                let request = try await client.resultRequest(
                    result,
                    of: assignment,
                    agentChecksum: AgentSettings.agentChecksum
                )
                for report in try await spool.deliver(request, to: assignment.resultURL, by: client) { note(report) }
            } catch {
                logger.error("the result of \(result.name)/\(result.version) can't be delivered: \(error)")
            }
        }.value
    }
}
