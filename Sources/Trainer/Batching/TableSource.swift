import BridgeCore
public import Datasets
import JSONTree
import Tokenizers

/// Samples made from the rows of a table by a maker.
public struct TableSource: SampleSource {
    private let table: any DatasetTable
    private let maker: ConversationMaker
    private let encoder: SampleEncoder
    private let spans = SpanCache()

    /// A source.
    public init(table: any DatasetTable, maker: ConversationMaker, encoder: SampleEncoder) {
        self.table = table
        self.maker = maker
        self.encoder = encoder
    }

    /// The number of rows.
    public var count: Int { table.count }

    /// The location of a row: its file and its number there.
    public func location(of row: Int) -> String { (try? table.row(at: row).location) ?? "row \(row)" }

    /// The files of the images of a row that are not in the table.
    ///
    /// - Throws: `BridgeError` with the location of a row that cannot be used.
    public func imageFiles(at row: Int) throws -> [String] { try maker.conversation(table.row(at: row)).images.files }

    /// The sample of a row.
    ///
    /// - Throws: `BridgeError` with the location of a row that cannot be used.
    public func sample(at index: Int) throws -> TrainingSample {
        let row = try table.row(at: index)
        let conversation = try maker.conversation(row)
        if maker.readsConversations {
            encoder.notes.add(
                try ConversationMaker.conversationColumns(of: row),
                columns: row.columns,
                trainedRoles: encoder.trainedRoles
            )
        } else if let reasoning = conversation.messages.lazy.flatMap(\.fields)
            .first(where: { RowKeys.reasoning.contains($0.name) })
        {
            encoder.notes.add(["messages": [["role": "assistant", reasoning.name: "…"]]])
        }
        do {
            return try encoder.encode(conversation, row: index, spans)
        } catch let error as BridgeError where error.code != .cancelled {
            throw error.inRow(row.location)
        }
    }
}
