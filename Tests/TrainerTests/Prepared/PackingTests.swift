import BridgeCore
import TestSupport
import Testing

@testable import Trainer

/// Samples that are packed into rows before a run.
@Suite struct PackingTests {
    /// First fit as it is defined: each sample goes into the first row with enough room.
    private static func reference(_ order: [Int], _ lengths: [Int], _ size: Int) -> [[Int]] {
        var rows: [(samples: [Int], room: Int)] = []
        for sample in order {
            let row = rows.firstIndex { $0.room >= lengths[sample] }
            if let row {
                rows[row].samples.append(sample)
                rows[row].room -= lengths[sample]
            } else {
                rows.append(([sample], size - lengths[sample]))
            }
        }
        return rows.map(\.samples)
    }

    @Test(arguments: [1, 2, 3, 7, 64, 65, 500])
    func eachSampleIsInTheFirstRowWithRoom(_ count: Int) {
        var state: UInt32 = UInt32(count)
        for size in [10, 33, 100] {
            let lengths = (0..<count).map { _ in
                state = state &* 1_664_525 &+ 1_013_904_223
                return 1 + Int(state >> 16) % size
            }
            let order = lengths.indices.sorted { (lengths[$0] * 7919 % 101, $0) < (lengths[$1] * 7919 % 101, $1) }
            for order in [order, Array(lengths.indices)] {
                #expect(FirstFit(order, lengths: lengths, size: size).rows == Self.reference(order, lengths, size))
            }
        }
    }

    /// A source of samples of given lengths, whose first token is their number.
    private struct Numbers: SampleSource {
        let lengths: [Int]
        var count: Int { lengths.count }
        func sample(at row: Int) throws -> TrainingSample {
            let tokens = [Int32(row)] + Array(repeating: 7, count: lengths[row] - 1)
            return TrainingSample(tokens: tokens, labels: tokens)
        }
    }

    private static func section(_ size: Int, _ algorithm: Recipe.DatasetSection.Packing) -> Recipe.DatasetSection {
        var section = Recipe.DatasetSection()
        (section.packedSequenceSize, section.packingAlgorithm, section.seqLength) = (size, algorithm, size)
        return section
    }

    private static let lengths = [5, 9, 3, 3, 12, 1, 7, 7, 2, 6]

    private func packed(_ section: Recipe.DatasetSection, seed: UInt64 = 3) throws -> [[Int32]] {
        let source = try PackedSource(Numbers(lengths: Self.lengths), named: "rows", section, seed: seed)
        return try (0..<source.count).map { try source.samples(at: $0).map { $0.tokens[0] } }
    }

    @Test func theLongestFirstGivesTheRowsOfFirstFitDecreasing() throws {
        // 12 | 9 3 | 7 5 | 7 3 2 | 6 1, by hand.
        let rows = try packed(Self.section(12, .firstFitDecreasing))
        #expect(rows == [[4], [1, 2], [6, 0], [7, 3, 8], [9, 5]])
        let source = try PackedSource(
            Numbers(lengths: Self.lengths),
            named: "rows",
            Self.section(12, .firstFitDecreasing),
            seed: 0
        )
        // 55 tokens in 5 rows of 12.
        #expect(
            source.note
                == "rows: 10 samples packed into 5 rows of 12 tokens, 91.7 % filled, at most 3 samples in a row"
        )
        #expect(source.location(of: 3) == "row 7; row 3; row 8")
    }

    @Test func aRandomOrderFollowsFromTheSeed() throws {
        let section = Self.section(12, .firstFitShuffle)
        let rows = try packed(section)
        #expect(try packed(section) == rows)
        #expect(try packed(section, seed: 4) != rows)
        #expect(rows.flatMap(\.self).sorted() == Array(0..<10))
        for row in rows { #expect(row.reduce(0) { $0 + Self.lengths[Int($1)] } <= 12) }
    }

    @Test func samplesThatAreTruncatedCountWithTheirTruncatedLength() throws {
        var section = Self.section(12, .firstFitDecreasing)
        section.seqLength = 4
        let source = try PackedSource(Numbers(lengths: Self.lengths), named: "rows", section, seed: 0)
        // 4 4 4 | 4 4 4 | 3 3 2 1
        #expect(source.count == 3 && source.tokenCount == 33)
        section.seqLength = 13
        expectError(mentioning: "dataset.packed_sequence_size is 12, less than dataset.seq_length, which is 13") {
            try PackedSource(Numbers(lengths: [1]), named: "rows", section, seed: 0)
        }
    }

    /// Rows of a micro-batch are those that were packed, also where a sample would fit into an earlier one.
    @Test func aMicroBatchHasTheRowsThatWerePacked() throws {
        let section = Self.section(12, .firstFitDecreasing)
        let source = try PackedSource(Numbers(lengths: Self.lengths), named: "rows", section, seed: 0)
        var options = CollatedBatch.Options()
        options.paddingToken = 99
        let collator = try BatchCollator(
            source: source,
            order: EpochSampler(count: source.count, shuffles: false, seed: 0),
            fitter: SampleTruncation(seqLength: 12, imageTokenID: nil),
            options: options
        )
        let prepared = try collator.prepare(from: 3, count: 2)
        #expect(prepared.batch.batch == 2 && prepared.batch.length == 12 && prepared.consumed == 5)
        #expect(prepared.statistics.sampleCount == 5)
        #expect(
            prepared.batch.tokens == [7, 7, 7, 7, 7, 7, 7, 3, 7, 7, 8, 7] + [9, 7, 7, 7, 7, 7, 5, 99, 99, 99, 99, 99]
        )
        #expect(
            prepared.batch.segments == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2] + [0, 0, 0, 0, 0, 0, 1] + [
                -1, -1, -1, -1, -1,
            ]
        )
        #expect(
            prepared.batch.positions == [0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 0, 1] + [0, 1, 2, 3, 4, 5, 0] + [0, 0, 0, 0, 0]
        )
        // The last token of a sample predicts nothing.
        #expect(prepared.batch.targets[6] == -100 && prepared.batch.targets[9] == -100)
        #expect(prepared.batch.supervisedCount == 6 + 2 + 1 + 5)
    }
}
