import BridgeSupport
import ModelSchema
public import TensorRuntime

/// Continues many prompts, several at a time.
///
/// The sequences of a batch go through the model together, so that its weights are read once for all of them. Each has its
/// own cache, as long as it is, so that there is no padding; the next prompt takes the slot of a sequence that has ended, and is
/// computed with the next tokens of the others.
public final class BatchGenerator {
    /// A prompt, and how it is continued.
    public struct Request: Sendable {
        /// The tokens of the prompt.
        public var tokens: [Int32]
        /// Pixel values for all its image tokens.
        public var images: [Tensor]
        /// When to stop, and how to choose.
        public var options: Generator.Options

        /// A request.
        public init(tokens: [Int32], images: [Tensor] = [], options: Generator.Options) {
            (self.tokens, self.images, self.options) = (tokens, images, options)
        }
    }

    /// What was computed.
    public struct Totals: Sendable, Equatable {
        /// The number of prompts.
        public var prompts = 0
        /// The tokens of all prompts.
        public var promptTokens = 0
        /// The tokens that were generated, ending ones included.
        public var tokens = 0
        /// The passes through the model.
        public var passes = 0

        /// Nothing yet.
        public init() {}
    }

    /// A sequence of the batch.
    private struct Row {
        /// The number of its prompt.
        let number: Int
        let cache: KVCache
        var text: Continuation
        /// The tokens that the cache does not have yet.
        var next: [Int32]
    }

    private let model: any CausalModel
    private let batchSize: Int
    private var rows: [Row] = []
    private var totals = Totals()

    /// Up to this many tokens prompts join a pass of the others; a longer prompt fills a pass of its own.
    private static let longestJoining = 512
    /// There is memory for this many new tokens at first.
    private static let expectedTokens = 256

    /// A generator.
    ///
    /// - Parameters:
    ///   - model: The model.
    ///   - batchSize: The most sequences at a time.
    public init(_ model: any CausalModel, batchSize: Int) {
        self.model = model
        self.batchSize = max(1, batchSize)
    }

    /// Validates a prompt before others are continued.
    ///
    /// - Parameters:
    ///   - tokens: The tokens of the prompt.
    ///   - options: When to stop, and how to choose.
    ///   - limit: The most tokens that the model takes.
    /// - Throws: `BridgeError` for what ``run(_:visit:finish:)`` would refuse.
    public static func check(_ tokens: [Int32], options: Generator.Options, limit: Int) throws {
        _ = try Continuation(of: tokens, options: options, limit: limit, start: ContinuousClock.now)
    }

    /// Continues prompts.
    ///
    /// Prompts are numbered from 0 on, in the order in which they are taken. The number is also the stream of random values for
    /// sampling, so that what is drawn for a prompt depends on the seed and its number, not on the batch.
    ///
    /// - Parameters:
    ///   - next: Returns the next prompt; nil after the last one. It is called when there is room in the batch.
    ///   - visit: Called with every token of a sequence, the ending one too; returns whether to continue it.
    ///   - finish: Called after the last token of a sequence.
    /// - Returns: What was computed.
    /// - Throws: `BridgeError` for a prompt that does not fit the model, and for logits that are not finite; what the functions
    ///   throw.
    public func run(
        _ next: () throws -> Request?,
        visit: (Int, Generator.Step) throws -> Bool,
        finish: (Int) throws -> Void
    ) throws -> Totals {
        (rows, totals) = ([], Totals())
        defer { rows = [] }
        var isOpen = true
        while true {
            var joining = 0
            while isOpen, rows.count < batchSize, joining <= Self.longestJoining {
                guard let request = try next() else {
                    isOpen = false
                    break
                }
                joining += try add(request, visit, finish)
            }
            guard !rows.isEmpty else {
                if isOpen { continue }
                return totals
            }
            let logits = try model.logits(afterNext: rows.map { SequencePart(tokens: $0.next, cache: $0.cache) })
                .floats()
            try take(logits, of: 0..<rows.count, visit, finish)
        }
    }

    /// Adds a prompt to the batch; returns how many of its tokens wait for the next pass.
    private func add(
        _ request: Request,
        _ visit: (Int, Generator.Step) throws -> Bool,
        _ finish: (Int) throws -> Void
    ) throws -> Int {
        let (tokens, limit) = (request.tokens, model.decoder.configuration.seqLength)
        let number = totals.prompts
        let text = try Continuation(
            of: tokens,
            options: request.options,
            limit: limit,
            stream: UInt64(number),
            start: ContinuousClock.now
        )
        totals.prompts += 1
        totals.promptTokens += tokens.count
        guard !text.isComplete else {
            try finish(number)
            return 0
        }
        // Memory for more is added where a text becomes long.
        let expected = min(request.options.maxNewTokens, Self.expectedTokens)
        let cache = model.makeCache(capacity: min(limit, tokens.count + expected))
        rows.append(Row(number: number, cache: cache, text: text, next: tokens))
        let hasImages = !request.images.isEmpty || model.imageTokenID.map { tokens.contains(Int32($0)) } ?? false
        guard hasImages || tokens.count > Self.longestJoining else { return tokens.count }
        // Images are computed with their prompt alone.
        let batch = TokenBatch(tokens: tokens, images: request.images)
        let logits = try model.forward(batch, cache: cache, last: 1).logits.floats()
        try take(logits, of: rows.count - 1..<rows.count, visit, finish)
        return 0
    }

    /// Chooses the next token of some rows, and removes those that end.
    private func take(
        _ logits: [Float],
        of range: Range<Int>,
        _ visit: (Int, Generator.Step) throws -> Bool,
        _ finish: (Int) throws -> Void
    ) throws {
        totals.passes += 1
        let width = logits.count / range.count
        var continues: [Bool] = []
        for (index, row) in range.enumerated() {
            let step = try rows[row].text.choose(from: Array(logits[index * width..<(index + 1) * width]))
            rows[row].next = [step.token]
            totals.tokens += 1
            continues.append(try visit(rows[row].number, step) && rows[row].text.isInTime)
        }
        let agreed = try model.onAllRanks(continues)
        var kept: [Row] = []
        for (row, continues) in zip(rows[range], agreed) {
            if continues, !row.text.isComplete { kept.append(row) } else { try finish(row.number) }
        }
        rows.replaceSubrange(range, with: kept)
    }
}
