public import JSONTree

/// A class of Megatron Bridge that builds the models of an architecture, as `run_config.yaml` names it.
///
/// Fields that all such classes have, under Megatron-Core's names, follow from the family's configuration table.
public struct ProviderClass: Sendable {
    /// The import path of the class; those of its subclasses begin with it.
    public var target: String
    /// The architecture, as `config.json` has it.
    public var architecture: String
    /// The fields that only this class has, or has with another value: of a `config.json` and of the provider's fields,
    /// under the names of the family's configuration table.
    public var fields: @Sendable (_ configuration: JSON, _ fields: JSONObject) -> [(name: String, value: JSON)]
    /// The `config.json` of the section `model` of a `run_config.yaml`, where the class stores more than the common
    /// fields; nil where they are all.
    public var configuration: @Sendable (_ model: JSON) -> JSON?

    /// A class.
    ///
    /// - Parameters:
    ///   - target: The import path.
    ///   - architecture: The architecture that it builds.
    ///   - fields: The fields that only this class has.
    ///   - configuration: The inverse, where the class stores a `config.json`.
    public init(
        _ target: String,
        architecture: String,
        fields: @escaping @Sendable (_ configuration: JSON, _ fields: JSONObject) -> [(name: String, value: JSON)] = {
            _,
            _ in []
        },
        configuration: @escaping @Sendable (_ model: JSON) -> JSON? = { _ in nil }
    ) {
        self.target = target
        self.architecture = architecture
        self.fields = fields
        self.configuration = configuration
    }

    /// A configuration of transformers as a field: Megatron Bridge rebuilds it with the class's `from_dict`.
    ///
    /// Source: `_pretrained_config_representer` in yaml_utils.py, Megatron Bridge 0.3.1.
    ///
    /// - Parameters:
    ///   - configuration: The content of `config.json`, or of a part of it.
    ///   - target: The import path of the class.
    /// - Returns: The value of the field.
    public static func embedded(_ configuration: JSON, as target: String) -> JSON {
        ["_target_": .string("\(target).from_dict"), "_call_": .bool(true), "config_dict": configuration]
    }

    /// The content of a field that ``embedded(_:as:)`` describes.
    public static func embedded(in value: JSON?) -> JSON? { value?["config_dict"] }
}

extension PluginCatalog {
    /// The class with an import path, and its family; nil for one that no plugin knows.
    package func providerClass(_ target: String) -> (bridge: any ModelBridge, providerClass: ProviderClass)? {
        let found = bridges.flatMap { bridge in
            bridge.providerClasses.filter { target.hasPrefix($0.target) }.map { (bridge, $0) }
        }
        return found.max { $0.1.target.count < $1.1.target.count }
    }

    /// The class that builds the models of an architecture; nil where the plugin names none.
    package func providerClass(of architecture: String) -> ProviderClass? {
        bridges.lazy.flatMap(\.providerClasses).first { $0.architecture == architecture }
    }
}
