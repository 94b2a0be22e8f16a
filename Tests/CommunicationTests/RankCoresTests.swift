import BridgeSupport
import Testing

@testable import Communication

/// How the ranks of a machine divide its processors.
@Suite struct RankCoresTests {
    typealias Division = RankCores.Division

    private static func facts(
        _ processors: some Sequence<Int>,
        on machine: String = "a",
        threads: Int? = nil,
        binds: Bool = true
    ) -> RankCores.Facts {
        RankCores.Facts(machine: machine, processors: ProcessorSet(processors), threadCount: threads, binds: binds)
    }

    private static func divisions(_ facts: [RankCores.Facts]) -> [Division] {
        facts.indices.map { Division(of: $0, facts) }
    }

    @Test func ranksWithTheSameProcessorsDivideThem() {
        let found = Self.divisions([Self.facts(0..<9), Self.facts(0..<9), Self.facts(0..<9), Self.facts(0..<9)])
        for (rank, division) in found.enumerated() {
            // 9 / 4 threads each, so that all ranks have the same number.
            #expect(division.part == rank && division.parts == 4 && division.threadCount == 2)
            #expect(division.isOwn && !division.isOversubscribed)
        }
    }

    @Test func ranksOfOtherMachinesHaveTheirOwn() {
        let facts = [Self.facts(0..<8), Self.facts(0..<8), Self.facts(0..<4, on: "b"), Self.facts(0..<4, on: "b")]
        let found = Self.divisions(facts)
        #expect(found.map(\.part) == [0, 1, 0, 1] && found.map(\.parts) == [2, 2, 2, 2])
        // As many threads as the smaller machine has processors for.
        #expect(found.map(\.threadCount) == [2, 2, 2, 2] && found.allSatisfy(\.isOwn))
    }

    @Test func whatALauncherHasGivenIsKept() {
        let found = Self.divisions([Self.facts([0]), Self.facts([1]), Self.facts([2, 3]), Self.facts([2, 3])])
        #expect(found.map(\.parts) == [1, 1, 2, 2] && found.map(\.part) == [0, 0, 0, 1])
        #expect(found.allSatisfy(\.isOwn) && found.map(\.threadCount) == [1, 1, 1, 1])
    }

    @Test func tooFewProcessorsAreShared() {
        let more = Self.divisions([Self.facts(0..<2), Self.facts(0..<2), Self.facts(0..<2)])
        for division in more {
            #expect(division.parts == 1 && division.threadCount == 1 && !division.isOwn && division.isOversubscribed)
        }
        // Four threads on three processors, then six on six.
        for division in Self.divisions([Self.facts(0..<3, threads: 2), Self.facts(0..<3, threads: 2)]) {
            #expect(division.parts == 1 && division.threadCount == 2 && !division.isOwn && division.isOversubscribed)
        }
        for division in Self.divisions([Self.facts(0..<6, threads: 3), Self.facts(0..<6, threads: 3)]) {
            #expect(division.parts == 2 && division.threadCount == 3 && division.isOwn && !division.isOversubscribed)
        }
    }

    @Test func processorsThatOverlapAreNotDivided() {
        let found = Self.divisions([Self.facts(0..<4), Self.facts(2..<6), Self.facts(2..<6)])
        #expect(found.map(\.parts) == [1, 1, 1] && found.allSatisfy { !$0.isOwn })
        #expect(found.map(\.threadCount) == [1, 1, 1] && found.allSatisfy { !$0.isOversubscribed })
    }

    @Test func bindingIsOffWhereARankHasItOff() {
        let found = Self.divisions([Self.facts(0..<8), Self.facts(0..<8, binds: false)])
        #expect(found.map(\.parts) == [1, 1] && found.map(\.threadCount) == [4, 4])
        #expect(found.allSatisfy { !$0.isOwn && !$0.isOversubscribed })
    }

    @Test func processorsWithoutARankAreCounted() {
        let facts = [Self.facts([4]), Self.facts([5]), Self.facts(0..<8, on: "b")]
        #expect(RankCores.unusedCount(0, facts, of: ProcessorSet(0..<8)) == 6)
        #expect(RankCores.unusedCount(2, facts, of: ProcessorSet(0..<8)) == 0)
    }

    @Test(arguments: [[0], [3, 4, 5, 7], Array(0..<64), Array(stride(from: 1, to: 8192, by: 2))])
    func factsArriveAsTheyWere(_ processors: [Int]) throws {
        for facts in [Self.facts(processors, on: "e02de482-66ba"), Self.facts(processors, threads: 12, binds: false)] {
            let text = facts.text
            #expect(text.utf8.count <= RankCores.Facts.byteCount)
            #expect(RankCores.Facts(text) == facts)
        }
    }

    // MARK: Processors

    /// Four cores of two hardware threads, as most machines number them: 0 and 4 are one core.
    @Test func hardwareThreadsOfACoreStayTogether() {
        let parts = ProcessorSet(0..<8).parts(2) { ProcessorSet.Location(package: 0, core: $0 % 4) }
        #expect(parts.map(\.numbers) == [[0, 1, 4, 5], [2, 3, 6, 7]])
        // Two sockets whose cores alternate.
        let sockets = ProcessorSet(0..<8).parts(2) { ProcessorSet.Location(package: $0 % 2, core: $0) }
        #expect(sockets.map(\.numbers) == [[0, 2, 4, 6], [1, 3, 5, 7]])
        let uneven = ProcessorSet([1, 2, 3, 5, 8]).parts(2) { ProcessorSet.Location(package: 0, core: $0) }
        #expect(uneven.map(\.numbers) == [[1, 2], [3, 5, 8]])
    }

    @Test func processorsAreWrittenAsRanges() {
        #expect("\(ProcessorSet([3, 0, 1, 2, 8, 10, 11]))" == "0-3,8,10-11")
        #expect("\(ProcessorSet([5]))" == "5")
    }
}
