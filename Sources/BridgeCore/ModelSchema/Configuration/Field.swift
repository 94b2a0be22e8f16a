public import JSONTree

/// A type that a configuration table fills field by field.
public protocol ConfigurationRoot: Sendable {
    /// A value before its fields are decoded; a table sets all of them.
    init()
}

/// One line of a configuration table: a key of `config.json` and the provider's field for it.
public struct Field<Root: ConfigurationRoot>: Sendable {
    /// The behaviour for an absent key.
    public enum Absence<Value: ConfigurationValue>: Sendable {
        /// The load fails.
        case required
        /// The value that Hugging Face's class supplies, with its source.
        case classDefault(Value, source: String)
        /// A value that is derived from the fields before it, with a description of the rule.
        ///
        /// - Parameter nullIsMissing: Whether `null` means the same as an absent key.
        case derived(rule: String, nullIsMissing: Bool = false, @Sendable (Root) -> Value)
    }

    /// The key paths that are read, joined by dots; the first is the one that is written into a new configuration.
    public var paths: [String]
    /// Megatron-Core's name of the field, as in `run_config.yaml`; nil for a value that is only checked.
    public var megatron: String?
    /// The behaviour for an absent key, for `bridge plugins describe`.
    public var absence: String
    /// The verdict of the keys.
    public var verdict = SettingVerdict.honoured

    var decode: @Sendable (inout ConfigurationDecoder, inout Root) -> Void
    var encode: @Sendable (Root, inout JSON, _ isNew: Bool) -> Void
    package var value: @Sendable (Root) -> JSON?

    /// A field.
    ///
    /// - Parameters:
    ///   - paths: The key paths that are read. When several exist, they must agree.
    ///   - megatron: Megatron-Core's name.
    ///   - field: The property of the configuration.
    ///   - absence: What happens when no path exists, or the value is `null` where null is not allowed.
    ///   - writesDefault: Whether a new configuration has the key also where its absence has the same meaning.
    ///   - firstMatchWins: Whether the first path that exists decides, whatever the values of the others.
    public init<Value: ConfigurationValue>(
        _ paths: [String],
        _ megatron: String,
        _ field: any WritableKeyPath<Root, Value> & Sendable,
        ifAbsent absence: Absence<Value> = .required,
        writesDefault: Bool = true,
        firstMatchWins: Bool = false
    ) {
        self.paths = paths
        self.megatron = megatron
        switch absence {
        case .required: self.absence = "required"
        case .classDefault(let value, let source):
            self.absence = "\(value.json.compactText) (\(source))"
        case .derived(let rule, _, _): self.absence = rule
        }
        let nullIsAbsent = if case .derived(_, let nullIsMissing, _) = absence { nullIsMissing } else { false }
        decode = { reading, root in
            if let value: Value = reading.value(at: paths, nullIsAbsent: nullIsAbsent, firstMatchWins: firstMatchWins) {
                root[keyPath: field] = value
                return
            }
            switch absence {
            case .required: reading.missing(paths, Value.expectation)
            case .classDefault(let value, _): root[keyPath: field] = value
            case .derived(_, _, let rule): root[keyPath: field] = rule(root)
            }
        }
        encode = { root, json, isNew in
            let value = root[keyPath: field].json
            let present = paths.filter { json[path: $0] != nil }
            // A key that only repeats what its absence means stays absent, unless the configuration is made from nothing.
            if present.isEmpty {
                let implied: Value? =
                    switch absence {
                    case .required: nil
                    case .classDefault(let value, _): value
                    case .derived(_, _, let rule): rule(root)
                    }
                if implied?.json == value, !isNew || !writesDefault { return }
            }
            for path in present.isEmpty ? [paths[0]] : firstMatchWins ? Array(present.prefix(1)) : present {
                // A number that means the same keeps the digits that it was written with.
                if let old = json[path: path], let kept = Value(json: old), kept == root[keyPath: field] { continue }
                if nullIsAbsent, json[path: path]?.isNull ?? false, case .derived(_, _, let rule) = absence,
                    rule(root).json == value
                {
                    continue
                }
                json.set(value, at: path)
            }
        }
        value = { $0[keyPath: field].json }
    }

