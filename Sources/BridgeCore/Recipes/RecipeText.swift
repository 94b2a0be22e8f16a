import BridgeSupport
package import JSONTree
package import Yams

/// YAML of recipes: a reader with size limits and line numbers.
enum RecipeText {
    /// A value and its line.
    indirect enum Value {
        case leaf(JSON, line: Int)
        case section([(key: String, value: Value)], line: Int)

        var line: Int {
            switch self {
            case .leaf(_, let line), .section(_, let line): line
            }
        }
    }

    /// The maximum size of a recipe, in bytes.
    static let limit = 1 << 20

    /// The tree of a YAML text; JSON is a subset of YAML.
    ///
    /// - Throws: `BridgeError` with code `corruptInput`, the file and the line.
    static func tree(_ text: String, name: String) throws -> Value {
        try checkBounds(text, name: name)
        let root: Node?
        do { root = try Yams.compose(yaml: text) } catch let error as YamlError {
            throw YAMLProblem(error, in: text).error(name)
        } catch { throw BridgeError(.corruptInput, "\(name) is not valid YAML", cause: error) }
        guard let root, root.mapping != nil else {
            throw BridgeError(.corruptInput, "\(name) has no sections, expected lines such as 'train:'")
        }
        return try value(root, name: name)
    }

    /// The value of a text from the command line, in YAML's spelling.
    static func value(of text: String) throws -> JSON {
        try checkBounds(text, name: "the value")
        guard let node = try Yams.compose(yaml: text) else { return .null }
        return try json(node, name: "the value")
    }

    /// A text without the quotation marks around it.
    static func unquoted(_ text: String) -> String {
        guard text.count >= 2, let mark = text.first, mark == "'" || mark == "\"", text.last == mark else {
            return text
        }
        return String(text.dropFirst().dropLast())
    }

    /// The list of strings in a text from the command line: `[a, "b, c", *.d]`, in which strings need no quotation marks
    /// even if YAML would parse them as another type.
    static func words(_ text: String) -> JSON? {
        let text = trimmed(text[...])
        guard text.count >= 2, text.first == "[", text.last == "]" else { return nil }
        let inside = text.dropFirst().dropLast()
        var items: [Substring] = []
        var quote: Character?
        var start = inside.startIndex
        for index in inside.indices {
            let character = inside[index]
            if let open = quote {
                if character == open { quote = nil }
            } else if character == "'" || character == "\"" {
                quote = character
            } else if character == "," {
                items.append(inside[start..<index])
                start = inside.index(after: index)
            } else if "[]{}".contains(character) {
                return nil
            }
        }
        guard quote == nil else { return nil }
        // Nothing after the last comma means no further string.
        let words = items.map(trimmed) + [trimmed(inside[start...])].filter { !$0.isEmpty }
        guard !words.contains("") else { return nil }
        return .array(words.map { .string(unquoted(String($0))) })
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text.drop { $0.isWhitespace }
        while text.last?.isWhitespace ?? false { text.removeLast() }
        return text
    }

