public import BridgeCore
import TorchFiles

/// Rows of packed samples in a file of NeMo or Megatron Bridge, `.npy`: each sample attends to itself only, as there.
///
/// The mask of the loss is that of the next token in the file; here a label is at the position of its token. The tokens are those of the
/// tokenizer that packed them.
public struct PackedFileSource: SampleSource {
    private let path: String
    private let rows: [PackedSequences.Row]

    /// Whether a path has the ending of such a file.
    public static func isOne(_ path: String) -> Bool { path.hasSuffix(".npy") }

    /// Reads a file.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - processor: The processor of the model, which has the vocabulary.
    /// - Throws: `BridgeError` for a file that is damaged or something else, and for tokens that the model does not have.
    public init(path: String, processor: any ModelProcessor) throws {
        rows = try PackedSequences(path: path).rows
        self.path = path
        let vocabulary = processor.decoder.vocabSize
        for (number, row) in rows.enumerated() {
            if let token = row.tokens.first(where: { $0 >= vocabulary }) {
                throw BridgeError(
                    .corruptInput,
                    "\(path), row \(number): the token \(token) is not below \(vocabulary); pack the data with the tokenizer of the model"
                )
            }
            if let image = processor.imageTokens?.featureID, row.tokens.contains(where: { Int($0) == image }) {
                throw BridgeError(
                    .corruptInput,
                    "\(path), row \(number): there are image tokens, and such files have no images; use conversations with images"
                )
            }
        }
    }

    /// Whether the samples of a row share a row of a micro-batch.
    public var isPacked: Bool { true }
    /// The number of rows.
    public var count: Int { rows.count }
    /// The location of a row: the file and its number.
    public func location(of row: Int) -> String { "\(path), row \(row)" }

    /// The first sample of a row.
    ///
    /// - Throws: `BridgeError` for a row that does not exist.
    public func sample(at row: Int) throws -> TrainingSample { try samples(at: row)[0] }

    /// The samples of a row.
    ///
    /// - Throws: `BridgeError` for a row that does not exist.
    public func samples(at index: Int) throws -> [TrainingSample] {
        guard rows.indices.contains(index) else {
            throw BridgeError(.badArgument, "\(path) has \(count) rows and no row \(index); rows are counted from 0")
        }
        let row = rows[index]
        return zip(row.starts, row.starts.dropFirst() + [row.tokens.count]).map { start, end in
            let labels = (start..<end).map { position in
                position > start && row.lossMask[position - 1] ? row.tokens[position] : TrainingSample.ignoredLabel
            }
            return TrainingSample(tokens: Array(row.tokens[start..<end]), labels: labels)
        }
    }

    /// The number of tokens of each sample of a row.
    ///
    /// - Throws: `BridgeError` for a row that does not exist.
    public func lengths(at row: Int) throws -> [Int] { try samples(at: row).map(\.tokens.count) }
}
