import BridgeCore
public import Imaging

/// Samples in rows of one length: plain values, made outside of the step.
public struct CollatedBatch: Sendable, Equatable {
    /// The token ids: B x T.
    public private(set) var tokens: [Int32] = []
    /// For each token the next token of its sample if that is supervised, otherwise -100: B x T.
    public private(set) var targets: [Int32] = []
    /// The position of each token in its sample, 0 for padding: B x T.
    public private(set) var positions: [Int32] = []
    /// Whether each token is not padding, B x T; nil without padding.
    public private(set) var isPresent: [Bool]?
    /// The index of each token's sample in its row, -1 for padding, B x T; nil without packed rows.
    public private(set) var segments: [Int32]?
    /// For each target whether it is a token of the answer that is compared, where the prompt has targets too, B x T; nil for all.
    public private(set) var answer: [Bool]?
    /// The images, in the order of their image tokens.
    public private(set) var images: [PixelPlanes] = []
    /// B.
    public let batch: Int
    /// T.
    public let length: Int
    /// The number of supervised targets.
    public private(set) var supervisedCount = 0

    /// The options of collation.
    public struct Options: Sendable, Equatable {
        /// The padding token.
        public var paddingToken: Int32 = 0
        /// Rows are padded to a multiple of this number of tokens.
        public var padToMultipleOf = 1
        /// The maximum length of a packed row; nil for one sample per row.
        public var packedLength: Int?

        /// One sample per row, padded to the longest.
        public init() {}
    }

    /// Collates samples in rows, padded on the right.
    ///
    /// With `packedLength` each sample is packed into the first row with enough room, in the order of the samples.
    ///
    /// - Throws: `BridgeError` when there is no sample, one is empty or longer than a packed row, or labels and tokens are
    ///   differ in number.
    public init(_ samples: [TrainingSample], options: Options = Options()) throws {
        let rows = try Self.rows(samples.map(\.tokens.count), packedLength: options.packedLength)
        try self.init(samples, rows: rows, options)
    }

    /// Collates samples that were divided into rows before.
    ///
    /// - Parameters:
    ///   - rows: The samples of each row.
    ///   - options: The options; `packedLength` has no effect.
    /// - Throws: As ``init(_:options:)``.
    init(packed rows: [[TrainingSample]], options: Options) throws {
        var first = 0
        let indices = rows.map { row in
            defer { first += row.count }
            return Array(first..<first + row.count)
        }
        try self.init(rows.flatMap(\.self), rows: indices, options)
    }

    private init(_ samples: [TrainingSample], rows: [[Int]], _ options: Options) throws {
        guard !samples.isEmpty, options.padToMultipleOf > 0 else {
            throw BridgeError(
                .badArgument,
                "the batch has \(samples.count) samples and dataset.pad_to_multiple_of is \(options.padToMultipleOf), expected at least 1 of both"
            )
        }
        for sample in samples where sample.tokens.isEmpty || sample.labels.count != sample.tokens.count {
            throw BridgeError(
                .corruptInput,
                "a sample has \(sample.tokens.count) tokens and \(sample.labels.count) labels, expected one label per token and at least one token"
            )
        }
        let longest = rows.map { $0.reduce(0) { $0 + samples[$1].tokens.count } }.max() ?? 0
        let (rounded, overflow) = longest.addingReportingOverflow(options.padToMultipleOf - 1)
        guard !overflow, rounded <= 1 << 24 else {
            throw BridgeError(
                .badArgument,
                "dataset.pad_to_multiple_of is \(options.padToMultipleOf), which is too large for a row; set a smaller one"
            )
        }
        batch = rows.count
        length = rounded / options.padToMultipleOf * options.padToMultipleOf
        let isPadded = rows.contains { $0.reduce(0) { $0 + samples[$1].tokens.count } < length }
        if isPadded { isPresent = [] }
        if rows.contains(where: { $0.count > 1 }) { segments = [] }
        if samples.contains(where: { $0.answer != nil }) { answer = [] }
        for row in rows {
            for (segment, index) in row.enumerated() { append(samples[index], segment: Int32(segment)) }
            pad(to: length, count: row.reduce(0) { $0 + samples[$1].tokens.count }, options.paddingToken)
        }
    }

    /// The samples of each row.
    private static func rows(_ counts: [Int], packedLength: Int?) throws -> [[Int]] {
        guard let packedLength else { return counts.indices.map { [$0] } }
        var rows: [(samples: [Int], room: Int)] = []
        for (index, count) in counts.enumerated() {
            guard count <= packedLength else {
                throw BridgeError(
                    .corruptInput,
                    "a sample has \(count) tokens, but a packed row has at most \(packedLength); raise dataset.seq_length"
                )
            }
            if let row = rows.firstIndex(where: { $0.room >= count }) {
                rows[row].samples.append(index)
                rows[row].room -= count
            } else {
                rows.append(([index], packedLength - count))
            }
        }
        return rows.map(\.samples)
    }

    private mutating func append(_ sample: TrainingSample, segment: Int32) {
        let count = sample.tokens.count
        tokens += sample.tokens
        let shifted = sample.labels.dropFirst() + [TrainingSample.ignoredLabel]
        targets += shifted
        supervisedCount += shifted.count { $0 != TrainingSample.ignoredLabel }
        answer?.append(contentsOf: (sample.answer ?? Array(repeating: true, count: count)).dropFirst() + [false])
        positions += (0..<count).map { Int32($0) }
        isPresent?.append(contentsOf: repeatElement(true, count: count))
        segments?.append(contentsOf: repeatElement(segment, count: count))
        images += sample.images
    }

    private mutating func pad(to length: Int, count: Int, _ token: Int32) {
        let missing = length - count
        tokens += repeatElement(token, count: missing)
        targets += repeatElement(TrainingSample.ignoredLabel, count: missing)
        answer?.append(contentsOf: repeatElement(false, count: missing))
        positions += repeatElement(0, count: missing)
        isPresent?.append(contentsOf: repeatElement(false, count: missing))
        segments?.append(contentsOf: repeatElement(-1, count: missing))
    }
}
