import BridgeCore
import JSONTree
import Tokenizers

/// Reads a conversation from a row in one of the forms in which people keep them.
///
/// - `{"conversation": [{"role", "content"}]}`, as Megatron Bridge's makers write it;
/// - `{"messages" or "conversations": [{"role", "content"} or {"from", "value"}], "images" or "image": …}`, with `<image>`
///   in the texts. The image stands where `<image>` stands.
///
/// A row's `system` is the system message that comes first. In every text `\<image>`, with the backslash, is the text
/// `<image>` and no place for an image, whether the row has images or not.
struct ConversationRow {
    /// What stands in a text for an image.
    static let marker = "<image>"
    /// What stands in a text for the text that ``marker`` is.
    static let literal = "\\<image>"

    private let imageFolder: String
    /// Images of the row that no marker has taken yet.
    private var waiting: ArraySlice<ImageSource>
    private var images: [ImageSource] = []
    /// How many places for images of the row there were.
    private var places = 0

    /// The fields that a conversation can stand in.
    static let keys = ["conversation", "messages", "conversations"]
    /// The field with the system message, where it is none of the messages.
    static let systemKey = "system"
    /// The fields that its images can stand in.
    static let imageKeys = ["images", "image"]

    /// The conversation of a row, with the images that it names.
    ///
    /// - Throws: `BridgeError` with one sentence, without file and line.
    static func conversation(_ json: JSON, imageFolder: String) throws -> Conversation {
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
        let keys = keys.filter { json[$0].map { !$0.isNull } ?? false }
        guard json.object != nil, let key = keys.first else {
            throw wrong(
                "the row is \(json.object == nil ? json.kind : "an object without a conversation"), "
                    + "expected an object with conversation, messages or conversations"
            )
        }
        guard keys.count == 1 else { throw wrong("the row has both \(keys[0]) and \(keys[1]), expected one of them") }
        guard let list = json[key]?.array, !list.isEmpty else {
            throw wrong(
                "\(key) is \(json[key]?.array == nil ? json[key]?.kind ?? "" : "empty"), expected a list of messages"
            )
        }
        for media in ["videos", "video", "audios", "audio"] {
            if let value = json[media], !value.imageList.isEmpty {
                throw wrong("the row has \(media), and only text and images are read; leave the row out")
            }
        }
        var row = ConversationRow(imageFolder: imageFolder, waiting: sources[...])
        var messages: [ChatMessage] = []
        if let system = try system(json, beside: list, in: key) {
            messages.append(try row.message(["role": "system", "content": .string(system)], at: systemKey))
        }
        for (index, message) in list.enumerated() {
            messages.append(try row.message(message, at: "\(key)[\(index)]"))
        }
        guard row.places == sources.count else {
            throw wrong(
                "there \(sources.count == 1 ? "is 1 image" : "are \(sources.count) images") and \(row.places) places "
                    + "for them; write \(marker) once for each image where it belongs, and \(literal) where the text itself "
                    + "is meant"
            )
        }
        let tools = json["tools"]?.array.map { $0.map { ChatValue($0) } }
        return Conversation(messages: messages, images: row.images, tools: tools)
    }

    /// The row's own system message; nil where it has none.
    private static func system(_ json: JSON, beside list: [JSON], in key: String) throws -> String? {
        guard let value = json[systemKey]?.nonNull else { return nil }
        guard let text = value.string else { throw wrong("\(systemKey) is \(value.kind), expected a text") }
        // Rows of a table without a system message have an empty text there.
        guard !text.isEmpty else { return nil }
        if let other = list.firstIndex(where: { ($0["role"] ?? $0["from"])?.string == "system" }) {
            throw wrong("the row has \(systemKey), and \(key)[\(other)] is a system message too; keep one of them")
        }
        return text
    }

    private init(imageFolder: String, waiting: ArraySlice<ImageSource>) {
        self.imageFolder = imageFolder
        self.waiting = waiting
    }

    private static func wrong(_ message: String) -> BridgeError { BridgeError(.corruptInput, message) }

