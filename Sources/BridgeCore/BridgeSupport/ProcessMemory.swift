import CSystem

/// The memory of this process.
public enum ProcessMemory {
    /// Gives memory that was freed back to the system: after work with large buffers that will not be repeated.
    ///
    /// The C library keeps freed blocks of up to 32 MiB for later ones, and the pool of the engine does not use them.
    public static func releaseUnused() { csys_release_unused_memory() }

    /// The bytes that can be used without swapping: of the machine, and within the limit of the control group.
    ///
    /// - Returns: The bytes; nil where the system does not tell.
    public static func available() -> Int? {
        let line = KernelFile.text("/proc/meminfo").split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
        let machine = line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 << 10 }
        func number(_ name: String) -> Int? {
            KernelFile.text("/sys/fs/cgroup/\(name)").split(separator: "\n").first.flatMap { Int($0) }
        }
        // Version 2, whose limit is `max` without one, then version 1, whose limit is then a huge number.
        let limits = [
            (number("memory.max"), number("memory.current")),
            (number("memory/memory.limit_in_bytes"), number("memory/memory.usage_in_bytes")),
        ]
        let group = limits.compactMap { limit, used in limit.flatMap { most in used.map { max(0, most - $0) } } }.min()
        return [machine, group].compactMap(\.self).min()
    }
}
