/// How the auxiliary machines of a task share the RAM that their instance has for them (RES-2).
enum AuxiliaryMemory {
    /// What a machine is taken to need whose manifest names no minimum.
    static let usualMinimum = MemorySize(kibibytes: 128 << 10)

    /// Why an instance can't have a machine at all; `nil` if it can.
    static func obstacle(to header: MachineHeader, in total: MemorySize) -> MachineTooLarge? {
        let minimum = header.minimumRAM ?? usualMinimum
        return minimum <= total
            ? nil : MachineTooLarge(machine: header.name, minimum: minimum, slice: total, isAuxiliary: true)
    }

    /// Gives each its minimum, and the rest evenly to those that can make use of it, in whole MiB.
    ///
    /// - Throws: ``MachineTooLarge`` for the first that there is no room for.
    static func shares(of total: MemorySize, among headers: [MachineHeader]) throws(MachineTooLarge) -> [MemorySize] {
        var left = total.kibibytes
        var shares: [Int] = []
        for header in headers {
            if let obstacle = obstacle(to: header, in: MemorySize(kibibytes: left)) { throw obstacle }
            let minimum = header.minimumRAM ?? usualMinimum
            shares.append(minimum.kibibytes)
            left -= minimum.kibibytes
        }
        func room(_ index: Int) -> Int { (headers[index].maximumRAM?.kibibytes ?? .max) - shares[index] }
        while true {
            let open = shares.indices.filter { room($0) > 0 }
            guard !open.isEmpty, left / open.count >= 1024 else { break }
            let part = left / open.count
            for index in open {
                let more = min(part, room(index))
                shares[index] += more
                left -= more
            }
        }
        return zip(shares, headers).map { share, header in
            MemorySize(kibibytes: max(share & ~1023, header.minimumRAM?.kibibytes ?? 0))
        }
    }
}
