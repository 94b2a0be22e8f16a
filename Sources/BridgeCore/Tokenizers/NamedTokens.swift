import JSONTree

/// The tokens that `tokenizer_config.json` and `special_tokens_map.json` give names to, as transformers 5.23 joins the two.
struct NamedTokens {
    /// The contents by their role, such as `bos_token`.
    private(set) var byRole: [String: String] = [:]
    /// All of them, in the order in which they are added to a tokenizer that does not have them.
    private(set) var tokens: [AddedToken] = []
    /// Whether tokens are added around a text, where the map specifies it.
    private(set) var addsTokens: (begin: Bool, end: Bool)?

    /// The contents of those that are written as plain texts, which are the ones that `added_tokens.json` finds special:
    /// transformers looks for its tokens among the configuration's values before those are made tokens.
    private(set) var plainContents: [String] = []

    private static let roles = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]
    private static let (extra, additional) = ("extra_special_tokens", "additional_special_tokens")

    /// Joins the files.
    ///
    /// - Parameters:
    ///   - configuration: `tokenizer_config.json`.
    ///   - map: `special_tokens_map.json`, which goes first; nil where it is not read.
    ///   - defaults: The tokens of roles whose keys neither file has.
    /// - Throws: `TokenizerError` for a token that is not described as one.
    init(configuration: JSON, map: JSON?, defaults: [String: String] = [:]) throws(TokenizerError) {
        var fields = configuration.object ?? JSONObject()
        if let additional = fields[Self.additional], !(fields[Self.extra].map(Self.isTrue) ?? false) {
            fields[Self.extra] = additional
            fields[Self.additional] = nil
        }
        var ofModel = JSONObject(
            fields.filter {
                $0.key.hasSuffix("_token") && !Self.roles.contains($0.key) && Self.content($0.value) != nil
            }
            .map { ($0.key, $0.value) }
        )
        for key in ofModel.keys { fields[key] = nil }
        Self.moveExtra(from: &fields, to: &ofModel)
        for (role, value) in fields["model_specific_special_tokens"]?.object ?? JSONObject() { ofModel[role] = value }
        for (key, value) in map?.members ?? [] {
            var value = value
            if key == Self.extra, let list = value.array {
                let existing = fields[Self.extra]?.array ?? []
                value = .array(existing + list.filter { !existing.contains($0) })
            }
            fields[key] = value
        }
        Self.moveExtra(from: &fields, to: &ofModel)
        for role in Self.roles where fields[role]?.string != nil || map?[role] != nil {
            plainContents += [fields[role].flatMap(Self.content)].compactMap { $0 }
        }
        for value in fields[Self.extra]?.array ?? [] where value.string != nil || map?[Self.extra] != nil {
            plainContents += [Self.content(value)].compactMap { $0 }
        }
        if fields[Self.extra] == nil, let list = fields[Self.additional] { fields[Self.extra] = list }
        if map?["add_bos_token"] != nil || map?["add_eos_token"] != nil {
            addsTokens = (map?["add_bos_token"]?.bool ?? false, map?["add_eos_token"]?.bool ?? false)
        }
        // A role that is null in a file has no token.
        for role in Self.roles { try take(fields[role] ?? defaults[role].map { .string($0) }, as: role) }
        for (role, value) in fields
        where role.hasSuffix("_token") && !Self.roles.contains(role) && ofModel[role] == nil {
            try take(value, as: role)
        }
        for (role, value) in ofModel { try take(value, as: role) }
        for value in fields[Self.extra]?.array ?? [] {
            guard var token = try Self.token(value) else { continue }
            // transformers makes the entries of a list tokens with the flags that they have, which need not be special.
            if value["__type"] != nil { token = try AddedToken(json: value, id: -1) }
            append(token)
        }
    }

    private mutating func take(_ value: JSON?, as role: String) throws(TokenizerError) {
        guard let value, let token = try Self.token(value) else { return }
        byRole[role] = token.content
        append(token)
    }

    /// A token that an earlier role has with the same flags is not added again, so one with other flags in between keeps its own.
    private mutating func append(_ token: AddedToken) {
        if !tokens.contains(token) { tokens.append(token) }
    }

    /// An object of names is not a list of tokens.
    private static func moveExtra(from fields: inout JSONObject, to ofModel: inout JSONObject) {
        guard let named = fields[extra]?.object else { return }
        for (role, value) in named { ofModel[role] = value }
        fields[extra] = nil
    }

    /// Whether Python takes the value for true.
    private static func isTrue(_ value: JSON) -> Bool {
        switch value {
        case .null: false
        case .bool(let value): value
        case .number(let number): number.double != 0
        case .string(let text): !text.isEmpty
        case .array(let items): !items.isEmpty
        case .object(let object): !object.isEmpty
        }
    }

    /// The text of a token: a token is its text, or an object that describes it.
    private static func content(_ value: JSON) -> String? { value.string ?? value["content"]?.string }

    /// A special token; nil for null and everything that is not a token.
    private static func token(_ value: JSON) throws(TokenizerError) -> AddedToken? {
        guard let content = content(value) else { return nil }
        var token = AddedToken(id: -1, content: content)
        if value.object != nil { token = try AddedToken(json: value, id: -1) }
        token.isSpecial = true
        if value["normalized"] == nil { token.isNormalized = false }
        return token
    }
}