    /// The parser recurses for each level and copies the values of aliases, so both are limited before it runs.
    private static func checkBounds(_ text: String, name: String) throws {
        func refuse(_ line: Int, _ what: String) -> BridgeError {
            BridgeError(.corruptInput, "\(name):\(line): \(what); a recipe has sections with settings only")
        }
        guard text.utf8.count <= limit else {
            throw BridgeError(.corruptInput, "\(name) has \(text.utf8.count) bytes, a recipe has at most \(limit)")
        }
        var (opened, line, indent, before) = (0, 1, 0, UInt8(ascii: "\n"))
        var isIndent = true
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\n"), UInt8(ascii: "\r"):
                if byte == UInt8(ascii: "\n") { line += 1 }
                (indent, isIndent) = (0, true)
            case UInt8(ascii: " "), UInt8(ascii: "-"), UInt8(ascii: "?"), UInt8(ascii: ":"), UInt8(ascii: "\t"):
                if isIndent { indent += 1 }
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                opened += 1
                isIndent = false
            case UInt8(ascii: "&"):
                // "R&D" is text; an anchor is at the start of a word.
                if [0x20, 0x09, 0x0A, 0x0D, 0x5B, 0x7B, 0x2C].contains(before) {
                    throw refuse(line, "there is an anchor, expected every value written out")
                }
                isIndent = false
            default: isIndent = false
            }
            guard opened <= 256 else { throw refuse(line, "there are more than 256 opening brackets") }
            guard indent <= 64 else { throw refuse(line, "the line is indented by more than 64 characters") }
            before = byte
        }
    }

    private static func value(_ node: Node, name: String) throws -> Value {
        let line = node.mark?.line ?? 0
        guard let mapping = node.mapping else { return .leaf(try json(node, name: name), line: line) }
        return .section(
            try mapping.map { key, value in
                guard let text = key.scalar?.string else {
                    throw BridgeError(
                        .corruptInput,
                        "\(name):\(key.mark?.line ?? line): a key is not a scalar, expected the name of a section or setting"
                    )
                }
                return (text, try self.value(value, name: name))
            },
            line: line
        )
    }

    private static func json(_ node: Node, name: String) throws -> JSON {
        switch node {
        case .scalar(let scalar): self.json(scalar)
        case .sequence(let items): .array(try items.map { try json($0, name: name) })
        case .mapping(let members):
            .object(JSONObject(try members.map { ($0.key.scalar?.string ?? "", try json($0.value, name: name)) }))
        case .alias:
            throw BridgeError(.corruptInput, "\(name):\(node.mark?.line ?? 0): there is an alias without an anchor")
        }
    }

    /// YAML 1.2's core schema, with numbers such as `5e-6`, which YAML 1.1 reads as strings.
    fileprivate static func json(_ scalar: Node.Scalar) -> JSON {
        guard scalar.style == .plain || scalar.style == .any else { return .string(scalar.string) }
        let text = scalar.string
        switch text {
        case "", "~", "null", "Null", "NULL", "None": return .null
        case "true", "True", "TRUE": return .bool(true)
        case "false", "False", "FALSE": return .bool(false)
        default: break
        }
        guard let first = text.utf8.first, "+-.0123456789".utf8.contains(first), text.utf8.count < 64 else {
            return .string(text)
        }
        if let whole = Int(text) { return JSON(whole) }
        if let whole = UInt64(text) { return .number(JSONNumber(text: String(whole))) }
        guard text.utf8.allSatisfy({ "+-.0123456789eE".utf8.contains($0) }), let number = Double(text), number.isFinite
        else { return .string(text) }
        return JSON(number)
    }

    /// The YAML of sections and settings.
    static func yaml(_ json: JSON) throws -> String {
        try Yams.serialize(node: json.yamlNode(lists: .flow, string: string), width: -1)
    }

    /// A string that YAML does not read as a number, a boolean or null is written without quotation marks.
    private static func string(_ text: String) -> Node.Scalar {
        let isWord =
            text.first?.isLetter ?? false && text.utf8.allSatisfy { $0 < 0x80 }
            && text.allSatisfy { $0.isLetter || $0.isNumber || "_-./".contains($0) }
            && json(Node.Scalar(text, Tag(.str), .plain)) == .string(text)
            && !["y", "n", "yes", "no", "on", "off"].contains(text.lowercased())
        return Node.Scalar(text, Tag(.str), isWord ? .plain : .doubleQuoted)
    }
}

extension JSON {
    /// The value as YAML.
    ///
    /// - Parameters:
    ///   - lists: The style of lists.
    ///   - string: Makes the scalar of a text.
    /// - Returns: The node.
    package func yamlNode(lists: Node.Sequence.Style, string: (String) -> Node.Scalar) -> Node {
        switch self {
        case .null: Node("null")
        case .bool(let value): Node(value ? "true" : "false")
        case .number(let number): Node(number.text)
        case .string(let text): .scalar(string(text))
        case .array(let items):
            .sequence(Node.Sequence(items.map { $0.yamlNode(lists: lists, string: string) }, .implicit, lists))
        case .object(let members):
            .mapping(
                Node.Mapping(members.map { (Node($0.key), $0.value.yamlNode(lists: lists, string: string)) })
            )
        }
    }
}

extension Node.Scalar {
    /// The scalar as JSON: a number, a truth value, null or a text.
    package var json: JSON { RecipeText.json(self) }
}
