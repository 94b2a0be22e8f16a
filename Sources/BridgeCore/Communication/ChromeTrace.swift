import BridgeSupport
import Glibc
import Synchronization
public import TensorRuntime

/// The times of this rank's work in a run, as a file of the Chrome trace format, which Perfetto and chrome://tracing open.
///
/// Each rank is a process of the trace, and what it does at the same time stands in several lanes. Source: "Trace Event
/// Format" of the Chromium project; complete events (`"ph": "X"`) with times in microseconds.
public final class ChromeTrace: Sendable {
    /// Work of a rank that other lanes overlap with; within a lane events nest.
    public enum Lane: Int, Sendable, CaseIterable {
        /// Forward and backward passes, the optimizer, and collectives that they wait for.
        case computation
        /// Collectives of gradients and parameters that overlap with computation.
        case overlapped
        /// Checkpoints.
        case checkpoint

        fileprivate var name: String {
            switch self {
            case .computation: "computation"
            case .overlapped: "overlapped communication"
            case .checkpoint: "checkpoints"
            }
        }
    }

    /// A piece of work.
    private struct Event {
        let name: String
        let category: String
        let lane: Lane
        let start: Int64
        let end: Int64
        let arguments: [(name: String, value: Int)]
    }

    private struct State {
        var events: [Event] = []
        var dropped = 0
        /// The time that the file counts from.
        var origin: Int64 = 0
    }

    private let state: Mutex<State>
    private let limit: Int

    /// A trace without events.
    ///
    /// - Parameter limit: The most events of a rank; what comes after them is counted, and not kept.
    public init(limit: Int = 1 << 20) {
        self.limit = limit
        state = Mutex(State(origin: Self.now))
    }

    /// Nanoseconds of a clock that all processes of a host share.
    private static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// Begins the time of all ranks at one moment; all of them call it.
    ///
    /// - Throws: What the group throws.
    public func align(_ ranks: any ProcessGroup) throws {
        try ranks.barrier()
        state.withLock { $0.origin = Self.now }
    }

    /// Runs `body` and records its time.
    ///
    /// - Parameters:
    ///   - name: The name of the work, such as `forward`.
    ///   - category: Its kind, which viewers can filter by.
    ///   - lane: The lane; work of one lane is not done at the same time.
    ///   - arguments: Numbers about it, such as its bytes.
    ///   - body: The work.
    /// - Returns: What `body` returns.
    /// - Throws: What `body` throws.
    public func measure<Result>(
        _ name: String,
        category: String,
        lane: Lane = .computation,
        _ arguments: [(name: String, value: Int)] = [],
        _ body: () throws -> Result
    ) rethrows -> Result {
        let start = Self.now
        defer {
            let event = Event(
                name: name,
                category: category,
                lane: lane,
                start: start,
                end: Self.now,
                arguments: arguments
            )
            state.withLock { state in
                if state.events.count < limit { state.events.append(event) } else { state.dropped += 1 }
            }
        }
        return try body()
    }

    /// Writes the events of all ranks into one file, which rank 0 replaces; all ranks call it.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - ranks: All ranks.
    /// - Throws: `BridgeError` when the file cannot be written, and what the group throws.
    public func write(to path: String, ranks: any ProcessGroup) throws {
        let parts = try ranks.allGather(Array(text(rank: ranks.rank).utf8))
        _ = try ranks.agree {
            guard ranks.rank == 0 else { return [] }
            var bytes = Array(#"{"displayTimeUnit":"ms","traceEvents":["#.utf8)
            bytes += parts.joined(separator: [UInt8(ascii: ","), UInt8(ascii: "\n")])
            try Files.replace(path, with: bytes + Array("]}\n".utf8))
            return []
        }
    }

    /// The events of this rank, separated by commas, after those that name the rank and its lanes.
    private func text(rank: Int) -> String {
        let (events, dropped, origin) = state.withLock { ($0.events, $0.dropped, $0.origin) }
        func name(_ kind: String, _ thread: Int, _ name: String) -> String {
            #"{"ph":"M","pid":\#(rank),"tid":\#(thread),"name":"\#(kind)","args":{"name":"\#(name)"}}"#
        }
        let missing = dropped > 0 ? ", \(dropped) later events are missing" : ""
        var lines = [name("process_name", 0, "rank \(rank)\(missing)")]
        lines += Lane.allCases.map { name("thread_name", $0.rawValue, $0.name) }
        lines += events.map { event in
            let arguments = event.arguments.map { #""\#($0.name)":\#($0.value)"# }.joined(separator: ",")
            // Both ends are rounded, so that an event does not end after one that contains it.
            let (start, end) = ((event.start - origin) / 1000, (event.end - origin) / 1000)
            return #"{"ph":"X","pid":\#(rank),"tid":\#(event.lane.rawValue),"ts":\#(start),"dur":\#(end - start),"#
                + #""name":"\#(event.name)","cat":"\#(event.category)","args":{\#(arguments)}}"#
        }
        return lines.joined(separator: ",\n")
    }
}

extension Optional where Wrapped == ChromeTrace {
    /// Runs `body`, and records its time if there is a trace; see ``ChromeTrace/measure(_:category:lane:_:_:)``.
    public func measure<Result>(
        _ name: String,
        category: String,
        lane: ChromeTrace.Lane = .computation,
        _ arguments: [(name: String, value: Int)] = [],
        _ body: () throws -> Result
    ) rethrows -> Result {
        guard let trace = self else { return try body() }
        return try trace.measure(name, category: category, lane: lane, arguments, body)
    }
}
