public import BridgeCore
public import JSONTree

/// All checks of a machine, one after the other: their measurements would disturb each other.
public struct Checkup: Sendable {
    /// The checks, in their order; those that may hang are the last.
    public var checks: [Check]
    /// The longest that all may take.
    public var limit: Duration = .seconds(9)

    /// A list of checks.
    public init(checks: [Check]) { self.checks = checks }

    /// The checks of a machine.
    ///
    /// - Parameters:
    ///   - hub: The hub and its cache.
    ///   - pluginDirectories: The directories that are searched for plugins.
    ///   - threadCount: The number of threads that compute.
    ///   - variables: The variables of the environment.
    public init(hub: Hub, pluginDirectories: [String], threadCount: Int, variables: [String: String]) {
        let group = ControlGroup.ofThisProcess
        let directory = PluginCatalog.standardDirectories.first ?? "."
        let cache = hub.environment.cache
        let otherDisk = "the file system of \(cache) does not respond: check it, or set HF_HUB_CACHE to another one"
        let reinstall = "install Bridge again"
        self.init(checks: [
            Check("libraries", atMost: .seconds(2), adviceForTimeout: reinstall) {
                LibraryCheck(directory: directory).run()
            },
            Check("processor", atMost: .seconds(2), adviceForTimeout: reinstall) {
                ProcessorCheck(limit: variables["BRIDGE_MAX_CPU_ISA"]).run()
            },
            Check("threads", atMost: .seconds(2), adviceForTimeout: "check /sys/fs/cgroup") {
                ThreadCheck(
                    count: threadCount,
                    allowed: ProcessorSet.availableCount,
                    group: group,
                    asked: variables["BRIDGE_NUM_THREADS"]
                ).run()
            },
            Check(
                "plugins",
                atMost: .seconds(4),
                adviceForTimeout: "remove the plugin that does not load in time, which 'bridge plugins doctor' names"
            ) { PluginCheck(directories: pluginDirectories, atMost: .milliseconds(3500)).run() },
            Check("mpi", atMost: .seconds(2), adviceForTimeout: "check the installation of Open MPI") {
                MPICheck(directory: directory, path: variables["PATH"] ?? "/usr/bin:/bin").run()
            },
            Check("memory", atMost: .milliseconds(2500), adviceForTimeout: "end other programs that use memory") {
                MemoryCheck(group: group, threadCount: min(threadCount, ProcessorSet.availableCount)).run()
            },
            Check("cache", atMost: .milliseconds(1500), adviceForTimeout: otherDisk) { CacheCheck(path: cache).run() },
            Check("disk", atMost: .seconds(3), adviceForTimeout: otherDisk) { try DiskCheck(path: cache).run() },
            Check("hub", atMost: .milliseconds(3500), adviceForTimeout: "check the network and HTTPS_PROXY") {
                HubCheck(hub: hub, seconds: 3).run()
            },
        ])
    }

    /// Runs all checks.
    ///
    /// - Parameter each: Called with every check and its finding, as soon as there is one.
    /// - Returns: The findings by the names of their checks, in order.
    public func run(each: (Check, Finding) -> Void = { _, _ in }) -> [(name: String, finding: Finding)] {
        let end = ContinuousClock.now + limit
        return checks.map { check in
            let finding = check.run(atMost: end - ContinuousClock.now)
            each(check, finding)
            return (check.name, finding)
        }
    }

    /// The findings as JSON.
    public static func json(_ findings: [(name: String, finding: Finding)]) -> JSON {
        [
            "status": .string((findings.map(\.finding.status).max() ?? .ok).rawValue),
            "checks": .array(
                findings.map { name, finding in
                    [
                        "name": .string(name), "status": .string(finding.status.rawValue),
                        "finding": .string(finding.text), "advice": finding.advice.map { .string($0) } ?? .null,
                        "facts": finding.facts,
                    ]
                }
            ),
        ]
    }
}
