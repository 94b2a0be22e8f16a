/// The hosts of the ranks of a group.
struct GroupHosts: Sendable {
    /// The positions in the group of the ranks of each host, in the order of the hosts' first ranks.
    let members: [[Int]]
    /// The position of this rank's host.
    let ownHost: Int
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
        let members = ranks.indices.filter { first[$0] == $0 }.map { leader in
            ranks.indices.filter { first[$0] == leader }
        }
        self.members = members
        ownHost = members.firstIndex { $0.contains(own) } ?? 0
        let here = members[ownHost]
        self.own = here.map { ranks[$0] }
        ownRank = here.firstIndex(of: own) ?? 0
        leaders = members.map { ranks[$0[0]] }
    }

    /// Where a rank is.
    ///
    /// - Parameter position: The rank's position in the group.
    /// - Returns: The position of its host, and its own among the ranks of the host.
    func location(of position: Int) -> (host: Int, rank: Int) {
        let host = members.firstIndex { $0.contains(position) } ?? 0
        return (host, members[host].firstIndex(of: position) ?? 0)
    }
}
