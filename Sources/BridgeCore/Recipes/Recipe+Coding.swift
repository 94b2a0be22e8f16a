import BridgeSupport
public import JSONTree

extension Recipe {
    /// Fields of `model` that `run_config.yaml` always has, and by which it is told from a recipe.
    package static let runConfigurationKeys = ["family", "architecture"]

    /// The recipe of a file in YAML or JSON.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - base: The recipe that the key `recipe` of the file names, for an adapter scheme; the file's settings change it.
    /// - Throws: `BridgeError` with code `fileSystem`, `corruptInput`, or `badArgument` with all that is wrong, line by line.
    public init(
        contentsOf path: String,
        base: (_ name: String, _ scheme: PEFTSection.Scheme) throws -> Recipe = Recipe.noBase
    ) throws {
        let bytes = try Files.contents(of: path, limit: RecipeText.limit)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw BridgeError(.corruptInput, "\(path) is not UTF-8 text")
        }
        try self.init(yaml: text, name: path, base: base)
    }

    /// The recipe of a text in YAML or JSON.
    ///
    /// A checkpoint's `run_config.yaml` is a recipe, too, whatever the file is called: its section `model` also describes the
    /// model, by `family` and `architecture`, which no recipe has, and what else it says of the model is left alone.
    ///
    /// - Parameters:
    ///   - yaml: The text.
    ///   - name: The file, for messages.
    ///   - base: The recipe that the key `recipe` of the text names.
    /// - Throws: `BridgeError` with code `corruptInput`, or `badArgument` with all that is wrong, line by line.
    public init(
        yaml: String,
        name: String,
        base: (_ name: String, _ scheme: PEFTSection.Scheme) throws -> Recipe = Recipe.noBase
    ) throws {
        var settings: [(key: String, value: JSON, line: Int)] = []
        var problems: [String] = []
        func collect(_ value: RecipeText.Value, _ prefix: String) {
            switch value {
            case .section(let members, _) where prefix.split(separator: ".").count < 3:
                for member in members { collect(member.value, prefix.isEmpty ? member.key : "\(prefix).\(member.key)") }
            case .section(_, let line): problems.append("\(name):\(line): \(prefix) has sections of its own")
            case .leaf(let json, let line): settings.append((prefix, json, line))
            }
        }
        collect(try RecipeText.tree(yaml, name: name), "")
        let keys = Set(settings.map(\.key))
        let isRunConfiguration = keys.isSuperset(of: Recipe.runConfigurationKeys.map { "model.\($0)" })
        let scheme = settings.last { $0.key == "peft.scheme" }.flatMap { PEFTSection.Scheme(json: $0.value) } ?? .none
        if let start = settings.first(where: { $0.key == "recipe" }) {
            guard let named = start.value.string else {
                throw BridgeError(
                    .badArgument,
                    "\(name):\(start.line): recipe is no name, expected one of 'bridge recipes list'"
                )
            }
            self = try base(named, scheme)
        } else {
            self.init(name: Files.name(of: name).split(separator: ".").first.map(String.init) ?? "recipe")
        }
        for setting in settings where setting.key != "recipe" {
            // A file of another kind has thousands, and each is compared with every key.
            guard problems.count < Self.mostProblems else {
                problems.append("and more")
                break
            }
            if let field = RecipeTable.field(setting.key) {
                if let problem = field.set(setting.value, in: &self) {
                    problems.append("\(name):\(setting.line): \(problem)")
                }
            } else if !(isRunConfiguration && setting.key.hasPrefix("model.")) {
                // An empty section is no mistake.
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

    /// After so many problems nobody reads on.
    private static let mostProblems = 100

    /// For files that may not name another recipe.
    public static func noBase(name: String, scheme: PEFTSection.Scheme) throws -> Recipe {
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
    /// - Throws: What Yams says about text that YAML cannot hold.
    public func yaml() throws -> String { try RecipeText.yaml(json) }

    /// Changes settings.
    ///
    /// - Parameter arguments: Lines such as `train.global_batch_size=64`; the last one for a key counts.
    /// - Throws: `BridgeError` with code `badArgument` and all that is wrong.
    public mutating func apply(_ arguments: [String]) throws {
        let problems = applyUsable(arguments).map(\.problem)
        guard problems.isEmpty else {
            if problems.count == 1 { throw BridgeError(.badArgument, problems[0]) }
            throw BridgeError(.badArgument, "\(problems.count) settings cannot be used", names: problems)
        }
    }

    /// A setting that was asked for and cannot be used, or has no effect.
    public struct Refusal: Sendable, Equatable {
        /// The setting's key; empty where there is none.
        public let key: String
        /// What is wrong, in a sentence.
        public let problem: String
    }

    /// The setting that a line such as `train.global_batch_size=64` changes; nil where it names none.
    public static func key(ofArgument argument: String) -> String? {
        // Hydra writes a plus before a key that is new to it.
        RecipeTable.field(String(argument.prefix { $0 != "=" }.drop { $0 == "+" }))?.key
    }

    /// Changes the settings that can be changed as asked.
    ///
    /// - Parameter arguments: Lines such as `train.global_batch_size=64`; the last one for a key counts.
    /// - Returns: What cannot be used, which ``RecipeCheck`` lists with the broken rules.
    public mutating func applyUsable(_ arguments: [String]) -> [Refusal] {
        var refusals: [Refusal] = []
        for argument in arguments {
            guard refusals.count < Self.mostProblems else {
                refusals.append(Refusal(key: "", problem: "and more"))
                break
            }
            guard let mark = argument.firstIndex(of: "="), mark > argument.startIndex else {
                let found = RecipeField.shortened(argument)
                refusals.append(Refusal(key: "", problem: "'\(found)' is no setting, expected section.key=value"))
                continue
            }
            // Hydra writes a plus before a key that is new to it.
            let key = String(argument[..<mark].drop { $0 == "+" })
            guard let field = RecipeTable.field(key) else {
                refusals.append(Refusal(key: key, problem: RecipeTable.refusal(of: key)))
                continue
            }
            let text = String(argument[argument.index(after: mark)...])
            if let problem = field.set(text: text, in: &self) {
                refusals.append(Refusal(key: field.key, problem: problem))
            }
        }
        return refusals
    }

    /// The settings in which two recipes differ, in the order of the table.
    public func differences(from other: Recipe) -> [(key: String, mine: JSON, theirs: JSON)] {
        RecipeTable.fields.compactMap { field in
            let (mine, theirs) = (field.value(of: self), field.value(of: other))
            return mine == theirs ? nil : (field.key, mine, theirs)
        }
    }
}
