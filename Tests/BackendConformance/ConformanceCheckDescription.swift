import BuildOSConformance
import Testing

extension ConformanceCheck: CustomTestStringConvertible {
    public var testDescription: String { name }
}
