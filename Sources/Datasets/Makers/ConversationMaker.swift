public import BridgeCore
package import JSONTree
import Tokenizers

/// Converts rows of a table to conversations.
///
/// The built-in ones have the prompts of Megatron Bridge 0.7 (`data/vlm_datasets/hf_dataset_makers.py`, for text
/// `data/hf_datasets/makers.py`, both now in `data/sources/hf_adapters.py`).
public struct ConversationMaker: Sendable {
    /// The name, as `dataset.maker_name` has it.
    public let name: String
    /// The hub id of the data set that it is made for; empty for any.
    public let dataset: String
    /// The split of ``dataset`` with its training samples.
    public let split: String
    /// The columns without which it can make nothing, in groups of which it needs one each; empty where it does not say.
    public let columns: [[String]]
    private let make: @Sendable (any DatasetRow) throws -> Conversation

    /// A maker of one's own.
    ///
    /// - Parameters:
    ///   - name: The name.
    ///   - dataset: The hub id of the data set that it is made for; empty for any.
    ///   - split: The split of that data set with its training samples.
    ///   - columns: The columns without which it can make nothing, in groups of which it needs one each.
    ///   - make: The conversation of a row.
    public init(
        name: String,
        dataset: String = "",
        split: String = "train",
        columns: [[String]] = [],
        make: @escaping @Sendable (any DatasetRow) throws -> Conversation
    ) {
        self.name = name
        self.dataset = dataset
        self.split = split
        self.columns = columns
        self.make = make
    }

    /// Whether rows are in the forms that files of conversations have.
    package var readsConversations: Bool { columns == [ConversationRow.forms] }

    /// The conversation of a row.
    ///
    /// - Throws: `BridgeError` with the location of a row that the maker cannot read.
    public func conversation(_ row: any DatasetRow) throws -> Conversation {
        do {
            let found = row.columns
            guard columns.allSatisfy({ $0.contains(where: found.contains) }) else { throw unreadable(found) }
            return try make(row)
        } catch let error as BridgeError {
            throw error.inRow(row.location)
        }
    }

    private func unreadable(_ found: [String]) -> BridgeError {
        let needed = columns.map { $0.joined(separator: " or ") }.joined(separator: ", ")
        return BridgeError(
            .corruptInput,
            "\(name) reads the column\(columns.count == 1 ? "" : "s") \(needed), and the data has "
                + "\(found.isEmpty ? "none" : found.joined(separator: ", ")); name another maker in dataset.maker_name "
                + "(\(Self.listed)), or rename the columns"
        )
    }

    /// The built-in maker of a name, with or without `make_` and `_dataset`; `-` may be written for `_`.
    ///
    /// - Throws: `BridgeError` that lists the names there are.
    public init(named name: String) throws {
        let wanted = Self.otherNames[Self.short(name)] ?? Self.short(name)
        guard let found = Self.builtIn.first(where: { Self.short($0.name) == wanted }) else {
            throw BridgeError(
                .badArgument,
                "there is no maker named \(name), expected \(Self.builtIn.map(\.name).joined(separator: ", "))"
            )
        }
        self = found
    }

    private static func short(_ name: String) -> String {
        var name = name.replacing("-", with: "_")[...]
        if name.hasPrefix("make_") { name = name.dropFirst(5) }
        if name.hasSuffix("_dataset") { name = name.dropLast(8) }
        return String(name)
    }

    /// The short names of the built-in makers, for the help of an option.
    package static var listed: String { builtIn.map { short($0.name) }.joined(separator: ", ") }

    /// Megatron Bridge's names of `make_conversation_dataset`.
    private static let otherNames = ["text_chat": "conversation", "chat": "conversation"]

    /// The maker of a name that stands for its own data set, such as `squad` or `cord-v2`; nil for a path that exists.
    package static func preset(_ name: String) -> ConversationMaker? {
        guard !Files.exists(name), let maker = try? ConversationMaker(named: name), !maker.dataset.isEmpty else {
            return nil
        }
        return maker
    }

    /// The makers that there are.
    ///
    /// `make_conversation_dataset` is for tables that hold conversations already, in the forms that files have; the others
    /// are for one data set each.
    public static let builtIn: [ConversationMaker] = documents + texts

