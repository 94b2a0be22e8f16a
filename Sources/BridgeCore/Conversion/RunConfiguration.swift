import BridgeSupport
package import JSONTree
package import ModelPlugins
import ModelSchema
package import Recipes
package import TensorRuntime
import Yams

/// `run_config.yaml`: the provider, with every field under Megatron-Core's name.
package enum RunConfiguration {
    package static let name = "run_config.yaml"
    /// The same file in Megatron-Core's container, where `run_config.yaml` is that of Megatron Bridge.
    package static let besideMegatron = "bridge_run_config.yaml"

    /// The largest file that is read.
    static let largestFile = 16 << 20

    /// The file with the recipe of a run.
    ///
    /// - Parameter directory: The directory of an iteration.
    /// - Returns: Its path; the file need not exist.
    package static func path(in directory: String) -> String {
        let own = Files.join(directory, besideMegatron)
        return Files.exists(own) ? own : Files.join(directory, name)
    }

    /// The text of the file.
    ///
    /// With a recipe it is everything that reproduces a run: the recipe's sections, of which `model` has the provider's
    /// fields too.
    package static func text(of model: FamilyModel, layout: RankLayout, recipe: Recipe? = nil) throws -> [UInt8] {
        let json = JSON.object(JSONObject(sections(of: model, layout: layout, recipe: recipe)))
        return Array(try Yams.serialize(node: node(json), width: -1).utf8)
    }

    /// The contents of the file.
    package static func json(of model: FamilyModel, layout: RankLayout, recipe: Recipe) -> JSON {
        .object(JSONObject(sections(of: model, layout: layout, recipe: recipe)))
    }

    private static func sections(of model: FamilyModel, layout: RankLayout, recipe: Recipe?) -> [(String, JSON)] {
        var fields: [(String, JSON)] = [
            ("family", .string(model.bridge.name)), ("architecture", .string(model.architecture)),
        ]
        fields += sizes(of: layout).map { ($0.name, $0.value) } + model.megatronFields().map { ($0.key, $0.value) }
        var sections: [(String, JSON)] = []
        for (section, content) in recipe?.json.object.map({ $0.map { ($0.key, $0.value) } }) ?? [] {
            guard section == "model", let members = content.object else {
                sections.append((section, content))
                continue
            }
            let own = Set(members.map(\.key))
            fields = fields.filter { !own.contains($0.0) } + members.map { ($0.key, $0.value) }
        }
        return sections + [("model", .object(JSONObject(fields)))]
    }

    /// The file with the sizes of another layout; every other line is unchanged.
    ///
    /// - Throws: `BridgeError` for text that is not YAML or has no section `model`.
    static func relabelled(_ text: String, layout: RankLayout, name: String) throws -> [UInt8] {
        let composed: Node?
        do { composed = try Yams.compose(yaml: text) } catch {
            throw BridgeError(
                .corruptInput,
                "\(name) is not valid YAML; restore it from a copy or remove it",
                cause: error
            )
        }
        guard var root = composed, var model = root.mapping?["model"]?.mapping else {
            throw BridgeError(.corruptInput, "\(name) has no section model; restore it from a copy or remove it")
        }
        var budget = mostNodes
        guard fits(root, &budget) else {
            throw BridgeError(.corruptInput, "\(name) has more than \(mostNodes) values once its aliases are filled in")
        }
        for (name, value) in sizes(of: layout) { model[Node(name)] = node(value) }
        root.mapping?["model"] = .mapping(model)
        return Array(try Yams.serialize(node: root, width: -1).utf8)
    }

    /// A few nested aliases can expand to more text than fits on a disk.
    static let mostNodes = 100_000

    private static func fits(_ node: Node, _ budget: inout Int) -> Bool {
        budget -= 1
        guard budget > 0 else { return false }
        switch node {
        case .mapping(let pairs): return pairs.allSatisfy { fits($0.key, &budget) && fits($0.value, &budget) }
        case .sequence(let items): return items.allSatisfy { fits($0, &budget) }
        default: return true
        }
    }

    private static func sizes(of layout: RankLayout) -> [(name: String, value: JSON)] {
        [
            ("tensor_model_parallel_size", JSON(layout.tensorSize)),
            ("pipeline_model_parallel_size", JSON(layout.pipelineSize)),
            ("num_layers_per_pipeline_stage", layout.stageLayers.json),
        ]
    }

    private static func node(_ json: JSON) -> Node { json.yamlNode(lists: .any, string: string) }

    private static func mapping(_ pairs: [(Node, Node)]) -> Node { .mapping(Node.Mapping(pairs)) }

    private static func string(_ text: String) -> Node.Scalar { Node.Scalar(text, Tag(.str), .doubleQuoted) }
}
