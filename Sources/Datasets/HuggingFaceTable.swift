public import BridgeCore

/// The rows of a split of a Hugging Face data set, as makers of conversations see them.
public struct HuggingFaceTable: DatasetTable {
    private let dataset: HuggingFaceDataset

    /// Opens a split.
    ///
    /// - Parameters:
    ///   - name: A directory or a hub id, with `#configuration` after it if there are several.
    ///   - split: The split.
    ///   - hub: Where ids lead to; nil where only directories count.
    /// - Throws: `BridgeError` when there is no such data set, configuration or split, or it cannot be downloaded.
    public init(_ name: String, split: String, hub: Hub?) throws {
        let parts = name.split(separator: "#", maxSplits: 1).map(String.init)
        dataset = try HuggingFaceDataset(
            parts.first ?? name,
            config: parts.count > 1 ? parts[1] : nil,
            split: split,
            hub: hub
        )
    }

    /// The number of rows.
    public var count: Int { dataset.count }

    /// The files of the split, in their order.
    public var files: [String] { dataset.files }

    /// A row, all its columns.
    public func row(at index: Int) throws -> any DatasetRow { try dataset.row(at: index) }
}