    private mutating func message(_ json: JSON, at place: String) throws -> ChatMessage {
        guard let object = json.object else { throw Self.wrong("\(place) is \(json.kind), expected an object") }
        let name = object["role"] ?? object["from"]
        guard let name = name?.string, let role = Self.roles[name] else {
            let found = name?.string.map { "the role \($0)" } ?? "no role"
            throw Self.wrong("\(place) has \(found), expected \(Self.roles.keys.sorted().joined(separator: ", "))")
        }
        var fields: [ChatValue.Member] = [.init("role", .text(role))]
        let callsTools = role == "assistant" && !(object["tool_calls"]?.array ?? []).isEmpty
        switch object["content"] ?? object["value"] {
        case .string(let text)?: fields.append(.init("content", content(of: text)))
        case .array(let parts)?:
            var values: [ChatValue] = []
            for (index, part) in parts.enumerated() {
                values += try self.part(part, at: "\(place).content[\(index)]")
            }
            fields.append(.init("content", isText(values) ?? .list(values)))
        case nil, .null?:
            guard role == "assistant" else {
                throw Self.wrong("\(place) has no content, expected a text or a list of parts")
            }
        case let other?: throw Self.wrong("\(place) has \(other.kind) as content, expected a text or a list of parts")
        }
        if role == "assistant" { try Self.checkAnswer(fields.last, callsTools: callsTools, at: place) }
        for (key, value) in object where !["role", "from", "content", "value"].contains(key) && !value.isNull {
            fields.append(.init(key, ChatValue(value)))
        }
        do throws(TokenizerError) {
            return try ChatMessage(.object(fields))
        } catch {
            throw Self.wrong("\(place): \(error.message)")
        }
    }

    /// Stops answers that no template can render or nothing can be learnt from.
    private static func checkAnswer(_ content: ChatValue.Member?, callsTools: Bool, at place: String) throws {
        let found: String
        switch content?.name == "content" ? content?.value : nil {
        case .text(let text)?: found = text.isEmpty ? "an empty text" : ""
        case .list(let parts)?:
            guard !parts.contains(where: { $0["type"] == "image" }) else {
                throw wrong(
                    "\(place) is an answer of the assistant with an image in it, and only text can be learnt; move the image "
                        + "to the user's message, or leave the row out"
                )
            }
            found = parts.allSatisfy { $0["text"] == "" } ? "an empty text" : ""
        default: found = "no content"
        }
        guard found.isEmpty || callsTools else {
            throw wrong("\(place) is an answer of the assistant with \(found); write the answer, or leave the row out")
        }
    }

    private static let roles = [
        "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant", "model": "assistant",
        "system": "system", "tool": "tool", "function": "tool", "observation": "tool",
    ]

    /// A text, or its parts where images stand in it.
    private mutating func content(of text: String) -> ChatValue {
        let parts = self.parts(of: text)
        return isText(parts) ?? .list(parts)
    }

    /// The text of parts that are one text: templates that know no parts take it, too.
    private func isText(_ parts: [ChatValue]) -> ChatValue? {
        if parts.isEmpty { return .text("") }
        guard parts.count == 1, parts[0]["type"] == "text", let text = parts[0]["text"], case .text = text else {
            return nil
        }
        return text
    }

    private mutating func parts(of text: String) -> [ChatValue] {
        let (bytes, marker, literal) = (Array(text.utf8), Array(Self.marker.utf8), Array(Self.literal.utf8))
        var piece: [UInt8] = []
        var parts: [ChatValue] = []
        var (start, index) = (0, 0)
        func endPiece(_ range: Range<Int>) {
            piece += bytes[range]
            guard !piece.isEmpty else { return }
            parts.append(["type": "text", "text": .text(String(decoding: piece, as: UTF8.self))])
            piece = []
        }
        while index < bytes.count {
            if bytes[index] == literal[0], bytes[index...].starts(with: literal) {
                piece += bytes[start..<index] + marker
                index += literal.count
                start = index
                continue
            }
            guard bytes[index] == marker[0], bytes[index...].starts(with: marker) else {
                index += 1
                continue
            }
            endPiece(start..<index)
            parts.append(["type": "image"])
            takeWaiting()
            index += marker.count
            start = index
        }
        endPiece(start..<bytes.count)
        return parts
    }

    /// Gives the next image of the row to a place; whether there are as many is looked at in the end.
    private mutating func takeWaiting() {
        places += 1
        if let source = waiting.popFirst() { images.append(source) }
    }

    private mutating func part(_ json: JSON, at place: String) throws -> [ChatValue] {
        switch json["type"]?.string {
        case "text":
            guard let text = json["text"]?.string else { throw Self.wrong("\(place) has no text") }
            return parts(of: text)
        case "image", "image_url":
            // Columns of structures have every field in every part, null where it says nothing.
            func field(_ json: JSON, _ name: String) -> JSON? { json[name]?.nonNull }
            let value = field(json, "image_url") ?? json
            if value.string == nil, ["image", "path", "url", "base64"].allSatisfy({ field(value, $0) == nil }) {
                takeWaiting()
            } else {
                images.append(try ImagePaths.source(field(value, "image") ?? value, in: imageFolder))
            }
            return [["type": "image"]]
        case let type?:
            throw Self.wrong("\(place) is of the type \(type), expected text or image; leave the row out")
        case nil: throw Self.wrong("\(place) has no type, expected text or image")
        }
    }
}
