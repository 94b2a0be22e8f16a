import Communication
import Testing

/// Megatron-Core's rank order, from the example in its `RankGenerator` and `initialize_model_parallel` (0.20).
@Suite struct ParallelLayoutTests {
    /// 16 ranks with TP 2, PP 4 and DP 2: the groups that the doc comment of `initialize_model_parallel` lists.
    @Test func groupsOfSixteenRanks() {
        let layout = ParallelLayout(tensor: 2, data: 2, pipeline: 4)
        #expect(layout.rankCount == 16)
        #expect(layout.ranks(with: 0, along: [.data]) == [0, 2])
        #expect(layout.ranks(with: 1, along: [.data]) == [1, 3])
        #expect(layout.ranks(with: 12, along: [.data]) == [12, 14])
        #expect(layout.ranks(with: 4, along: [.tensor]) == [4, 5])
        #expect(layout.ranks(with: 0, along: [.pipeline]) == [0, 4, 8, 12])
        #expect(layout.ranks(with: 7, along: [.pipeline]) == [3, 7, 11, 15])
        #expect(layout.ranks(with: 0, along: [.tensor, .pipeline]) == [0, 1, 4, 5, 8, 9, 12, 13])
    }

    @Test func contextIsBetweenTensorAndData() {
        let layout = ParallelLayout(tensor: 2, context: 2, data: 2, pipeline: 1)
        #expect(layout.ranks(with: 0, along: [.context]) == [0, 2])
        #expect(layout.ranks(with: 0, along: [.data]) == [0, 4])
        #expect(layout.ranks(with: 5, along: [.context, .data]) == [1, 3, 5, 7])
    }

    /// The definition: ranks with the same positions along all other axes, in ascending order.
    @Test(arguments: [
        ParallelLayout(tensor: 2, context: 3, data: 2, pipeline: 5), ParallelLayout(tensor: 3, data: 4, pipeline: 2),
        ParallelLayout(context: 4, pipeline: 3), ParallelLayout(),
    ])
    func groupsHaveAllRanksThatDifferAlongTheirAxesOnly(_ layout: ParallelLayout) {
        let all = ParallelLayout.Axis.allCases
        for subset in 0..<1 << all.count {
            let axes = all.indices.filter { subset >> $0 & 1 == 1 }.map { all[$0] }
            let fixed = all.filter { !axes.contains($0) }
            for rank in 0..<layout.rankCount {
                let expected = (0..<layout.rankCount).filter { other in
                    fixed.allSatisfy { layout.position(of: other, along: $0) == layout.position(of: rank, along: $0) }
                }
                #expect(layout.ranks(with: rank, along: axes.reversed()) == expected)
            }
        }
    }
}
