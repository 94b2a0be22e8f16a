import BridgeSupport
public import JSONTree

/// The keys of a settings file with their verdicts.
public struct SettingsTable: Sendable {
    /// The file's name, such as `generation_config.json`.
    public let file: String
    /// The class whose keys these are, with its version.
    public let source: String
    /// The keys.
    public let settings: [Setting]

    /// A table of the given keys.
    public init(file: String, source: String, @Builder _ settings: () -> [Setting]) {
        self.file = file
        self.source = source
        self.settings = settings()
    }

    package init(file: String, source: String, settings: [Setting]) {
        self.file = file
        self.source = source
        self.settings = settings
    }

    /// Collects the keys of a table.
    @resultBuilder
    public enum Builder {
        /// One key.
        public static func buildExpression(_ setting: Setting) -> [Setting] { [setting] }
        /// Several keys.
        public static func buildExpression(_ settings: [Setting]) -> [Setting] { settings }
        /// Keys one after the other.
        public static func buildBlock(_ parts: [Setting]...) -> [Setting] { parts.flatMap { $0 } }
    }

    /// Keys that are read and used.
    public static func honoured(_ keys: String...) -> [Setting] { keys.map { Setting($0, .honoured) } }

    /// Keys that change no result, with the reason.
    public static func noEffect(_ keys: String..., because reason: String) -> [Setting] {
        keys.map { Setting($0, .noEffect(reason)) }
    }

    /// A key that is refused unless it has one of the given values.
    public static func only(_ key: String, _ values: [JSON], _ note: String = "") -> Setting {
        Setting(key, .only(values, note: note))
    }

    /// Refuses values that would change a result and are not supported, and values of another type where keys are expected.
    ///
    /// - Parameters:
    ///   - json: The content of the file.
    ///   - name: The file, for messages.
    /// - Throws: `BridgeError` with code `badConfiguration` that lists every key, the value found and those supported.
    public func check(_ json: JSON, name: String) throws {
        let claimed = Set(settings.map(\.key))
        let objects = Self.parents(of: claimed).subtracting(claimed).sorted()
        let problems =
            objects.compactMap { path -> String? in
                guard let value = json[path: path]?.nonNull, value.object == nil else { return nil }
                return "\(name): \(path) is \(value.kind), expected an object"
            }
            + settings.compactMap { setting in
                json[path: setting.key].flatMap { setting.problem(with: $0, in: name) }
            }
        guard problems.isEmpty else {
            throw BridgeError(
                .badConfiguration,
                "\(name) has \(ByteFormat.counted(problems.count, "setting")) with a value that is not supported",
                names: problems
            )
        }
    }

    /// The keys of a file that have no verdict.
    public func unknownKeys(of json: JSON) -> [String] { Self.unclaimed(in: json, by: Set(settings.map(\.key))) }

    /// The paths that have one of the given paths below them.
    private static func parents(of paths: Set<String>) -> Set<String> {
        var parents: Set<String> = []
        for path in paths {
            var rest = path[...]
            while let dot = rest.lastIndex(of: ".") {
                rest = rest[..<dot]
                parents.insert(String(rest))
            }
        }
        return parents
    }

    /// The paths of the keys that are not among those claimed; an object with a claimed path below it is looked into.
    static func unclaimed(in json: JSON, by claimed: Set<String>) -> [String] {
        // Collected first, so that a file with many keys takes linear time.
        let inner = parents(of: claimed)
        func visit(_ json: JSON, _ path: String) -> [String] {
            guard let object = json.object else { return [] }
            return object.flatMap { key, value -> [String] in
                let here = path.isEmpty ? key : "\(path).\(key)"
                if claimed.contains(here) { return [] }
                return inner.contains(here) ? visit(value, here) : [here]
            }
        }
        return visit(json, "")
    }
}

/// Keys of a settings file without a verdict, which are not used.
public struct UnknownSettings: Sendable, Equatable {
    /// The file's name.
    public let file: String
    /// The keys.
    public let keys: [String]

    /// Unknown keys of a file.
    public init(file: String, keys: [String]) {
        self.file = file
        self.keys = keys
    }
}
