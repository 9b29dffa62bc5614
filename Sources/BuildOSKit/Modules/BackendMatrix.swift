extension Sequence where Element == any BackendProvider {
    /// By interface, in the order of ``BackendInterface``, then by name.
    public var inListingOrder: [any BackendProvider] {
        BackendInterface.allCases.flatMap { interface in
            filter { $0.identity.interface == interface }.sorted { $0.identity.name < $1.identity.name }
        }
    }
}

/// What backends can do side by side, from their capability values.
public enum BackendMatrix {
    /// A table for each interface that has backends: a row for each capability, a column for each backend.
    public static func markdown(of providers: some Sequence<any BackendProvider>) -> String {
        let ordered = providers.inListingOrder
        return BackendInterface.allCases.compactMap { interface in
            let columns = ordered.filter { $0.identity.interface == interface }
            return columns.isEmpty ? nil : "### \(interface.rawValue)\n\n\(table(columns))"
        }.joined(separator: "\n")
    }

    private static func table(_ columns: [any BackendProvider]) -> String {
        var names: [String] = []
        let listings = columns.map { provider in
            let listing = provider.capabilityListing
            for capability in listing where !names.contains(capability.name) { names.append(capability.name) }
            return Dictionary(listing.map { ($0.name, $0.value) }) { first, _ in first }
        }
        let rows =
            [
                ["capability"] + columns.map { "`\($0.identity.name)`" },
                [String](repeating: "---", count: columns.count + 1),
            ]
            + names.map { name in [name] + listings.map { $0[name] ?? "" } }
        return rows.map { "| \($0.map(escaped).joined(separator: " | ")) |\n" }.joined()
    }

    private static func escaped(_ cell: String) -> String {
        cell.split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
    }
}
