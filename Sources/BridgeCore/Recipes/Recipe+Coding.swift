import BridgeSupport
public import JSONTree

extension Recipe {
    /// Keys of `model` that `run_config.yaml` always has and a recipe never has.
    package static let runConfigurationKeys = ["family", "architecture"]

    /// The recipe of a file in YAML or JSON.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - base: The recipe that the key `recipe` of the file names, for an adapter scheme; the file's settings change it.
    /// - Throws: `BridgeError` with code `fileSystem`, `corruptInput`, or `badArgument` with all problems and their lines.
    public init(
        contentsOf path: String,
        base: (_ name: String, _ scheme: PEFTSection.Scheme?) throws -> Recipe = Recipe.noBase
    ) throws {
        let bytes = try Files.contents(of: path, limit: RecipeText.limit)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw BridgeError(.corruptInput, "\(path) is not UTF-8 text")
        }
        try self.init(yaml: text, name: path, base: base)
    }

    /// The recipe of a text in YAML or JSON.
    ///
    /// A checkpoint's `run_config.yaml` is accepted as a recipe under any file name: its section `model` also describes the
    /// model, by `family` and `architecture`, which no recipe has; the other keys of the model are ignored.
    ///
    /// - Parameters:
    ///   - yaml: The text.
    ///   - name: The file, for messages.
    ///   - base: The recipe that the key `recipe` of the text names.
    /// - Throws: `BridgeError` with code `corruptInput`, or `badArgument` with all problems and their lines.
    public init(
        yaml: String,
        name: String,
        base: (_ name: String, _ scheme: PEFTSection.Scheme?) throws -> Recipe = Recipe.noBase
    ) throws {
        var settings: [(key: String, value: JSON, line: Int)] = []
        var problems: [String] = []
        func collect(_ value: RecipeText.Value, _ prefix: String) {
            switch value {
            case .section(let members, _) where prefix.split(separator: ".").count < 3:
                for member in members { collect(member.value, prefix.isEmpty ? member.key : "\(prefix).\(member.key)") }
            case .section(_, let line):
                problems.append("\(name):\(line): \(prefix) has nested sections, expected values only")
            case .leaf(let json, let line): settings.append((prefix, json, line))
            }
        }
        collect(try RecipeText.tree(yaml, name: name), "")
        let keys = Set(settings.map(\.key))
        let isRunConfiguration = keys.isSuperset(of: Recipe.runConfigurationKeys.map { "model.\($0)" })
        let scheme = settings.last { $0.key == "peft.scheme" }.flatMap { PEFTSection.Scheme(json: $0.value) }
        if let start = settings.first(where: { $0.key == "recipe" }) {
            guard let named = start.value.string else {
                throw BridgeError(
                    .badArgument,
                    "\(name):\(start.line): recipe is not a name, expected one of 'bridge recipes list'"
                )
            }
            self = try base(named, scheme)
        } else {
            self.init(name: Files.name(of: name).split(separator: ".").first.map(String.init) ?? "recipe")
        }
        var applied: [String: (spelling: String, value: JSON)] = [:]
        for setting in settings where setting.key != "recipe" {
            // A file that is not a recipe may have thousands of keys, and each is compared with all settings.
            guard problems.count < Self.mostProblems else {
                problems.append("and more")
                break
            }
            if let field = RecipeTable.field(setting.key) {
                let problem = field.set(setting.value, in: &self)
                let given = (spelling: setting.key, value: field.value(of: self))
                if let problem = problem ?? Self.conflict(applied[field.key], given) {
                    problems.append("\(name):\(setting.line): \(problem)")
                }
                applied[field.key] = given
            } else if !(isRunConfiguration && setting.key.hasPrefix("model.")) {
                if RecipeForeignKeys.isNeutral(setting.key, setting.value) { continue }
                // An empty section is not an error.
                if setting.value.isNull, RecipeTable.fields.contains(where: { $0.key.hasPrefix(setting.key + ".") }) {
                    continue
                }
                problems.append("\(name):\(setting.line): \(RecipeTable.refusal(of: setting.key))")
            }
        }
        guard problems.isEmpty else {
            throw BridgeError(
                .badArgument,
                "\(name) has settings that cannot be used",
                names: problems
            )
        }
    }

    /// The error for a file that must not name another recipe.
    public static func noBase(name: String, scheme: PEFTSection.Scheme?) throws -> Recipe {
        throw BridgeError(.badArgument, "a recipe may not name another one here, found recipe: \(name)")
    }

    /// The sections and settings.
    public var json: JSON {
        var json = JSON.object(JSONObject())
        for field in RecipeTable.fields { json.set(field.value(of: self), at: field.key) }
        return json
    }

    /// The text of a YAML file that describes the same recipe.
    ///
    /// - Throws: The error of Yams about text that YAML cannot represent.
    public func yaml() throws -> String { try RecipeText.yaml(json) }

    /// The settings in which two recipes differ, in the order of the table.
    public func differences(from other: Recipe) -> [(key: String, mine: JSON, theirs: JSON)] {
        RecipeTable.fields.compactMap { field in
            let (mine, theirs) = (field.value(of: self), field.value(of: other))
            return mine == theirs ? nil : (field.key, mine, theirs)
        }
    }
}
