import Foundation
import Synchronization
import TestSupport
import Testing

@testable import TensorRuntime

/// Every piece of every job is done once, whoever asks and whenever.
@Suite struct ThreadPoolTests {
    private final class Counts: Sendable {
        private let counts: Mutex<[Int]>
        init(_ size: Int) { counts = Mutex(Array(repeating: 0, count: size)) }
        func add(_ location: Int) { counts.withLock { $0[location] += 1 } }
        var areAllOne: Bool { counts.withLock { $0.allSatisfy { $0 == 1 } } }
    }

    @Test(arguments: [1, 2, 5])
    func everyPieceRunsOnce(_ threads: Int) {
        let pool = ThreadPool(threadCount: threads)
        for pieces in [0, 1, 2, 3, 100] {
            let counts = Counts(pieces)
            pool.run(pieces) { counts.add($0) }
            #expect(counts.areAllOne)
        }
    }

    @Test func rangesCoverEveryItemOnce() {
        let pool = ThreadPool(threadCount: 3)
        for (count, grain, multiple) in [(1, 1, 1), (17, 4, 1), (1000, 7, 16), (64, 100, 3)] {
            let counts = Counts(count)
            pool.split(count, grain: grain, multiple: multiple) { range in
                #expect(range.count >= grain || range.upperBound == count)
                #expect(range.lowerBound % multiple == 0)
                range.forEach(counts.add)
            }
            #expect(counts.areAllOne)
        }
    }

    /// The calling thread, as the system's directory of it.
    private static var thread: String {
        (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/thread-self")) ?? ""
    }

    /// Whether a thread of this process waits, according to the system.
    private static func isWaiting(_ thread: String) throws -> Bool {
        let stat = try String(contentsOfFile: "/proc/\(thread)/stat", encoding: .utf8)
        return (stat.split(separator: ")").last ?? "").hasPrefix(" S")
    }

    @Test func manySmallJobsFollowOneAnother() throws {
        let pool = ThreadPool(threadCount: 3)
        let total = Atomic<Int>(0)
        let helpers = Mutex<Set<String>>([])
        let caller = Self.thread
        for job in 0..<5000 {
            pool.run(4) {
                total.add(job + $0, ordering: .relaxed)
                if job % 10 == 0 { helpers.withLock { _ = $0.insert(Self.thread) } }
            }
            // The next job has to wake the helpers.
            guard job % 1000 == 999 else { continue }
            for thread in helpers.withLock({ $0 }) where thread != caller {
                try wait(until: "the helper sleeps") { try Self.isWaiting(thread) }
            }
        }
        #expect(total.load(ordering: .relaxed) == 5000 * 4999 / 2 * 4 + 5000 * 6)
    }

    @Test func aJobInsideAJobRunsWhereItIs() {
        let pool = ThreadPool(threadCount: 2)
        let counts = Counts(8 * 9)
        pool.run(8) { outer in pool.run(9) { counts.add(outer * 9 + $0) } }
        #expect(counts.areAllOne)
    }

    @Test func callersFromSeveralThreadsDoNotDisturbOneAnother() async {
        let pool = ThreadPool(threadCount: 3)
        let counts = Counts(4 * 500 * 5)
        await withTaskGroup(of: Void.self) { group in
            for caller in 0..<4 {
                group.addTask {
                    for job in 0..<500 { pool.run(5) { counts.add((caller * 500 + job) * 5 + $0) } }
                }
            }
        }
        #expect(counts.areAllOne)
    }

    @Test func aPoolEndsWithItsLastUser() {
        var pool: ThreadPool? = ThreadPool(threadCount: 4)
        pool?.run(10) { _ in }
        weak let left = pool
        pool = nil
        #expect(left == nil)
    }
}
