import Foundation
import JSONTree
import TestSupport
import Testing

/// `bridge selftest collectives`: the table, not its times.
@Suite struct CollectiveCommandTests {
    @Test func everyCollectiveOfEverySizeIsMeasured() throws {
        // 3001 bytes are not a number of float32 values for each rank, so they are rounded up.
        let sizes = ["--bytes", "4096", "--bytes", "3001", "--rounds", "2"]
        let outcome = try BridgeProcess(
            ["selftest", "collectives", "--nproc-per-node", "2", "--json"] + sizes
        ).wait()
        try #require(outcome.status == 0, "\(outcome.errors)")
        let json = try JSON(parsing: Array(outcome.output.utf8))
        #expect(json["ranks"] == 2)
        let lines = try #require(json["collectives"]?.array)
        #expect(
            lines.map { $0["bytes"]?.integer } == [Int](repeating: 4096, count: 6) + [Int](repeating: 3008, count: 6)
        )
        let names = ["copy", "all-reduce", "reduce-scatter", "all-gather", "broadcast", "send and receive"]
        #expect(lines.map { $0["name"]?.string } == names + names)
        #expect(lines.allSatisfy { ($0["seconds"]?.double ?? 0) > 0 && ($0["bytes_per_second"]?.double ?? 0) > 0 })
    }

    @Test func oneRankHasNobodyToExchangeWith() throws {
        let outcome = try BridgeProcess(["selftest", "collectives"]).wait()
        expect(outcome, failsWith: 64, mentioning: "there is one rank", "--nproc-per-node 2")
    }
}
