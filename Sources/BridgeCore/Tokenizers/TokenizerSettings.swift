import BridgeSupport
import JSONTree

/// The settings in a tokenizer's related files: the names of the control tokens and the chat templates.
public struct TokenizerSettings: Sendable, Equatable {
    /// The control tokens by their role, such as `bos_token`, `eos_token` and `pad_token`.
    public internal(set) var specialTokens: [String: String] = [:]
    /// The chat templates by name; the one without a name is `default`.
    public internal(set) var chatTemplates: [String: String] = [:]

    /// The token that begins a sequence.
    public var beginToken: String? { specialTokens["bos_token"] }
    /// The token that ends a sequence.
    public var endToken: String? { specialTokens["eos_token"] }
    /// The token that fills a batch.
    public var paddingToken: String? { specialTokens["pad_token"] }

    /// Reads the settings from a directory.
    ///
    /// Missing settings stay empty. The order is that of transformers 5.23 (`_from_pretrained`): templates in separate
    /// files before the one in the configuration, and `special_tokens_map.json` and `added_tokens.json` only where the
    /// configuration has no `added_tokens_decoder`, the former then before the configuration.
    ///
    /// - Parameters:
    ///   - directory: The directory.
    ///   - tokens: The tokens of the tokenizer's class, by role, for roles whose keys the files do not have.
    /// - Throws: `TokenizerError` for files that are not as expected.
    init(directory: String, tokens: [String: String] = [:]) throws(TokenizerError) {
        let configuration = try Self.json(directory, "tokenizer_config.json") ?? .object(JSONObject())
        let legacy = configuration["added_tokens_decoder"] == nil
        let map = legacy ? try Self.json(directory, "special_tokens_map.json") : nil
        guard configuration["split_special_tokens"]?.bool != true else {
            throw TokenizerError(
                .badFile,
                "\(directory)/tokenizer_config.json: split_special_tokens is true; supported: false, with which special tokens in a "
                    + "text stay whole"
            )
        }
        do {
            try readTemplates(configuration["chat_template"])
            let names = try NamedTokens(configuration: configuration, map: map, defaults: tokens)
            (specialTokens, addsTokens) = (names.byRole, names.addsTokens)
            namedTokens = names.tokens
            tokensByID = try Self.addedTokens(
                configuration["added_tokens_decoder"],
                specials: Set(names.byRole.values.map { Array($0.utf8) })
            )
            repeatsOwnTokens = legacy
            if legacy, let json = try Self.json(directory, "added_tokens.json") {
                tokensByID = try Self.addedTokens(byContent: json, specials: names.plainContents)
            }
        } catch {
            throw error.inFile("\(directory)/tokenizer_config.json")
        }
        try readTemplateFiles(directory)
        // transformers' tokenizers do not look at this older file; it is better than no template.
        if chatTemplates.isEmpty, let template = try Self.legacyTemplate(directory) {
            chatTemplates = ["default": template]
        }
    }

    init() {}

    /// Whether encoding adds tokens before and after, as the files specify for a `tokenizer.json`.
    ///
    /// transformers 5.23 takes that from the `tokenizer.json` alone; only `special_tokens_map.json` still gets through.
    var addsTokens: (begin: Bool, end: Bool)?
    /// Tokens that have a role, in the order in which they are added; the tokenizer may not know yet that they are found in
    /// a text.
    var namedTokens: [AddedToken] = []
    /// Tokens that the files list by id.
    private(set) var tokensByID: [AddedToken] = []
    /// Whether the tokenizer's own tokens are added again, between those listed by id.
    private(set) var repeatsOwnTokens = false

