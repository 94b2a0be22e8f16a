import JSONTree
import TensorRuntime
import Yams

/// `run_config.yaml`: the provider, with every field under Megatron-Core's name.
enum RunConfiguration {
    static let name = "run_config.yaml"

    /// The text of the file.
    static func text(of model: FamilyModel, layout: RankLayout) throws -> [UInt8] {
        var fields: [(Node, Node)] = [
            ("family", .scalar(string(model.bridge.name))), ("architecture", .scalar(string(model.architecture))),
        ]
        let sizes = self.sizes(of: layout).map { (Node($0.name), node($0.value)) }
        fields += sizes + model.megatronFields().map { (Node($0.key), node($0.value)) }
        return Array(try Yams.serialize(node: mapping([(Node("model"), mapping(fields))]), width: -1).utf8)
    }

    /// The file with the sizes of another layout; every other line stays as it is.
    static func relabelled(_ text: String, layout: RankLayout) throws -> [UInt8] {
        guard var root = try Yams.compose(yaml: text), var model = root.mapping?["model"]?.mapping else {
            return Array(text.utf8)
        }
        for (name, value) in sizes(of: layout) { model[Node(name)] = node(value) }
        root.mapping?["model"] = .mapping(model)
        return Array(try Yams.serialize(node: root, width: -1).utf8)
    }

    private static func sizes(of layout: RankLayout) -> [(name: String, value: JSON)] {
        [
            ("tensor_model_parallel_size", .number(JSONNumber(layout.tensorSize))),
            ("pipeline_model_parallel_size", .number(JSONNumber(layout.pipelineSize))),
            ("num_layers_per_pipeline_stage", layout.stageLayers.json),
        ]
    }

    private static func node(_ json: JSON) -> Node {
        switch json {
        case .null: Node("null")
        case .bool(let value): Node(value ? "true" : "false")
        case .number(let number): Node(number.text)
        case .string(let text): .scalar(string(text))
        case .array(let items): Node(items.map(node))
        case .object(let members): mapping(members.map { (Node($0.key), node($0.value)) })
        }
    }

    private static func mapping(_ pairs: [(Node, Node)]) -> Node { .mapping(Node.Mapping(pairs)) }

    private static func string(_ text: String) -> Node.Scalar { Node.Scalar(text, Tag(.str), .doubleQuoted) }
}