    private static let documents: [ConversationMaker] = [
        ConversationMaker(name: "make_conversation_dataset", columns: [ConversationRow.forms], make: written),
        ConversationMaker(
            name: "make_cord_v2_dataset",
            dataset: "naver-clova-ix/cord-v2",
            columns: [["image"], ["ground_truth"]]
        ) { row in
            let text = try row.text("ground_truth")
            let truth: JSON
            do throws(JSONError) {
                truth = try JSON(parsing: Array(text.utf8))
            } catch {
                throw BridgeError(.corruptInput, "the column ground_truth is not valid JSON: \(error)")
            }
            // The first version of Megatron Bridge took one of several parses by chance, so that no two runs were
            // alike.
            guard let parse = truth["gt_parses"]?.array?.first ?? truth["gt_parse"] else {
                throw BridgeError(.corruptInput, "the column ground_truth has neither gt_parses nor gt_parse")
            }
            return exchange([try row.image("image")], "Describe this image.", answer: json2token(parse))
        },
        ConversationMaker(
            name: "make_medpix_dataset",
            dataset: "mmoukouba/MedPix-VQA",
            columns: [["image_id"], ["question"], ["answer"]]
        ) { row in
            exchange([try row.image("image_id")], try row.text("question"), answer: try row.text("answer"))
        },
        ConversationMaker(
            name: "make_raven_dataset",
            dataset: "HuggingFaceM4/the_cauldron#raven",
            columns: [["images"], ["texts"]]
        ) { row in
            // Megatron Bridge reads the first exchange only, too.
            guard let texts = try row.value("texts"), let first = texts.array?.first,
                let question = first["user"]?.string, let answer = first["assistant"]?.string
            else {
                throw BridgeError(
                    .corruptInput,
                    "the column texts holds no list of objects with user and assistant; the maker needs other columns"
                )
            }
            let images = try row.images("images")
            guard !images.isEmpty else { throw BridgeError(.corruptInput, "the column images is empty") }
            return exchange(images, question, answer: answer)
        },
        ConversationMaker(
            name: "make_rdr_dataset",
            dataset: "quintend/rdr-items",
            columns: [["image"], ["text"]]
        ) { row in
            exchange([try row.image("image")], "Describe this image.", answer: try row.text("text"))
        },
    ]

    /// The conversation that a row holds in one of the forms that files have.
    static let written: @Sendable (any DatasetRow) throws -> Conversation = { row in
        try ConversationRow.conversation(conversationColumns(of: row), images: images(of: row), imageFolder: "")
    }

    /// The images of a row.
    package static func images(of row: any DatasetRow) throws -> [ImageSource] {
        let images = try ConversationRow.imageKeys.map { try row.images($0) }
        guard images.contains(where: \.isEmpty) else {
            throw BridgeError(.corruptInput, "the row has both images and image, expected one of them")
        }
        return images.flatMap(\.self)
    }

    /// The columns of a row that make its pair of answers, images aside.
    package static func preferenceColumns(of row: any DatasetRow) throws -> JSON {
        try conversationColumns(of: row, besides: PreferenceRow.promptKeys + PreferenceRow.answerKeys)
    }

    /// The columns of a row that make its conversation, images aside.
    package static func conversationColumns(of row: any DatasetRow, besides more: [String] = []) throws -> JSON {
        var json = JSONObject()
        let columns = Set(row.columns)
        let keys =
            ConversationRow.forms + CompletionRow.keys + [CompletionRow.instructionKey, ConversationRow.systemKey]
            + ConversationRow.toolKeys
        for key in keys + ConversationRow.mediaKeys + TurnMarks.lists + TurnMarks.prompts + more
        where columns.contains(key) {
            if let value = try row.value(key) { json[key] = value }
        }
        return .object(json)
    }

    /// A question with its images before the text, and the answer.
    static func exchange(_ images: [ImageSource], _ question: String, answer: String) -> Conversation {
        var conversation = Conversation(prompt: question, images: images)
        conversation.messages.append(ChatMessage(role: "assistant", content: answer))
        return conversation
    }
}