    /// Templates in separate files replace all others.
    private mutating func readTemplateFiles(_ directory: String) throws(TokenizerError) {
        var files = [("default", "\(directory)/chat_template.jinja")].filter { TokenizerFile.exists($0.1) }
        let others = "\(directory)/additional_chat_templates"
        for name in (try? Files.list(others)) ?? []
        where name.hasSuffix(".jinja") && TokenizerFile.exists("\(others)/\(name)") {
            files.append((String(name.dropLast(6)), "\(others)/\(name)"))
        }
        if !files.isEmpty { chatTemplates = [:] }
        for (name, path) in files {
            guard let text = String(validating: try TokenizerFile.contents(of: path), as: UTF8.self) else {
                throw TokenizerError(.badFile, "\(path): is not UTF-8")
            }
            chatTemplates[name] = text
        }
    }

    /// The tokens of `added_tokens_decoder`, which are added in the order of their ids; what the tokenizer does not have
    /// gets the next id that is free.
    ///
    /// A token with a role is special, which is set before the default of `normalized`.
    private static func addedTokens(_ json: JSON?, specials: Set<[UInt8]>) throws(TokenizerError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        for (key, entry) in json?.members ?? [] {
            guard let id = Int(key), (0...RequiredField.largestID).contains(id) else {
                throw TokenizerError(.badFile, "'added_tokens_decoder' has the id '\(key)'; expected a number")
            }
            var token = try AddedToken(json: entry, id: id)
            if entry["normalized"] == nil, specials.contains(Array(token.content.utf8)) { token.isNormalized = false }
            tokens.append(token)
        }
        return tokens.sorted { $0.id < $1.id }
    }

    /// The tokens of `added_tokens.json`, an object of ids by content.
    private static func addedTokens(byContent json: JSON, specials: [String]) throws(TokenizerError) -> [AddedToken] {
        var tokens: [AddedToken] = []
        for (content, value) in json.members ?? [] {
            guard let id = value.integer, (0...RequiredField.largestID).contains(id) else {
                throw TokenizerError(.badFile, "'added_tokens.json' has no id for '\(content)'; expected a number")
            }
            var token = AddedToken(id: id, content: content)
            token.isSpecial = specials.contains { $0.utf8.elementsEqual(content.utf8) }
            token.isNormalized = !token.isSpecial
            tokens.append(token)
        }
        return tokens.sorted { $0.id < $1.id }
    }

    /// Whether two settings name the same control tokens and templates.
    public static func == (left: TokenizerSettings, right: TokenizerSettings) -> Bool {
        left.specialTokens == right.specialTokens && left.chatTemplates == right.chatTemplates
    }

    static func json(_ directory: String, _ name: String) throws(TokenizerError) -> JSON? {
        let path = "\(directory)/\(name)"
        guard TokenizerFile.exists(path) else { return nil }
        do {
            return try JSON(tokenizerFile: try TokenizerFile.contents(of: path))
        } catch {
            throw error.inFile(path)
        }
    }

    /// The template in `chat_template.json`, the file that processors had before `chat_template.jinja`.
    ///
    /// - Throws: `TokenizerError` for a file that holds none.
    static func legacyTemplate(_ directory: String) throws(TokenizerError) -> String? {
        guard let json = try json(directory, "chat_template.json") else { return nil }
        guard let text = json["chat_template"]?.string else {
            throw TokenizerError(.badFile, "\(directory)/chat_template.json: has no text as chat_template")
        }
        return text
    }

    /// Selects the templates of a processor of transformers: that of `processor_config.json`, then that of
    /// `chat_template.json`, then those of the tokenizer's files.
    ///
    /// Source: `get_processor_dict` in `processing_utils.py`, transformers 5.23.
    ///
    /// - Parameters:
    ///   - directory: The directory.
    ///   - ofProcessor: `chat_template` of `processor_config.json`; nil where it has none.
    /// - Throws: `TokenizerError` for files that contradict each other.
    mutating func takeProcessorTemplates(_ directory: String, ofProcessor: String?) throws(TokenizerError) {
        let legacy = try Self.legacyTemplate(directory)
        if legacy != nil, Files.kind(of: "\(directory)/additional_chat_templates") == .directory {
            throw TokenizerError(
                .badFile,
                "\(directory): has both chat_template.json and additional_chat_templates, of which transformers reads neither; "
                    + "replace chat_template.json by chat_template.jinja"
            )
        }
        if let template = ofProcessor ?? legacy { chatTemplates = ["default": template] }
    }

