package import BridgeCore
package import JSONTree
import Tokenizers

/// Reads a conversation from a row in one of the common formats.
///
/// - `{"conversation": [{"role", "content"}]}`, as Megatron Bridge's makers write it;
/// - `{"messages" or "conversations": [{"role", "content"} or {"from", "value"}], "images" or "image": …}`, with `<image>`
///   in the texts. The image is where `<image>` is;
/// - a prompt and its answer, see ``CompletionRow``.
///
/// A row's `system` is the system message at the start. In every text `\<image>`, with the backslash, is the text
/// `<image>` and not a placeholder, whether the row has images or not. ``RowKeys`` lists all keys with their effect.
package struct ConversationRow {
    /// The placeholder of an image in a text.
    static let marker = "<image>"
    /// The escape of ``marker`` in a text.
    static let literal = "\\<image>"

    let imageFolder: String
    /// Images of the row that are not assigned to a marker yet.
    var waiting: ArraySlice<ImageSource>
    var images: [ImageSource] = []
    /// The number of image placeholders of the row.
    var places = 0
    var messages: [ChatMessage] = []
    /// For each message whether it is marked as supervised or as not.
    var marks: [Bool?] = []
    /// The calls of tools whose results are still to come.
    var openCalls: [(id: String, name: String?)] = []

    /// More messages than the steps of any chat template reach.
    static let mostMessages = 1 << 17

    /// The fields that a conversation can be in.
    package static let keys = ["conversation", "messages", "conversations"]
    /// The fields without which a row holds no conversation in any form.
    static let forms = keys + CompletionRow.answerKeys
    /// The field with the system message, where it is none of the messages.
    static let systemKey = "system"
    /// The fields that its tools can be in.
    package static let toolKeys = ["tools", "functions"]
    /// The fields that its images can be in.
    static let imageKeys = ["images", "image"]
    /// The fields of media that are not supported.
    static let mediaKeys = ["videos", "video", "audios", "audio"]

    /// The conversation of a row, with the images that it names.
    ///
    /// - Throws: `BridgeError` with one sentence, without file and line.
    package static func conversation(_ json: JSON, imageFolder: String) throws -> Conversation {
        let fields = imageKeys.filter { json[$0].map { !$0.imageList.isEmpty } ?? false }
        guard fields.count <= 1 else { throw wrong("the row has both images and image, expected one of them") }
        let sources = try fields.flatMap {
            try (json[$0] ?? .null).imageList.map { try ImagePaths.source($0, in: imageFolder) }
        }
        return try conversation(json, images: sources, imageFolder: imageFolder)
    }

    /// The conversation of a row whose images are known.
    ///
    /// - Throws: `BridgeError` with one sentence, without file and line.
    static func conversation(_ json: JSON, images sources: [ImageSource], imageFolder: String) throws -> Conversation {
        let json = try CompletionRow.row(json) ?? json
        let keys = keys.filter { json[$0].map { !$0.isNull } ?? false }
        guard json.object != nil, let key = keys.first else {
            if PreferenceRow.isOne(json) {
                throw wrong(
                    "the row is a pair of a chosen and a rejected answer; to train on pairs, set preference.loss_type=dpo, ipo or orpo"
                )
            }
            throw wrong(
                "the row is \(json.object == nil ? json.kind : "an object without a conversation"), "
                    + "expected an object with conversation, messages or conversations, or with prompt and completion"
            )
        }
        guard keys.count == 1 else { throw wrong("the row has both \(keys[0]) and \(keys[1]), expected one of them") }
        guard let list = json[key]?.array, !list.isEmpty else {
            throw wrong(
                "\(key) is \(json[key]?.array == nil ? json[key]?.kind ?? "" : "empty"), expected a list of messages"
            )
        }
        guard list.count <= mostMessages else {
            throw wrong(
                "\(key) is a list of \(list.count) messages, expected at most \(mostMessages); split the row"
            )
        }
        for media in mediaKeys {
            if let value = json[media], !value.imageList.isEmpty {
                throw wrong("the row has \(media), and only text and images are read; remove the row")
            }
        }
        var row = ConversationRow(imageFolder: imageFolder, waiting: sources[...])
        if let system = try system(json, beside: list, in: key) {
            try row.append(["role": "system", "content": .string(system)], mark: nil, at: systemKey)
        }
        let rowMarks = try TurnMarks.marks(of: json, roles: list.map { roleName($0).flatMap { roles[$0]?.role } })
        for (index, message) in list.enumerated() {
            try row.append(message, mark: rowMarks?[index] ?? nil, at: "\(key)[\(index)]")
        }
        guard row.places == sources.count else {
            throw wrong(
                "there \(sources.count == 1 ? "is 1 image" : "are \(sources.count) images") and \(row.places) placeholders "
                    + "for them; write \(marker) once for each image where it belongs, and \(literal) where the text itself "
                    + "is meant"
            )
        }
        return Conversation(
            messages: row.messages,
            images: row.images,
            tools: try tools(json, list, in: key),
            supervised: row.marks.contains(false) ? row.marks.map { $0 ?? true } : nil
        )
    }

    /// The row's tools: its own, or those of a message.
    private static func tools(_ json: JSON, _ list: [JSON], in key: String) throws -> [ChatValue]? {
        var found: [(name: String, tools: [ChatValue])] = []
        let isShareGPT = list.contains { $0["role"]?.nonNull == nil && $0["from"]?.nonNull != nil }
        for name in toolKeys {
            let wraps = isShareGPT || name == "functions"
            if let tools = try ToolSchemas.tools(json[name], in: name, wrapsFunctions: wraps) {
                found.append((name, tools))
            }
        }
        for (index, message) in list.enumerated() {
            let name = "\(key)[\(index)].tools"
            if let tools = try ToolSchemas.tools(message["tools"], in: name), !tools.isEmpty {
                found.append((name, tools))
            }
        }
        let filled = found.filter { !$0.tools.isEmpty }
        if let first = filled.first, let other = filled.first(where: { $0.tools != first.tools }) {
            throw wrong("the row has tools in \(first.name) and others in \(other.name); keep one of them")
        }
        return filled.first?.tools ?? found.first?.tools
    }

    /// The row's own system message; nil where it has none.
    private static func system(_ json: JSON, beside list: [JSON], in key: String) throws -> String? {
        guard let value = json[systemKey]?.nonNull else { return nil }
        guard let text = value.string else { throw wrong("\(systemKey) is \(value.kind), expected a text") }
        // Rows of a table without a system message have an empty text there.
        guard !text.isEmpty else { return nil }
        if let other = list.firstIndex(where: { roleName($0) == "system" }) {
            throw wrong("the row has \(systemKey), and \(key)[\(other)] is a system message too; keep one of them")
        }
        return text
    }

    private init(imageFolder: String, waiting: ArraySlice<ImageSource>) {
        self.imageFolder = imageFolder
        self.waiting = waiting
    }

    static func wrong(_ message: String) -> BridgeError { BridgeError(.corruptInput, message) }
}
