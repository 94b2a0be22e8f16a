import BridgeCore
import JSONTree

/// Memory: how much there is, and how fast it is read, which is the limit of decoding.
struct MemoryCheck {
    /// The limits of the container.
    let group: ControlGroup
    /// The number of threads that compute.
    let threadCount: Int
    /// The kernel's account of memory.
    var account = KernelFile.text("/proc/meminfo")

    /// The least that is more than the caches of most processors.
    private static let sweepByteCount = 512 << 20
    /// What a model of a billion parameters needs in bfloat16.
    private static let leastByteCount = 2_000_000_000

    func run() -> Finding {
        let total = min(bytes("MemTotal") ?? 0, group.memory ?? .max)
        let available = min(bytes("MemAvailable") ?? 0, total)
        var text = "\(ByteFormat.text(available)) of \(ByteFormat.text(total)) available"
        var facts: JSON = ["total": JSON(total), "available": JSON(available)]
        if let rate = ReadSweep(byteCount: min(Self.sweepByteCount, available / 4), threadCount: threadCount).run() {
            text += ", read with \(ByteFormat.text(Int(rate)))/s by \(ByteFormat.counted(threadCount, "thread"))"
            facts.set(JSON(Int(rate)), at: "read_bytes_per_second")
        }
        var finding = Finding(.ok, text, facts: facts)
        if available < Self.leastByteCount {
            finding.lower(to: .warning, advice: "end other programs: a model of 1B parameters needs 2 GB in bfloat16")
        }
        return finding
    }

    /// A line of the account, which is in KiB.
    private func bytes(_ name: String) -> Int? {
        account.split(separator: "\n").first { $0.hasPrefix("\(name):") }
            .flatMap { $0.split(separator: " ").dropFirst().first }.flatMap { Int($0) }.map { $0 * 1024 }
    }
}
