import BuildOSKit
import DirectoryStorage

/// A machine to look at: an image in a volume of plain directories, and a writable snapshot of it in which a build could go on.
///
/// - Throws: `FileError`, `MachineStorageError`, and if the names are wrong.
func makeSample(in root: FilePath) async throws {
    let storage = DirectoryStorage()
    let machine = try MachineName("linux-example")
    let directory = root.appending("default").appending(machine.text)
    try FileTree.makeDirectory(directory)

    func path(_ entry: MachineEntry) -> FilePath { directory.appending(entry.fileName(of: machine)) }
    let image = path(.initial(MachineRevision(version: 1, revision: 0)))
    try await storage.create(image)
    try FileTree.write("a disk would be here\n", to: image.appending("disk.img"))
    try await storage.setReadOnly(true, image)
    try await storage.snapshot(image, to: path(.temporary(.default, suffix: "1")), readOnly: false)
}
