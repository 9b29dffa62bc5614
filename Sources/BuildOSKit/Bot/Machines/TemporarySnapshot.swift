extension MachineStorage {
    /// Removes the temporary snapshot of a guest that is over, whether the agent was told to end or not.
    func discard(_ snapshot: FilePath, _ logger: Logger) async {
        await Task {
            do { try await delete(snapshot) } catch {
                logger.error("\(snapshot): the temporary snapshot can't be removed: \(error)")
            }
        }.value
    }
}
