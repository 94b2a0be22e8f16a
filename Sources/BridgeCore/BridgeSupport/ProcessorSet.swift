import CSystem
import Glibc

/// Processors of this machine, by the numbers of the kernel; each hardware thread of a core is one.
public struct ProcessorSet: Sendable, Equatable {
    /// The numbers in ascending order.
    public let numbers: [Int]

    /// A set of processors.
    public init(_ numbers: some Sequence<Int>) { self.numbers = Set(numbers).sorted() }

    /// The number of processors.
    public var count: Int { numbers.count }

    /// The most processors of a machine that Linux supports.
    private static let most = 8192

    /// The processors that a process may run on.
    ///
    /// - Parameter process: The process; 0 for the calling thread.
    /// - Returns: The processors; nil when there is no such process, or the kernel does not tell.
    public static func allowed(process: Int32 = 0) -> ProcessorSet? {
        var numbers = [Int32](repeating: 0, count: most)
        let count = csys_processors(process, &numbers, Int32(most))
        return count > 0 ? ProcessorSet(numbers.prefix(Int(count)).map(Int.init)) : nil
    }

    /// The number of processors that this thread may run on: fewer than the machine has where a launcher, `taskset` or a
    /// container limits them.
    public static var availableCount: Int { allowed()?.count ?? max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))) }

    /// Limits all threads of this process to these processors, and so all threads that they start.
    ///
    /// - Returns: Whether the kernel allows it; where not, nothing has changed.
    public func limitThisProcess() -> Bool {
        let numbers = numbers.map(Int32.init)
        guard csys_limit_processors(0, numbers, Int32(numbers.count)) == 0 else { return false }
        // A thread that is not limited yet may have started another one meanwhile.
        var limited: Set<String> = []
        while true {
            let threads = Set((try? Files.list("/proc/self/task")) ?? []).subtracting(limited)
            guard !threads.isEmpty else { return true }
            for thread in threads { _ = Int32(thread).map { csys_limit_processors($0, numbers, Int32(numbers.count)) } }
            limited.formUnion(threads)
        }
    }

    // MARK: Parts

    /// Where a processor is, from the coarsest to the finest: processors that compare as neighbours share caches.
    public struct Location: Sendable, Comparable {
        /// The socket.
        public var package: Int
        /// The first processor of its core.
        public var core: Int

        /// A location.
        public init(package: Int, core: Int) { (self.package, self.core) = (package, core) }

        /// Whether one is before another.
        public static func < (one: Location, other: Location) -> Bool {
            (one.package, one.core) < (other.package, other.core)
        }
    }

    /// Divides the processors into parts whose sizes differ by at most one.
    ///
    /// Processors of one core, and cores of one socket, are in the same part where possible: the kernel often numbers the first
    /// hardware threads of all cores first.
    ///
    /// - Parameters:
    ///   - count: The number of parts.
    ///   - location: Where a processor is; nil for what the kernel reports.
    /// - Returns: The parts.
    public func parts(_ count: Int, location: ((Int) -> Location)? = nil) -> [ProcessorSet] {
        let places = numbers.map { (number: $0, location: (location ?? Self.location)($0)) }
        let ordered = places.sorted { ($0.location, $0.number) < ($1.location, $1.number) }.map(\.number)
        return (0..<count).map { part in
            ProcessorSet(ordered[ordered.count * part / count..<ordered.count * (part + 1) / count])
        }
    }

    /// The location that the kernel reports; where it reports none, that of a core with one processor.
    private static func location(of number: Int) -> Location {
        let directory = "/sys/devices/system/cpu/cpu\(number)/topology"
        func first(_ file: String) -> Int? {
            // A number, or a list of numbers and ranges. The kernel states another size than such a file has.
            let descriptor = open("\(directory)/\(file)", O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { return nil }
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: 32)
            let count = max(0, read(descriptor, &bytes, bytes.count))
            return Int(String(decoding: bytes.prefix(count).prefix { (48...57).contains($0) }, as: UTF8.self))
        }
        return Location(
            package: first("physical_package_id") ?? 0,
            core: first("core_cpus_list") ?? first("thread_siblings_list") ?? number
        )
    }
}

extension ProcessorSet: CustomStringConvertible {
    /// Numbers and ranges as the kernel writes them, such as `0-3,8`.
    public var description: String {
        var ranges: [ClosedRange<Int>] = []
        for number in numbers {
            if let last = ranges.last, last.upperBound + 1 == number {
                ranges[ranges.count - 1] = last.lowerBound...number
            } else {
                ranges.append(number...number)
            }
        }
        return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ",")
    }
}
