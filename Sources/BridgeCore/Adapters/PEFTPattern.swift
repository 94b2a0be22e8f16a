import BridgeSupport
import JSONTree
import Tokenizers

/// A value for the modules whose names fit an expression: an entry of `rank_pattern` or `alpha_pattern`.
///
/// Source: `get_pattern_key` in peft/utils/other.py, 0.21.
struct PEFTPattern: Sendable, Equatable {
    /// The expression in the file.
    let key: String
    /// The rank or alpha.
    let value: Double
    private let expression: NameExpression

    static func == (left: Self, right: Self) -> Bool { left.key == right.key && left.value == right.value }

    /// An entry.
    ///
    /// - Parameters:
    ///   - key: The expression.
    ///   - value: The rank or alpha.
    ///   - setting: What the entry is part of, for messages.
    ///   - name: The file, for messages.
    /// - Throws: `BridgeError` for a key that is not an expression.
    init(_ key: String, _ value: Double, of setting: String, name: String) throws {
        (self.key, self.value) = (key, value)
        expression = try PEFTTargets.expression("(?:.*\\.)?(?:\(key))", of: "\(key) of \(setting)", name)
    }

    /// The value of the first pattern that fits a module's name, in the order of the file.
    static func value(of module: String, in patterns: [PEFTPattern]) throws -> Double? {
        for pattern in patterns where try PEFTTargets.matches(pattern.expression, module) { return pattern.value }
        return nil
    }

    /// Reads `rank_pattern` or `alpha_pattern`.
    static func all(_ json: JSON, _ key: String, name: String, isValid: (Double) -> Bool) throws -> [PEFTPattern] {
        guard let value = json[key]?.nonNull else { return [] }
        guard let object = value.object else {
            throw BridgeError(.badConfiguration, "\(name): \(key) is \(value.kind), expected an object")
        }
        try PEFTTargets.check(object.count, key, name)
        return try object.map { pattern, value in
            guard let number = value.double, isValid(number) else {
                throw BridgeError(
                    .badConfiguration,
                    "\(name): \(key) has \(PEFTConfiguration.text(value)) for \(pattern), which is not a \(key.prefix { $0 != "_" })"
                )
            }
            return try PEFTPattern(pattern, number, of: key, name: name)
        }
    }
}

/// The modules with adapters, by `target_modules` and its related keys.
///
/// Source: `check_target_module_exists` in peft/tuners/tuners_utils.py, 0.21.
struct PEFTTargets: Sendable {
    private enum Names: Sendable {
        case any
        case list([String])
        case expression(NameExpression)

        func contain(_ module: String) throws -> Bool {
            switch self {
            case .any: true
            case .list(let names): names.contains { module == $0 || module.hasSuffix(".\($0)") }
            case .expression(let expression): try PEFTTargets.matches(expression, module)
            }
        }
    }

    private let targets: Names
    /// Whether `target_modules` is `all-linear`, which excludes the output layer.
    let areAllLinear: Bool
    /// Whether `target_modules` names modules; PEFT fills in those of the architecture where it does not.
    let areNamed: Bool
    private let excluded: Names
    private let savedModules: [NameExpression]
    /// The layers that get adapters; nil for all.
    private let layers: [Int]?
    /// The prefix of the number of a layer; empty for anything.
    private let layersPatterns: [NameExpression]

