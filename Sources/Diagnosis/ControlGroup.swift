import BridgeCore

/// The limits that the control groups of a process set; containers have them.
struct ControlGroup: Sendable {
    /// The time of processors that the process may use, in processors; nil without a limit.
    let processors: Double?
    /// The bytes of memory that the process may use; nil without a limit.
    let memory: Int?

    /// Those of this process.
    static let ofThisProcess = ControlGroup(
        root: "/sys/fs/cgroup",
        membership: KernelFile.text("/proc/self/cgroup")
    )

    /// Limits.
    init(processors: Double?, memory: Int?) { (self.processors, self.memory) = (processors, memory) }

    /// Reads limits.
    ///
    /// - Parameters:
    ///   - root: The directory of the control groups.
    ///   - membership: The groups of a process, as in `/proc/self/cgroup`.
    init(root: String, membership: String) {
        var processors: [Double] = []
        var memory: [Int] = []
        for line in membership.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let controllers = parts[1].split(separator: ",")
            for directory in Self.directories(parts[2]) {
                func words(_ controller: String, _ file: String) -> [Substring] {
                    Self.words("\(root)\(controller)\(directory)/\(file)")
                }
                if controllers.isEmpty {
                    // Version 2: "max 100000" or "150000 100000".
                    let limit = words("", "cpu.max").compactMap { Double($0) }
                    if limit.count == 2, limit[1] > 0 { processors.append(limit[0] / limit[1]) }
                    memory += words("", "memory.max").compactMap { Int($0) }
                }
                if controllers.contains("cpu") {
                    let quota = words("/cpu", "cpu.cfs_quota_us").first.flatMap { Double($0) } ?? -1
                    let period = words("/cpu", "cpu.cfs_period_us").first.flatMap { Double($0) } ?? 0
                    if quota > 0, period > 0 { processors.append(quota / period) }
                }
                if controllers.contains("memory") {
                    // Without a limit the largest number of pages.
                    memory += words("/memory", "memory.limit_in_bytes").compactMap { Int($0) }.filter { $0 < 1 << 60 }
                }
            }
        }
        self.init(processors: processors.min(), memory: memory.min())
    }

    /// A group and those that contain it, whose limits hold too.
    private static func directories(_ path: Substring) -> [String] {
        let names = path.split(separator: "/").filter { $0 != ".." }
        return (0...names.count).map { names.prefix($0).map { "/\($0)" }.joined() }
    }

    private static func words(_ path: String) -> [Substring] {
        KernelFile.text(path).split(whereSeparator: \.isWhitespace)
    }
}
