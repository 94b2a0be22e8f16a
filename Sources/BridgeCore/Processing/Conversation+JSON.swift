import BridgeSupport
public import JSONTree
import JinjaTemplates
import Tokenizers

extension Conversation {
    /// Reads a conversation from a file with JSON.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - images: Images for the parts that name none.
    /// - Throws: `BridgeError` with the position in the file.
    public init(contentsOf path: String, images: [ImageSource] = []) throws {
        var bytes = try Files.contents(of: path, limit: 256 << 20)
        // A byte order mark does not belong to the JSON.
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes.removeFirst(3) }
        try self.init(json: JSON(parsing: bytes, named: path), name: path, images: images)
    }

    /// Reads a list of messages, or an object with `messages` and perhaps `tools`, as transformers and OpenAI write them.
    ///
    /// The content of a message is a text, or a list of parts: `{"type": "text", "text"}`, `{"type": "image"}` with `path`,
    /// `url`, `image` or `base64`, or `{"type": "image_url", "image_url": {"url"}}`. Everything else that a message or a part
    /// holds is left for the chat template to see.
    ///
    /// - Parameters:
    ///   - json: The messages.
    ///   - name: Where they come from, for messages of errors.
    ///   - images: Images for the parts that name none, in their order.
    /// - Throws: `BridgeError` with the position.
    public init(json: JSON, name: String, images: [ImageSource] = []) throws {
        var reader = ConversationReader(name: name, given: images)
        let list = try reader.messages(json)
        var messages: [ChatMessage] = []
        for (index, message) in list.enumerated() {
            messages.append(try reader.message(message, at: "messages[\(index)]"))
        }
        guard reader.given.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(name) has \(images.count - reader.given.count) parts for the \(images.count) images that were given with it; "
                    + "add {\"type\": \"image\"} where an image belongs"
            )
        }
        self.init(
            messages: messages,
            images: reader.images,
            tools: try ToolSchemas.tools(json["tools"], in: "\(name): tools")
        )
        unreadKeys = (json.object?.keys.filter { !["messages", "tools"].contains($0) } ?? []) + reader.unreadKeys
    }
}

/// Reads messages and collects their images.
private struct ConversationReader {
    let name: String
    /// Images for parts that do not name one.
    var given: [ImageSource]
    var images: [ImageSource] = []
    /// Keys of parts that neither the reader nor the chat template sees, each once.
    var unreadKeys: [String] = []

    init(name: String, given: [ImageSource]) {
        self.name = name
        self.given = given
    }

    func wrong(_ location: String, _ what: String) -> BridgeError {
        BridgeError(.corruptInput, "\(name): \(location) \(what)")
    }

    func messages(_ json: JSON) throws -> [JSON] {
        let list = json.array ?? json["messages"]?.array
        guard let list else {
            let found = json.object == nil ? json.kind : "an object without a list of messages"
            throw BridgeError(.corruptInput, "\(name) is \(found), expected a list of messages or an object with one")
        }
        guard !list.isEmpty else { throw BridgeError(.corruptInput, "\(name) has no messages, expected at least one") }
        return list
    }

    mutating func message(_ json: JSON, at location: String) throws -> ChatMessage {
        guard var message = json.object else { throw wrong(location, "is \(json.kind), expected an object") }
        guard message["role"]?.string != nil else {
            throw wrong(location, "has no role, expected one such as \"user\"")
        }
        switch message["content"] {
        case nil, .null, .string: break
        case .array(let parts):
            var read: [JSON] = []
            for (index, part) in parts.enumerated() {
                read.append(try self.part(part, at: "\(location).content[\(index)]"))
            }
            message["content"] = .array(read)
        case .some(let other):
            throw wrong("\(location).content", "is \(other.kind), expected a string or a list of parts")
        }
        if message["tool_calls"]?.string != nil {
            message["tool_calls"] = .array(
                try ToolSchemas.calls(message["tool_calls"], in: "\(name): \(location).tool_calls")
            )
        }
        do throws(TemplateError) {
            return try ChatMessage(ChatValue(.object(message)))
        } catch {
            throw wrong(location, error.message)
        }
    }

    /// A part as templates know it; an image's source is put aside.
    private mutating func part(_ json: JSON, at location: String) throws -> JSON {
        guard json.object != nil else { throw wrong(location, "is \(json.kind), expected an object with a type") }
        switch json["type"]?.string {
        case nil: throw wrong(location, "has no type, expected \"text\", \"image\" or \"image_url\"")
        case "text":
            guard json["text"]?.string != nil else { throw wrong(location, "has no text") }
            return json
        case "image":
            images.append(try image(json, at: location))
            return json
        case "image_url":
            let value = json["image_url"]
            guard let url = value?.string ?? value?["url"]?.string else {
                throw wrong("\(location).image_url", "has no url")
            }
            images.append(try source(url, at: "\(location).image_url"))
            for (key, value) in value?.object ?? JSONObject() where key != "url" && !value.isNull {
                let path = "messages[].content[].image_url.\(key)"
                if !unreadKeys.contains(path) { unreadKeys.append(path) }
            }
            var part = JSONObject([("type", "image"), ("url", .string(url))])
            for (key, value) in json.object ?? JSONObject() where !["type", "image_url", "url"].contains(key) {
                part[key] = value
            }
            return .object(part)
        case "video", "audio", "input_audio", "video_url", "audio_url":
            throw wrong(location, "is \(json["type"]?.string ?? ""), expected text or images")
        default: return json
        }
    }

    private mutating func image(_ json: JSON, at location: String) throws -> ImageSource {
        let keys = ["image", "url", "path", "base64"].filter { json[$0].map { !$0.isNull } ?? false }
        guard keys.count <= 1 else {
            throw wrong(location, "names its image \(keys.count) times, as \(keys.joined(separator: " and "))")
        }
        guard let key = keys.first else {
            guard !given.isEmpty else {
                throw wrong(location, "names no image; give it a path or a url, or one more image with the messages")
            }
            return given.removeFirst()
        }
        guard let text = json[key]?.string else {
            throw wrong("\(location).\(key)", "is \(json[key]?.kind ?? "nothing"), expected a string")
        }
        return key == "base64"
            ? try ImageSource(base64: text, name: "\(name): \(location).base64")
            : try source(text, at: "\(location).\(key)")
    }

    private func source(_ text: String, at location: String) throws -> ImageSource {
        do {
            return try ImageSource(text)
        } catch let error as BridgeError {
            throw error.prefixed(by: "\(name): \(location)")
        }
    }
}
