import BridgeSupport
public import JSONTree

/// The keys of a family's `config.json` and the provider's fields, read in both directions.
public struct ConfigurationTable<Root: ConfigurationRoot>: Sendable {
    /// The lines, in the order in which a new configuration is written.
    public var fields: [Field<Root>]
    /// Standardizes a file's spellings to the one that the fields read, as the reference's class does before it uses
    /// them.
    public var standardize: @Sendable (JSON) -> JSON

    /// A table of the given lines.
    ///
    /// - Parameters:
    ///   - standardize: Standardizes a file's spellings to the one that the fields read.
    ///   - fields: The lines.
    public init(
        standardizing standardize: @escaping @Sendable (JSON) -> JSON = { $0 },
        @Builder _ fields: () -> [Field<Root>]
    ) {
        self.standardize = standardize
        self.fields = fields()
    }

    /// The keys and their verdicts, each key once.
    public var settings: [Setting] {
        var seen: Set<String> = []
        return fields.flatMap { field in field.paths.map { Setting($0, field.verdict) } }.filter {
            seen.insert($0.key).inserted
        }
    }

    /// Collects the lines of a table.
    @resultBuilder
    public enum Builder {
        /// One line.
        public static func buildExpression(_ field: Field<Root>) -> [Field<Root>] { [field] }
        /// Several lines.
        public static func buildExpression(_ fields: [Field<Root>]) -> [Field<Root>] { fields }
        /// Lines one after the other.
        public static func buildBlock(_ parts: [Field<Root>]...) -> [Field<Root>] { parts.flatMap { $0 } }
    }

    /// The lines of a table as part of this one, below a key such as `text_config`.
    public static func section<Part: ConfigurationRoot>(
        _ prefix: String,
        _ part: any WritableKeyPath<Root, Part> & Sendable,
        _ table: ConfigurationTable<Part>
    ) -> [Field<Root>] {
        table.fields.map { $0.nested(in: prefix).lifted(to: part) }
    }

    /// The lines of a table as part of this one, with the same keys.
    public static func part<Part: ConfigurationRoot>(
        _ part: any WritableKeyPath<Root, Part> & Sendable,
        _ table: ConfigurationTable<Part>
    ) -> [Field<Root>] {
        table.fields.map { $0.lifted(to: part) }
    }

    /// Reads a configuration.
    ///
    /// - Parameters:
    ///   - json: The configuration.
    ///   - name: The file, for messages.
    /// - Returns: The value, and the paths of the keys that no line of the table reads.
    /// - Throws: `BridgeError` with code `badConfiguration` and all keys that are missing, of the wrong kind or not
    ///   supported.
    public func decode(_ json: JSON, name: String) throws -> (value: Root, unread: [String]) {
        guard json.object != nil else {
            throw BridgeError(.badConfiguration, "\(name) is \(json.kind), expected an object")
        }
        var reading = ConfigurationDecoder(standardize(json))
        var root = Root()
        for field in fields { field.decode(&reading, &root) }
        guard reading.problems.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "\(name) does not describe a supported model",
                names: reading.problems
            )
        }
        return (root, reading.unread(of: json))
    }

    /// The configuration of a value.
    ///
    /// - Parameters:
    ///   - root: The value.
    ///   - base: A configuration whose other keys, spellings and order are kept; nil makes a new one.
    /// - Returns: The configuration.
    public func encode(_ root: Root, into base: JSON? = nil) -> JSON {
        var json = base ?? .object(JSONObject())
        // What the base contains, in whatever spelling, is kept.
        let old = base.flatMap { try? decode($0, name: "the configuration").value }
        for field in fields {
            if let old, field.value(old) == field.value(root) { continue }
            field.encode(root, &json, base == nil)
        }
        return json
    }

    /// The fields under Megatron-Core's names.
    public func megatronFields(of root: Root) -> JSONObject {
        JSONObject(
            fields.compactMap { field in
                guard let name = field.megatron, let value = field.value(root) else { return nil }
                return (name, value)
            }
        )
    }

    /// A `config.json` of fields under Megatron-Core's names.
    ///
    /// - Parameter value: The value of a field; nil for one that is not given, whose key is then absent.
    /// - Returns: The configuration, which ``decode(_:name:)`` checks.
    public func configuration(fromMegatron value: (_ name: String) -> JSON?) -> JSON {
        var json: JSON = .object(JSONObject())
        for field in fields {
            guard let name = field.megatron, let path = field.paths.first, let value = value(name) else { continue }
            json.set(value, at: path)
        }
        return json
    }
}
