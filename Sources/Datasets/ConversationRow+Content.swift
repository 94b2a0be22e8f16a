import BridgeCore
import JSONTree
import Tokenizers

/// The contents of messages: texts with image placeholders, and parts.
extension ConversationRow {
    /// A text, or its parts where images are in it.
    mutating func content(of text: String) -> ChatValue {
        let parts = self.parts(of: text)
        return isText(parts) ?? .list(parts)
    }

    /// The text of parts that are one text: templates that know no parts take it, too.
    func isText(_ parts: [ChatValue]) -> ChatValue? {
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

    /// Assigns the next image of the row to a placeholder; their number is checked at the end.
    private mutating func takeWaiting() {
        places += 1
        if let source = waiting.popFirst() { images.append(source) }
    }

    /// A part as templates see it, of a text several where images are in it.
    mutating func part(_ json: JSON, at location: String) throws -> [ChatValue] {
        let more = (RowKeys.Part(json)?.unread ?? []).filter { !$0.contains(".") }
            .compactMap { key in json[key].map { ChatValue.Member(key, ChatValue($0)) } }
        return try known(json, at: location).map { part in
            guard case .object(let members) = part else { return part }
            return .object(members + more)
        }
    }

    private mutating func known(_ json: JSON, at location: String) throws -> [ChatValue] {
        switch json["type"]?.string {
        case "text":
            guard let text = json["text"]?.string else { throw Self.wrong("\(location) has no text") }
            return parts(of: text)
        case "image", "image_url":
            // Columns of structures have every field in every part, null where it has no value.
            func field(_ json: JSON, _ name: String) -> JSON? { json[name]?.nonNull }
            let value = field(json, "image_url") ?? json
            if value.string == nil, ["image", "path", "url", "base64"].allSatisfy({ field(value, $0) == nil }) {
                takeWaiting()
            } else {
                images.append(try ImagePaths.source(field(value, "image") ?? value, in: imageFolder))
            }
            return [["type": "image"]]
        case "thinking", "reasoning":
            let name = RowKeys.Part.reasoning.first { json[$0]?.nonNull != nil }
            guard let name, let reasoning = json[name], reasoning.string != nil || reasoning.array != nil else {
                throw Self.wrong("\(location) has no thinking, expected a text or a list of texts")
            }
            var part: JSON = ["type": "thinking", "thinking": Self.withoutNulls(reasoning)]
            if let closed = json["closed"]?.nonNull { part.set(closed, at: "closed") }
            return [ChatValue(part)]
        case let type?:
            throw Self.wrong(
                "\(location) is of the type \(type), expected text, image or thinking; remove the row"
            )
        case nil: throw Self.wrong("\(location) has no type, expected text, image or thinking")
        }
    }

    /// Chunks without the fields that a column of structures adds.
    private static func withoutNulls(_ json: JSON) -> JSON {
        guard let list = json.array else { return json }
        return .array(
            list.map { chunk in
                chunk.object.map { .object(JSONObject($0.filter { !$0.value.isNull }.map { ($0.key, $0.value) })) }
                    ?? chunk
            }
        )
    }
}