    /// The same field with a value that only training uses, which accepts 0 alone.
    public var dropout: Field {
        var field = self
        field.verdict = .onlyInTraining([0], note: "model.attention_dropout=0 trains without dropout")
        return field
    }

    /// A field with a single key.
    public init<Value: ConfigurationValue>(
        _ path: String,
        _ megatron: String,
        _ field: any WritableKeyPath<Root, Value> & Sendable,
        ifAbsent absence: Absence<Value> = .required
    ) {
        self.init([path], megatron, field, ifAbsent: absence)
    }

    /// A field with a single key whose `null` means another value than its absence.
    ///
    /// - Parameters:
    ///   - path: The key path.
    ///   - megatron: Megatron-Core's name.
    ///   - field: Where the value goes.
    ///   - absence: What happens when the key is absent.
    ///   - rule: A description of the meaning of null.
    ///   - meaning: The field before this one that supplies the value for null.
    public init<Value: ConfigurationValue>(
        _ path: String,
        _ megatron: String,
        _ field: any WritableKeyPath<Root, Value> & Sendable,
        ifAbsent absence: Absence<Value>,
        ifNull rule: String,
        _ meaning: any KeyPath<Root, Value> & Sendable
    ) {
        self.init(path, megatron, field, ifAbsent: absence)
        self.absence += "; for null \(rule)"
        let (decodeValue, encodeValue) = (decode, encode)
        decode = { reading, root in
            if reading.json(at: path)?.isNull == true {
                root[keyPath: field] = root[keyPath: meaning]
            } else {
                decodeValue(&reading, &root)
            }
        }
        encode = { root, json, isNew in
            if json[path: path]?.isNull == true, root[keyPath: field] == root[keyPath: meaning] { return }
            encodeValue(root, &json, isNew)
        }
    }

    /// A key that must have one of a few values, because others are not supported; the first is the default.
    ///
    /// - Parameters:
    ///   - path: The key path.
    ///   - accepted: The values; null only where it is among them.
    ///   - source: The class whose default the first value is; nil for a key that must be there.
    ///   - writesDefault: Whether a new configuration has the key.
    ///   - note: What another value would need, for messages.
    /// - Returns: The line.
    public static func fixed(
        _ path: String,
        _ accepted: [JSON],
        ifAbsent source: String? = nil,
        writesDefault: Bool = true,
        _ note: String = ""
    ) -> Field {
        Field(
            paths: [path],
            megatron: nil,
            verdict: .only(accepted, note: note),
            absence: source.map { "\(accepted[0].compactText) (\($0))" }
                ?? "required",
            decode: { reading, _ in
                guard let found = reading.json(at: path) else {
                    if source == nil { reading.missing([path], "one of the known values") }
                    return
                }
                if !accepted.contains(where: { Setting.isSame($0, found) }) {
                    reading.refuse(path, found, accepted, note)
                }
            },
            encode: { _, json, isNew in
                if isNew, writesDefault, json[path: path] == nil, !accepted[0].isNull {
                    json.set(accepted[0], at: path)
                }
            },
            value: { _ in nil }
        )
    }

    /// Keys that do not change what the model computes, with the reason; they are carried along and not looked at.
    public static func noEffect(_ paths: String..., because reason: String) -> [Field] {
        paths.map { claimed($0, .noEffect(reason), absence: "no effect") }
    }

    /// Keys of a draft that may change what the model computes, and that no line reads yet: models that have one are
    /// converted and not run, and the conformance suite reports the line.
    public static func undecided(_ paths: String...) -> [Field] {
        paths.map { claimed($0, .undecided, absence: "undecided") }
    }

    /// Keys that the table's standardization has read: their values reach the fields under other names.
    public static func standardized(_ paths: [String], as name: String) -> [Field] {
        paths.map { claimed($0, .honoured, absence: "read as \(name)") }
    }

    private static func claimed(_ path: String, _ verdict: SettingVerdict, absence: String) -> Field {
        Field(
            paths: [path],
            megatron: nil,
            verdict: verdict,
            absence: absence,
            decode: { reading, _ in reading.claim(path) },
            encode: { _, _, _ in },
            value: { _ in nil }
        )
    }

