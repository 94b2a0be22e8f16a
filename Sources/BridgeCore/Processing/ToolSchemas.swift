import BridgeSupport
public import JSONTree
public import JinjaTemplates
import Tokenizers

/// The tools and the calls of tools of a conversation, as lists of objects or as JSON texts of them.
///
/// Tables store them as texts, because each tool has its own schema and a column has one for all.
public enum ToolSchemas {
    /// The tools that a file or a row has; nil where it has none.
    ///
    /// - Parameters:
    ///   - json: A list, the JSON text of one, a list of JSON texts, or one tool alone.
    ///   - name: What holds them, for messages of errors.
    ///   - wrapsFunctions: Whether functions without `{"type": "function", "function": …}` around them get it. In a text
    ///     they always do.
    /// - Returns: Objects.
    /// - Throws: `BridgeError` for anything else.
    public static func tools(_ json: JSON?, in name: String, wrapsFunctions: Bool = false) throws -> [ChatValue]? {
        guard let json = json?.nonNull else { return nil }
        let isText = json.string != nil
        guard let value = try unpacked(json, name) else { return nil }
        if isText, value.array?.isEmpty == true { return nil }
        return try list(value, name).enumerated().map { index, element in
            let location = "\(name)[\(index)]"
            let wasText = isText || element.string != nil
            guard let tool = try unpacked(element, location), var object = tool.object else {
                throw BridgeError(
                    .corruptInput,
                    "\(location) is \(element.kind), expected an object with the schema of a function, or its JSON text"
                )
            }
            if let text = object["function"], text.string != nil {
                object["function"] = try unpacked(text, "\(location).function")
            }
            return ChatValue(wasText || wrapsFunctions ? wrapped(object) : .object(object))
        }
    }

    /// The calls of a message: a list, the JSON text of one, a list of JSON texts, or one call alone.
    ///
    /// - Parameters:
    ///   - json: The calls.
    ///   - name: What holds them, for messages of errors.
    ///   - wrapsFunctions: Whether a name with arguments gets `{"type": "function", "function": …}` around it. In a text it
    ///     always does.
    /// - Returns: Objects; empty where there are no calls.
    /// - Throws: `BridgeError` for anything else.
    public static func calls(_ json: JSON?, in name: String, wrapsFunctions: Bool = false) throws -> [JSON] {
        guard let json = json?.nonNull, let value = try unpacked(json, name), value.object?.isEmpty != true else {
            return []
        }
        return try list(value, name).enumerated().map { index, element in
            let location = "\(name)[\(index)]"
            guard let call = try unpacked(element, location), var object = call.object else {
                throw BridgeError(
                    .corruptInput,
                    "\(location) is \(element.kind), expected an object with the name and the arguments of a function"
                )
            }
            let wraps = wrapsFunctions || json.string != nil || element.string != nil
            if wraps, object["function"]?.nonNull == nil, object["name"]?.string != nil {
                var function = JSONObject([("name", object["name"] ?? .null)])
                function["arguments"] = object["arguments"] ?? object["parameters"] ?? .object(JSONObject())
                var whole = JSONObject()
                if let id = object["id"]?.nonNull { whole["id"] = id }
                whole["type"] = "function"
                whole["function"] = .object(function)
                return .object(whole)
            }
            if let text = object["function"], text.string != nil {
                object["function"] = try unpacked(text, "\(location).function")
            }
            return .object(object)
        }
    }

    private static func list(_ json: JSON, _ name: String) throws -> [JSON] {
        if let list = json.array { return list }
        guard json["function"]?.nonNull != nil || json["name"]?.string != nil else {
            throw BridgeError(
                .corruptInput,
                "\(name) is \(json.kind), expected a list of objects or the JSON text of such a list"
            )
        }
        return [json]
    }

    /// The value of a JSON text; other values unchanged; nil for a text without content.
    private static func unpacked(_ json: JSON, _ name: String) throws -> JSON? {
        guard let text = json.string else { return json }
        guard text.utf8.contains(where: { $0 > 0x20 }) else { return nil }
        do throws(JSONError) {
            return try JSON(parsing: Array(text.utf8)).nonNull
        } catch {
            throw BridgeError(.corruptInput, "\(name) is a text that is not valid JSON: \(error)")
        }
    }

    /// A function as templates expect it.
    private static func wrapped(_ object: JSONObject) -> JSON {
        guard object["function"]?.nonNull == nil, object["name"]?.string != nil else { return .object(object) }
        var function = object
        if function["type"]?.string == "function" { function["type"] = nil }
        return ["type": "function", "function": .object(function)]
    }
}