    init(_ json: JSON, savedModules: [String], name: String) throws {
        func names(_ key: String, absent: Names) throws -> Names {
            guard let value = json[key]?.nonNull else { return absent }
            if let text = value.string {
                return text == "all-linear" && key == "target_modules"
                    ? .any : .expression(try Self.expression(text, of: text, name))
            }
            return .list(try Self.strings(value, key, name))
        }
        areAllLinear = json["target_modules"]?.string == "all-linear"
        areNamed = json["target_modules"]?.nonNull != nil
        targets = try names("target_modules", absent: .any)
        excluded = try names("exclude_modules", absent: .list([]))
        try Self.check(savedModules.count, "modules_to_save", name)
        self.savedModules = try savedModules.map { try Self.expression("(?:.*\\.)?(?:\($0))(?:\\..*)?", of: $0, name) }
        let index = json["layers_to_transform"]?.nonNull
        let indices = index?.array ?? index.map { [$0] } ?? []
        guard indices.allSatisfy({ $0.integer != nil }) else {
            throw BridgeError(.badConfiguration, "\(name): layers_to_transform has values that are not integers")
        }
        var isList = false
        if case .list = targets { isList = true }
        layers = isList && !indices.isEmpty ? indices.compactMap(\.integer) : nil
        let patterns = try json["layers_pattern"]?.nonNull.map { value in
            try value.string.map { [$0] } ?? Self.strings(value, "layers_pattern", name)
        }
        try Self.check(patterns?.count ?? 0, "layers_pattern", name)
        let expressions = (patterns ?? []).filter { !$0.isEmpty }
        if !expressions.isEmpty, index == nil {
            throw BridgeError(
                .badConfiguration,
                "\(name): layers_pattern is \(PEFTConfiguration.text(json["layers_pattern"] ?? .null)) without layers_to_transform, which "
                    + "PEFT refuses; expected both, or neither"
            )
        }
        if let text = json["target_modules"]?.string, !expressions.isEmpty || !indices.isEmpty {
            let key = indices.isEmpty ? "layers_pattern" : "layers_to_transform"
            throw BridgeError(
                .badConfiguration,
                "\(name): \(key) is \(PEFTConfiguration.text(json[key] ?? .null)) beside target_modules \(text.prefix(60)), which PEFT "
                    + "refuses; expected a list of names as target_modules, or no \(key)"
            )
        }
        layersPatterns = try (patterns ?? []).filter { !$0.isEmpty }.map {
            try Self.expression("(?:.*\\.)?(?:\($0))", of: $0, name)
        }
    }

    /// More expressions than any model has modules that need one: each takes memory, and is tried on every module.
    private static let mostExpressions = 8192

    /// Refuses too many expressions before they are compiled.
    static func check(_ count: Int, _ key: String, _ name: String) throws {
        guard count <= mostExpressions else {
            throw BridgeError(
                .badConfiguration,
                "\(name): \(key) has \(count) entries, expected at most \(mostExpressions)"
            )
        }
    }

    /// Whether PEFT gives a module an adapter, by its name in the model's memory.
    func contain(_ module: String) throws -> Bool {
        if try excluded.contain(module) { return false }
        for saved in savedModules where try Self.matches(saved, module) { return false }
        guard try targets.contain(module) else { return false }
        guard let layers else { return true }
        // A module that is named in full is a target whatever its layer is.
        if case .list(let names) = targets, names.contains(module) { return true }
        return try layer(of: module).map(layers.contains) ?? false
    }

    /// The number of the layer that a module is in.
    private func layer(of module: String) throws -> Int? {
        let parts = module.split(separator: ".", omittingEmptySubsequences: false)
        for location in parts.indices.dropLast() where location > 0 {
            guard let number = Int(parts[location]), number >= 0 else { continue }
            if layersPatterns.isEmpty {
                if location > 1 { return number }
                continue
            }
            let before = parts[..<location].joined(separator: ".")
            for pattern in layersPatterns where try Self.matches(pattern, before) { return number }
        }
        return nil
    }

    static func expression(_ pattern: String, of key: String, _ name: String) throws -> NameExpression {
        do throws(TokenizerError) { return try NameExpression(pattern) } catch {
            throw BridgeError(
                .badConfiguration,
                "\(name): the pattern \(key.prefix(200)) cannot be read: \(error.message)"
            )
        }
    }

    static func matches(_ expression: NameExpression, _ module: String) throws -> Bool {
        do throws(TokenizerError) { return try expression.matches(module) } catch {
            throw BridgeError(.badConfiguration, error.message)
        }
    }

    private static func strings(_ value: JSON, _ key: String, _ name: String) throws -> [String] {
        guard let names = value.array?.map(\.string), !names.contains(nil) else {
            throw BridgeError(.badConfiguration, "\(name): \(key) is \(value.kind), expected a list of names")
        }
        return names.compactMap(\.self)
    }
}