    /// One template, or a list of templates with names.
    private mutating func readTemplates(_ json: JSON?) throws(TokenizerError) {
        guard let json, !json.isNull else { return }
        if let text = json.string {
            chatTemplates["default"] = text
            return
        }
        guard let list = json.array else {
            throw TokenizerError(.badFile, "'chat_template' is \(json.kind); expected a string or a list")
        }
        for entry in list {
            let name = try entry.required("name", in: "chat_template").text
            chatTemplates[name] = try entry.required("template", in: "chat_template").text
        }
    }
}

extension Tokenizer {
    /// Reads the tokenizer of a model directory: `tokenizer.json`, else `tekken.json`, else `tokenizer.model`.
    ///
    /// - Parameters:
    ///   - directory: The directory.
    ///   - registered: The class that transformers has for the model's family, which makes parts of the pipeline itself; nil for
    ///     a family whose `tokenizer.json` is used as it is.
    /// - Throws: `TokenizerError` when a file is missing, or is not what it claims to be.
    public init(directory: String, registered: TokenizerClass? = nil) throws(TokenizerError) {
        guard Files.kind(of: directory) == .directory else {
            throw TokenizerError(.unreadableFile, "\(directory): is not a directory")
        }
        var tokens: [String: String] = [:]
        if TokenizerFile.exists("\(directory)/tokenizer.json") {
            let path = "\(directory)/tokenizer.json"
            let (read, kind) = try Self.read(tokenizerJSON: path, registered: registered, directory: directory)
            self = read
            tokens = kind?.tokens ?? [:]
        } else if TokenizerFile.exists("\(directory)/tekken.json") {
            try self.init(tekken: "\(directory)/tekken.json")
        } else if TokenizerFile.exists("\(directory)/tokenizer.model") {
            try self.init(sentencePieceModel: "\(directory)/tokenizer.model")
        } else {
            throw TokenizerError(
                .unreadableFile,
                "\(directory): has no tokenizer.json, tekken.json or tokenizer.model; copy the tokenizer files of the model there"
            )
        }
        settings = try TokenizerSettings(directory: directory, tokens: tokens)
        if instructChat != nil {
            // The file's own control tokens, where no other file gives them roles.
            for (role, token) in [
                ("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"),
            ]
            where settings.specialTokens[role] == nil && id(of: token) != nil { settings.specialTokens[role] = token }
        }
        guard TokenizerFile.exists("\(directory)/tokenizer.json") else { return }
        try applySettings()
    }

    /// Changes that transformers applies to a `tokenizer.json` from the related files.
    private mutating func applySettings() throws(TokenizerError) {
        var list = AddedTokenList(self)
        var byID = Dictionary(settings.tokensByID.map { ($0.id, $0) }) { $1 }
        if settings.repeatsOwnTokens { for token in list.tokens { byID[token.id] = token } }
        let roles = Set(settings.specialTokens.values.map { Array($0.utf8) })
        for var token in byID.values.sorted(by: { $0.id < $1.id }) {
            if roles.contains(Array(token.content.utf8)) { token.isSpecial = true }
            list.add(token)
        }
        let known = Set(list.tokens.map { Array($0.content.utf8) })
        for token in settings.namedTokens where !known.contains(Array(token.content.utf8)) { list.add(token) }
        if list.tokens != addedInOrder { try replaceAddedTokens(by: list.tokens) }
        guard let adds = settings.addsTokens else { return }
        let begin = settings.beginToken.flatMap { id(of: $0) }
        let end = settings.endToken.flatMap { id(of: $0) }
        postProcessor = PostProcessor(
            prefix: adds.begin ? begin.map { [$0] } ?? [] : [],
            suffix: adds.end ? end.map { [$0] } ?? [] : []
        )
    }
}
