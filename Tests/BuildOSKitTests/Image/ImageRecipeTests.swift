import TestSupport
import Testing

@testable import BuildOSKit

@Suite struct ImageRecipeTests {
    @Test func commentsAndBlanksArePassedOver() throws {
        let recipe = try ImageRecipe(
            packages: "# system\n\nsystemd\n  g++  \r\nlibbtrfsutil1\n#nano\n",
            exclude: "/usr/share/doc/*\n+/usr/share/doc/*/copyright\n",
            modules: "loop\n# why\noverlay"
        )
        #expect(recipe.packages == ["systemd", "g++", "libbtrfsutil1"])
        #expect(
            recipe.filters.map(\.option)
                == ["path-exclude=/usr/share/doc/*", "path-include=/usr/share/doc/*/copyright"]
        )
        #expect(recipe.stage1Modules == ["loop", "overlay"])
    }

    @Test(arguments: ["Systemd", "a,b", "-x", "a", "x y", "--hook=rm", "a/b", "ä1"])
    func whatCannotBeAPackageIsNamed(name: String) {
        let expected = ImageBuildError(
            .badRecipe(file: "packages", entry: name, expected: "the name of a Debian package")
        )
        #expect(throws: expected) { try ImageRecipe(packages: name, exclude: "", modules: "") }
    }

    @Test(arguments: ["usr/share/doc/*", "+etc", "/a b"])
    func aPathPatternIsAbsolute(pattern: String) {
        #expect(throws: ImageBuildError.self) { try ImageRecipe(packages: "", exclude: pattern, modules: "") }
    }

    @Test("BOOT-1: the image's own recipe is one")
    func ownRecipe() throws {
        let recipe = try ImageRecipe(directory: StagedTree.checkout.appending("OS"))
        for needed in ["systemd", "ifupdown", "openssh-server", "postfix", "btrfs-progs", "nftables", "g++", "sudo"] {
            #expect(recipe.packages.contains(needed))
        }
        #expect(Set(recipe.packages).count == recipe.packages.count)
        #expect(recipe.stage1Modules == ["loop", "squashfs", "overlay"])
    }

    @Test("BOOT-1: the packages, the filters, the kernel and the mirror reach mmdebstrap as arguments")
    func mmdebstrap() throws {
        let recipe = try ImageRecipe(packages: "systemd\ng++", exclude: "/usr/share/man/*", modules: "")
        let command = ImageCommands.mmdebstrap(
            recipe,
            kernel: .cloud,
            mirror: "http://mirror.example/debian",
            epoch: 5,
            root: "/out/root"
        )
        #expect(command.arguments.contains("--include=systemd,g++,linux-image-cloud-amd64"))
        #expect(command.arguments.contains("--dpkgopt=path-exclude=/usr/share/man/*"))
        #expect(command.arguments.suffix(3) == ["bookworm", "/out/root", "http://mirror.example/debian"])
        #expect(command.environment["SOURCE_DATE_EPOCH"] == "5")
    }

    @Test func missingProgramsComeWithTheirPackages() throws {
        let tools = [ImageTool("sh", package: "dash"), ImageTool("no-such-tool", package: "no-such-package")]
        let missing = ImageTool.missing(tools, path: "/nowhere:/bin")
        #expect(missing == [tools[1]])
        #expect(
            ImageBuildError(.missingPrograms(missing)).description
                == "programs no-such-tool: not installed (apt-get install no-such-package)"
        )
    }

    @Test func whatAKilledBuildLeftMountedIsFoundInnermostFirst() {
        let table = #"""
            proc /proc proc rw 0 0
            none /out/.image-work/root/dev tmpfs rw 0 0
            none /out/.image-work/root/dev/pts devpts rw 0 0
            none /out/.image-work-2/root/dev devpts rw 0 0
            sys /out/.image-work/a\040b sysfs ro 0 0

            """#
        #expect(
            LeftoverMounts.mountPoints(below: "/out/.image-work", in: table)
                == ["/out/.image-work/a b", "/out/.image-work/root/dev/pts", "/out/.image-work/root/dev"]
        )
    }
}
