/// The hosts of the ranks of a group.
struct GroupHosts: Sendable {
    /// The ranks on this rank's host, by their numbers in the world.
    let own: [Int]
    /// This rank among them.
    let ownRank: Int
    /// The first rank of each host, by its number in the world.
    let leaders: [Int]

    /// The number of hosts.
    var count: Int { leaders.count }

    /// The hosts of ranks.
    ///
    /// - Parameters:
    ///   - ranks: The ranks, by their numbers in the world.
    ///   - first: For each rank the position of the first one on its host.
    ///   - own: The position of this rank.
    init(_ ranks: [Int], first: [Int], own: Int) {
        let here = ranks.indices.filter { first[$0] == first[own] }
        self.own = here.map { ranks[$0] }
        ownRank = here.firstIndex(of: own) ?? 0
        leaders = ranks.indices.filter { first[$0] == $0 }.map { ranks[$0] }
    }
}
