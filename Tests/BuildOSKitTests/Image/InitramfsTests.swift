import TestSupport
import Testing

@testable import BuildOSKit

@Suite struct InitramfsTests {
    private func archive(_ members: [CPIOMember]) async throws -> [UInt8] {
        try await withTemporaryDirectory { directory in
            let path = directory.appending("archive")
            let file = try FileDescriptor.open(
                path,
                .writeOnly,
                options: [.create],
                permissions: [.ownerReadWrite]
            )
            try CPIOArchive.write(members, to: file, at: path)
            try file.close()
            return try FileTree.read(path)
        }
    }

    @Test func headersAreThoseOfTheKernelsFormat() async throws {
        let bytes = try await archive([CPIOMember("ab", permissions: 0o644, .file(Array("hello".utf8)))])
        let text = String(decoding: bytes, as: UTF8.self)
        // magic, inode, mode, uid, gid, links, time, size, device (2), special device (2), length of name, check sum
        let header =
            "070701" + "00000001" + "000081A4" + "00000000" + "00000000" + "00000001" + "00000000" + "00000005"
            + "00000000" + "00000000" + "00000000" + "00000000" + "00000003" + "00000000"
        #expect(text.hasPrefix(header + "ab\0\0\0\0" + "hello\0\0\0" + "070701"))
        #expect(text.contains("TRAILER!!!"))
        #expect(bytes.count % 4 == 0)
    }

    @Test func contentOfFilesIsCopiedWhole() async throws {
        try await withTemporaryDirectory { directory in
            let source = directory.appending("big")
            let content = (0..<3_000_001).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            try FileTree.write(content, to: source)
            let path = directory.appending("archive")
            let file = try FileDescriptor.open(path, .writeOnly, options: [.create], permissions: [.ownerReadWrite])
            try CPIOArchive.write([CPIOMember("big", permissions: 0o644, .fileAt(source))], to: file, at: path)
            try file.close()
            let bytes = try FileTree.read(path, limit: 8 << 20)
            // The header is 110 bytes, the name 4 with its end mark, which a multiple of 4 bytes is filled up to.
            #expect(Array(bytes[116..<116 + content.count]) == content)
            #expect(bytes.count % 4 == 0)
        }
    }

    @Test("BOOT-10: the same members make the same bytes, whoever owns the files and whenever they were made")
    func reproducible() async throws {
        let archives = try await withTemporaryDirectory { directory in
            let source = directory.appending("file")
            try FileTree.write("content", to: source)
            let first = try await archive([CPIOMember("x", permissions: 0o755, .fileAt(source))])
            try FileTree.remove(source)
            try FileTree.write("content", to: source, permissions: .ownerReadWrite)
            return (first, try await archive([CPIOMember("x", permissions: 0o755, .fileAt(source))]))
        }
        #expect(archives.0 == archives.1)
    }

    @Test("BOOT-1: stage 1 holds its script, one program, a console, its modules in order and the mount points")
    func manifest() {
        let members = Stage1.members(
            init: Array("#!/bin/busybox sh\n".utf8),
            busybox: "/bin/busybox",
            modules: ["/m/kernel/drivers/block/loop.ko", "/m/kernel/fs/overlayfs/overlay.ko"]
        )
        #expect(
            members.map(\.name) == [
                "bin", "changes", "dev", "lower", "modules", "proc", "run", "sys", "sysroot", "dev/console",
                "bin/busybox", "init", "modules/order", "modules/loop.ko", "modules/overlay.ko",
            ]
        )
        #expect(members[9].content == .characterDevice(major: 5, minor: 1))
        #expect(members[11].permissions == 0o755)
        #expect(members[12].content == .file(Array("loop.ko\noverlay.ko\n".utf8)))
        let payload = Stage1.payload(rootImage: "/w/rootfs.img", buildID: "ab12")
        #expect(payload.map(\.name) == ["buildid", "rootfs.img"])
        #expect(payload[0].content == .file(Array("ab12\n".utf8)))
    }

    @Test func modulesAreLoadedAfterWhatTheyNeed() throws {
        let modules = KernelModules(
            parsing: """
                kernel/a/top-one.ko: kernel/a/middle.ko kernel/a/base.ko
                kernel/a/middle.ko: kernel/a/base.ko
                kernel/a/base.ko:
                kernel/b/packed.ko.xz: kernel/a/base.ko
                """
        )
        #expect(
            try modules.loadOrder(of: ["base", "top_one", "packed"]).get()
                == ["kernel/a/base.ko", "kernel/a/middle.ko", "kernel/a/top-one.ko", "kernel/b/packed.ko.xz"]
        )
        #expect(throws: MissingKernelModule(name: "squashfs")) { try modules.loadOrder(of: ["squashfs"]).get() }
    }

    @Test("BOOT-10: the file of the build id is one that hosts read, and names the other two with their checksums")
    func buildIDFile() throws {
        let digits = { (character: Character) in String(repeating: character, count: 64) }
        let identity = ImageIdentity(buildID: digits("1"), kernelDigest: digits("a"), initrdDigest: digits("b"))
        #expect(
            identity.text == """
                \(digits("1"))
                \(digits("a")) *buildos-image
                \(digits("b")) *buildos-initrd

                """
        )
        let read = try BuildIDFile(identity.text)
        #expect(read.id.description == digits("1"))
        #expect(read.checksums[ImageFiles.initrdName]?.hexadecimal == digits("b"))
    }

    @Test("BOOT-10: the build id depends on kernel, root file system and stage 1, and on nothing else")
    func identityText() {
        let text = ImageIdentity.text(kernelDigest: "k", rootDigest: "r", initramfsDigest: "i")
        #expect(text == "k *kernel\nr *root\ni *initramfs\n")
    }
}
