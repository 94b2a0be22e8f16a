import BridgeCore
import Datasets
import JSONTree

/// Pairs of answers: each row gives two samples, that of the chosen answer and that of the rejected one.
///
/// Only the answers are supervised. Where the loss also has the prompt, its tokens have labels, and the samples mark the answers.
struct PreferenceSource: SampleSource {
    /// Where the rows come from.
    enum Rows: Sendable {
        /// Conversations of a file.
        case file(RowFile, imageFolder: String)
        /// Token ids of a file.
        case tokens(TokenizedSource)
        /// A table with columns of those names.
        case table(any DatasetTable)
    }

    private let rows: Rows
    private let encoder: SampleEncoder
    private let answers: SampleEncoder
    private let spans = (0..<4).map { _ in SpanCache() }

    /// Pairs.
    ///
    /// - Parameters:
    ///   - rows: The rows.
    ///   - encoder: Converts conversations to samples.
    init(_ rows: Rows, encoder: SampleEncoder) {
        self.rows = rows
        self.encoder = encoder
        answers = encoder.with(lossMode: .assistant)
    }

    var count: Int {
        switch rows {
        case .file(let file, _): file.count
        case .tokens(let source): source.count
        case .table(let table): table.count
        }
    }

    func location(of row: Int) -> String {
        switch rows {
        case .file(let file, _): file.name(of: row)
        case .tokens(let source): source.location(of: row)
        case .table(let table): (try? table.row(at: row).location) ?? "row \(row)"
        }
    }

    /// The sample of the chosen answer.
    func sample(at row: Int) throws -> TrainingSample { try samples(at: row)[0] }

    func samples(at row: Int) throws -> [TrainingSample] {
        switch rows {
        case .file(let file, let imageFolder):
            let json = try file.json(at: row)
            return try file.about(row) {
                let pair = try PreferenceRow(json)
                encoder.notes.add(pair.keys, ofPairs: true)
                return try encode(pair.conversations(imageFolder: imageFolder), row)
            }
        case .tokens(let source): return try source.pair(at: row, trainsPrompt: encoder.lossMode == .full)
        case .table(let table):
            let entry = try table.row(at: row)
            do {
                let pair = try PreferenceRow(ConversationMaker.preferenceColumns(of: entry))
                encoder.notes.add(pair.keys, columns: entry.columns, ofPairs: true)
                let images = try ConversationMaker.images(of: entry)
                return try encode(pair.conversations(images: images, imageFolder: ""), row)
            } catch let error as BridgeError where error.code != .cancelled { throw error.inRow(entry.location) }
        }
    }

    func imageFiles(at row: Int) throws -> [String] {
        switch rows {
        case .file(let file, let imageFolder):
            let json = try file.json(at: row)
            return try file.about(row) {
                let pair = try PreferenceRow(json).conversations(imageFolder: imageFolder)
                return (pair.chosen.images + pair.rejected.images).files
            }
        case .tokens(let source): return try source.imageFiles(at: row)
        case .table(let table): return try ConversationMaker.images(of: table.row(at: row)).files
        }
    }

    private func encode(_ pair: (chosen: Conversation, rejected: Conversation), _ row: Int) throws -> [TrainingSample] {
        try [pair.chosen, pair.rejected].enumerated().map { index, conversation in
            let answer = try answers.encode(conversation, row: row, spans[index])
            guard encoder.lossMode == .full else { return answer }
            var all = conversation
            all.supervised = nil
            var sample = try encoder.encode(all, row: row, spans[2 + index])
            sample.answer = answer.labels.map { $0 != TrainingSample.ignoredLabel }
            return sample
        }
    }
}
