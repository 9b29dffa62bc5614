import Testing

@testable import BuildOSKit

@Suite("KVM") struct KVMSupportTests {
    @Test(
        "it takes svm or vmx among the processor's flags, as words of their own",
        arguments: [
            ("processor\t: 0\nflags\t\t: fpu vmx sse\n", true), ("flags : svm\n", true),
            ("flags\t\t: fpu sse\n", false),
            ("vmx flags\t: vmx true shadow\nflags : fpu\n", false), ("model name : svm\nflags : nosvm svmx\n", false),
            ("", false),
        ]
    )
    func flags(cpuinfo: String, works: Bool) {
        #expect(KVMSupport.hasVirtualization(cpuinfo) == works)
    }

    @Test("without the flags, the remedy is told, whether there is a device or not")
    func remedy() {
        if case .missing(let reason, let remedy) = KVMSupport.current {
            #expect(!reason.isEmpty && !remedy.isEmpty)
        }
    }
}