    init(
        paths: [String],
        megatron: String?,
        verdict: SettingVerdict,
        absence: String,
        decode: @escaping @Sendable (inout ConfigurationDecoder, inout Root) -> Void,
        encode: @escaping @Sendable (Root, inout JSON, Bool) -> Void,
        value: @escaping @Sendable (Root) -> JSON?
    ) {
        self.paths = paths
        self.megatron = megatron
        self.verdict = verdict
        self.absence = absence
        self.decode = decode
        self.encode = encode
        self.value = value
    }

    /// The same field of a part of a larger value, with the same keys.
    func lifted<Outer: ConfigurationRoot>(to part: any WritableKeyPath<Outer, Root> & Sendable) -> Field<Outer> {
        Field<Outer>(
            paths: paths,
            megatron: megatron,
            verdict: verdict,
            absence: absence,
            decode: { decode(&$0, &$1[keyPath: part]) },
            encode: { encode($0[keyPath: part], &$1, $2) },
            value: { value($0[keyPath: part]) }
        )
    }

    /// The same field with its keys below `prefix`.
    func nested(in prefix: String) -> Field {
        Field(
            paths: paths.map { "\(prefix).\($0)" },
            megatron: megatron,
            verdict: verdict,
            absence: absence,
            decode: { reading, root in reading.inside(prefix) { decode(&$0, &root) } },
            encode: { root, json, isNew in
                var inner = json[path: prefix] ?? .object(JSONObject())
                encode(root, &inner, isNew)
                if inner != json[path: prefix], inner != .object(JSONObject()) { json.set(inner, at: prefix) }
            },
            value: value
        )
    }
}

/// A `config.json` during decoding: the problems that were found, and the keys that were read.
public struct ConfigurationDecoder: Sendable {
    private let root: JSON
    private var prefix = ""
    private(set) var problems: [String] = []
    private(set) var claimed: Set<String> = []

    init(_ root: JSON) { self.root = root }

    mutating func inside(_ part: String, _ body: (inout ConfigurationDecoder) -> Void) {
        let outer = prefix
        prefix += part + "."
        body(&self)
        prefix = outer
    }

    mutating func claim(_ path: String) { claimed.insert(prefix + path) }

    mutating func json(at path: String) -> JSON? {
        claim(path)
        return root[path: prefix + path]
    }

    /// The value at the first of several paths that is there; all that are there have to agree unless the first counts.
    mutating func value<Value: ConfigurationValue>(at paths: [String], nullIsAbsent: Bool, firstMatchWins: Bool)
        -> Value?
    {
        var result: (path: String, value: Value)?
        for path in paths {
            guard let found = json(at: path) else { continue }
            if nullIsAbsent, found.isNull { continue }
            guard let value = Value(json: found) else {
                problems.append("\(prefix)\(path) is \(Self.text(found)), expected \(Value.expectation)")
                continue
            }
            if let result, firstMatchWins || result.value == value { continue }
            if let result {
                problems.append(
                    "\(prefix)\(path) is \(Self.text(found)), but \(prefix)\(result.path) is \(Self.text(result.value.json))"
                )
            } else {
                result = (path, value)
            }
        }
        return result?.value
    }

    mutating func missing(_ paths: [String], _ expectation: String) {
        // A value of the wrong kind has been reported already.
        guard !paths.contains(where: { root[path: prefix + $0] != nil }) else { return }
        let names = paths.map { prefix + $0 }.joined(separator: " or ")
        problems.append("\(names) is missing, expected \(expectation)")
    }

    mutating func refuse(_ path: String, _ found: JSON, _ accepted: [JSON], _ note: String) {
        let supported = accepted.map(Self.text).joined(separator: " or ")
        problems.append(
            "\(prefix)\(path) is \(Self.text(found)); only \(supported) is supported"
                + (note.isEmpty ? "" : " (\(note))")
        )
    }

    /// The paths of all keys of a file that no field claims.
    func unread(of file: JSON) -> [String] { SettingsTable.unclaimed(in: file, by: claimed) }

    private static func text(_ json: JSON) -> String { json.compactText }
}
