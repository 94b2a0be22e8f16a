import BridgeSupport
package import JSONTree
import Recipes
import Yams

extension RunConfiguration {
    /// The section of a `run_config.yaml` as JSON.
    ///
    /// Megatron Bridge writes repeated values as anchors and aliases, so they are filled in, within a bound.
    ///
    /// - Parameters:
    ///   - section: The name of the section.
    ///   - path: The file.
    /// - Returns: The section; nil where the file does not have it.
    /// - Throws: `BridgeError` with code `corruptInput` for text that is not YAML, or that is too large.
    package static func section(_ section: String, of path: String) throws -> JSON? {
        let text = String(decoding: try Files.contents(of: path, limit: 4 << 20), as: UTF8.self)
        try checkDepth(text, name: path)
        let root: Node?
        do { root = try Yams.compose(yaml: text) } catch {
            throw BridgeError(.corruptInput, "\(path) is not valid YAML; restore it from a copy", cause: error)
        }
        guard let node = root?.mapping?[Node(section)] else { return nil }
        var budget = mostNodes
        guard let json = json(node, &budget) else {
            throw BridgeError(.corruptInput, "\(path) has more than \(mostNodes) values once its aliases are filled in")
        }
        return json
    }

    /// Whether a `run_config.yaml` has the settings of a run, and not of its model alone.
    ///
    /// - Parameter path: The file; one that cannot be read has them, so that its reader reports why.
    /// - Returns: Whether it has.
    package static func hasRecipe(_ path: String) -> Bool {
        guard Files.exists(path) else { return false }
        do { return try section("train", of: path) != nil } catch { return true }
    }

    /// The parser recurses for each level.
    private static func checkDepth(_ text: String, name: String) throws {
        var (opened, indent, isIndent) = (0, 0, true)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\n"): (indent, isIndent) = (0, true)
            case UInt8(ascii: " "), UInt8(ascii: "-"), UInt8(ascii: "?"), UInt8(ascii: ":"): if isIndent { indent += 1 }
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                opened += 1
                isIndent = false
            case UInt8(ascii: "]"), UInt8(ascii: "}"):
                opened = max(0, opened - 1)
                isIndent = false
            default: isIndent = false
            }
            guard opened <= 64, indent <= 256 else {
                throw BridgeError(.corruptInput, "\(name) is nested deeper than any configuration of a run")
            }
        }
    }

    /// A node as JSON; nil for one that is too large.
    private static func json(_ node: Node, _ budget: inout Int) -> JSON? {
        budget -= 1
        guard budget > 0 else { return nil }
        switch node {
        case .scalar(let scalar): return scalar.json
        case .sequence(let items):
            var values: [JSON] = []
            for item in items {
                guard let value = json(item, &budget) else { return nil }
                values.append(value)
            }
            return .array(values)
        case .mapping(let pairs):
            var members: [(String, JSON)] = []
            for pair in pairs {
                guard let value = json(pair.value, &budget) else { return nil }
                members.append((pair.key.scalar?.string ?? "", value))
            }
            return .object(JSONObject(members))
        case .alias: return .null
        }
    }
}
