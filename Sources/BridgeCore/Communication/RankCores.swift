import BridgeSupport

/// The processors of a rank, and the number of its threads that compute.
public struct RankCores: Sendable, Equatable {
    /// The name of the host.
    public let host: String
    /// The processors that the threads of the rank run on.
    public let processors: String
    /// The number of threads that compute.
    public let threadCount: Int
    /// Whether no other rank of the host runs on these processors.
    public let areOwn: Bool

    /// What the ranks of a world tell each other to divide the processors of their hosts.
    struct Facts: Sendable, Equatable {
        /// The machine: containers and network namespaces of one kernel share its processors.
        var machine: String
        /// The processors that the launcher has given to the rank.
        var processors: ProcessorSet
        /// The number of threads that the user has chosen; nil for none.
        var threadCount: Int?
        /// Whether the rank may be limited to a part of the processors.
        var binds: Bool
    }

    /// Which part of its processors a rank gets, and how many threads compute on it.
    ///
    /// Ranks with the same processors divide them, if there are enough for the threads of all; ranks that a launcher has
    /// given processors of their own keep those. All ranks have the same number of threads, whose results have the same bits.
    struct Division: Equatable {
        /// The position of the part.
        var part = 0
        /// The number of parts: 1 for all processors.
        var parts = 1
        var threadCount: Int
        /// Whether no other rank runs on the part.
        var isOwn: Bool
        /// Whether there are more threads than processors for them.
        var isOversubscribed: Bool

        /// The division for a rank.
        ///
        /// - Parameters:
        ///   - rank: The rank.
        ///   - facts: Those of all ranks of the world.
        init(of rank: Int, _ facts: [Facts]) {
            let own = facts[rank]
            // The processors of a machine are compared once for each set that its ranks have.
            var groups: [(machine: String, processors: ProcessorSet, ranks: [Int])] = []
            for (index, fact) in facts.enumerated() {
                let known = groups.firstIndex { $0.machine == fact.machine && $0.processors == fact.processors }
                if let known {
                    groups[known].ranks.append(index)
                } else {
                    groups.append((fact.machine, fact.processors, [index]))
                }
            }
            /// The ranks that may run on processors of a group, those of the group among them.
            func sharing(_ group: Int) -> [Int] {
                let numbers = Set(groups[group].processors.numbers)
                return groups.filter { other in
                    other.machine == groups[group].machine && !numbers.isDisjoint(with: other.processors.numbers)
                }.flatMap(\.ranks)
            }
            let shares = groups.indices.map { max(1, groups[$0].processors.count / sharing($0).count) }
            let standard = shares.min() ?? 1
            func threads(_ rank: Int) -> Int { facts[rank].threadCount ?? standard }
            let group = groups.firstIndex { $0.ranks.contains(rank) } ?? 0
            let (same, all) = (groups[group].ranks, sharing(group))
            let fits = same.allSatisfy { threads($0) <= own.processors.count / same.count }
            let binds = same.allSatisfy { facts[$0].binds }
            if same.count > 1, same.count == all.count, fits, binds {
                (part, parts) = (same.firstIndex(of: rank) ?? 0, same.count)
            }
            threadCount = threads(rank)
            isOwn = all.count == parts
            let processors = Set(all.flatMap { facts[$0].processors.numbers })
            isOversubscribed = all.reduce(0) { $0 + threads($1) } > processors.count
        }
    }

    /// The processors of a machine that the launcher has given to none of its ranks.
    ///
    /// - Parameters:
    ///   - rank: A rank of the machine.
    ///   - facts: Those of all ranks of the world.
    ///   - available: The processors that the launcher itself has.
    /// - Returns: Their number.
    static func unusedCount(_ rank: Int, _ facts: [Facts], of available: ProcessorSet) -> Int {
        let here = facts.filter { $0.machine == facts[rank].machine }
        return Set(available.numbers).subtracting(here.flatMap(\.processors.numbers)).count
    }
}

// MARK: Messages

extension RankCores.Facts {
    /// The bytes of a message.
    static let byteCount = 128 + 8192 / 4

    /// The facts as text: the processors as hexadecimal digits of four each.
    var text: String {
        let all = Set(processors.numbers)
        let digits = stride(from: 0, through: processors.numbers.last ?? 0, by: 4).map { first in
            String((0..<4).reduce(0) { $0 | (all.contains(first + $1) ? 1 << $1 : 0) }, radix: 16)
        }
        return "\(machine) \(threadCount ?? 0) \(binds ? 1 : 0) \(digits.joined())"
    }

    /// Facts from a text.
    init?(_ text: String) {
        let words = text.split(separator: " ")
        guard words.count == 4, let threads = Int(words[1]) else { return nil }
        let digits = words[3].compactMap(\.hexDigitValue)
        let numbers = digits.indices.flatMap { index in
            (0..<4).filter { digits[index] >> $0 & 1 == 1 }.map { 4 * index + $0 }
        }
        self.init(
            machine: String(words[0]),
            processors: ProcessorSet(numbers),
            threadCount: threads == 0 ? nil : threads,
            binds: words[2] == "1"
        )
    }
}

extension RankCores {
    /// The bytes of a message.
    static let byteCount = 384

    /// The cores as text.
    var text: String {
        let processors = processors.utf8.count > 200 ? processors.prefix(200) + "..." : processors[...]
        return "\(host.filter { $0 != " " }.prefix(64)) \(processors) \(threadCount) \(areOwn ? 1 : 0)"
    }

    /// Cores from a text.
    init?(_ text: String) {
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 4, let threads = Int(words[2]) else { return nil }
        (host, processors, threadCount, areOwn) = (words[0], words[1], threads, words[3] == "1")
    }

    /// The cores of a rank.
    init(host: String, processors: ProcessorSet, _ division: Division) {
        (self.host, self.processors) = (host, "\(processors)")
        (threadCount, areOwn) = (division.threadCount, division.isOwn)
    }
}
