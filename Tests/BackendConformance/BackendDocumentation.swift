import BuildOSKit
import TestSupport
import Testing

@Suite("BACK-1: docs/backends.md") struct BackendDocumentation {
    @Test("it shows the capabilities that the staged backends have")
    func matrix() throws {
        let text = try FileTree.readText(StagedTree.checkout.appending("docs/backends.md"))
        let begin = try #require(text.firstRange(of: "<!-- capabilities: begin -->\n\n"))
        let end = try #require(text.firstRange(of: "\n<!-- capabilities: end -->\n"))
        #expect(
            text[begin.upperBound..<end.lowerBound]
                == BackendMatrix.markdown(of: LoadedModules.inventory.registry.providers),
            "it is stale: run 'make docs'"
        )
    }

    @Test("every capability has its meaning there")
    func meanings() throws {
        let text = try FileTree.readText(StagedTree.checkout.appending("docs/backends.md"))
        let meanings = try #require(text.firstRange(of: "## What the words mean"))
        for provider in LoadedModules.inventory.registry.providers {
            for capability in provider.capabilityListing {
                #expect(text[meanings.upperBound...].contains(capability.name), "\(capability.name) is not explained")
            }
        }
    }
}
