import BridgeCore
import Glibc
import JSONTree

/// The number of threads against the processors that this process may use.
struct ThreadCheck {
    /// The number of threads that compute.
    let count: Int
    /// The number of processors that this process may run on.
    let allowed: Int
    /// The limits of the container.
    let group: ControlGroup
    /// The variable `BRIDGE_NUM_THREADS`.
    let asked: String?
    /// The number of processors of this machine.
    var online = max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))

    func run() -> Finding {
        var facts: JSON = ["threads": JSON(count), "processors": JSON(online), "allowed": JSON(allowed)]
        var text = "\(ByteFormat.counted(count, "thread")) on \(allowed) of \(ByteFormat.counted(online, "processor"))"
        if let limit = group.processors {
            text += ", of which the container may use \(ByteFormat.rounded(limit, digits: 1))"
            facts.set(JSON(limit), at: "container_limit")
        }
        var finding = Finding(.ok, text, facts: facts)
        let usable = max(1, min(allowed, group.processors.map { Int($0.rounded()) } ?? allowed))
        if count > usable {
            finding.lower(
                to: .warning,
                advice: "threads beyond the processors wait for each other: set BRIDGE_NUM_THREADS=\(usable)"
            )
        } else if let asked, Int(asked) == count, count < usable {
            finding.lower(to: .warning, advice: "BRIDGE_NUM_THREADS is \(asked): unset it to use \(usable) threads")
        }
        return finding
    }
}
