import JSONTree

/// What the files beside a tokenizer say: the names of the control tokens and the chat templates.
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

    private static let roles = [
        "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
    ]

    /// Reads the settings from a folder.
    ///
    /// What is not there stays empty.
    init(folder: String) throws(TokenizerError) {
        for name in ["special_tokens_map.json", "tokenizer_config.json"] {
            guard let json = try Self.json(folder, name) else { continue }
            for role in Self.roles {
                // A token is its text, or an object that describes it.
                if let text = json[role]?.string ?? json[role]?["content"]?.string { specialTokens[role] = text }
            }
            do {
                try readAddedTokens(json)
                try readTemplates(json["chat_template"])
            } catch {
                throw error.inFile("\(folder)/\(name)")
            }
        }
        if let json = try Self.json(folder, "chat_template.json") {
            do {
                try readTemplates(json["chat_template"])
            } catch {
                throw error.inFile("\(folder)/chat_template.json")
            }
        }
        // Templates in files of their own take the place of all others.
        var files = [("default", "\(folder)/chat_template.jinja")].filter { FileBytes.exists($0.1) }
        let others = "\(folder)/additional_chat_templates"
        for name in FileBytes.names(in: others) where name.hasSuffix(".jinja") && FileBytes.exists("\(others)/\(name)")
        {
            files.append((String(name.dropLast(6)), "\(others)/\(name)"))
        }
        if !files.isEmpty { chatTemplates = [:] }
        for (name, path) in files {
            guard let text = String(validating: try FileBytes.read(path), as: UTF8.self) else {
                throw TokenizerError(.badFile, "\(path): is not UTF-8")
            }
            chatTemplates[name] = text
        }
    }

    init() {}

    /// Whether encoding puts tokens in front and behind, where the configuration says so; it then wins over the tokenizer.
    var addsTokens: (begin: Bool, end: Bool)?
    /// Tokens that the configuration names; the tokenizer may not know yet that they are found in a text.
    var namedTokens: [AddedToken] = []

    /// Reads which tokens are put around a text, and the tokens that are named outside of the tokenizer.
    private mutating func readAddedTokens(_ json: JSON) throws(TokenizerError) {
        if json["add_bos_token"] != nil || json["add_eos_token"] != nil {
            addsTokens = (json["add_bos_token"]?.bool ?? false, json["add_eos_token"]?.bool ?? false)
        }
        for (key, entry) in json["added_tokens_decoder"]?.members ?? [] {
            guard let id = Int(key), (0...RequiredField.largestID).contains(id) else {
                throw TokenizerError(.badFile, "'added_tokens_decoder' has the id '\(key)'; expected a number")
            }
            namedTokens.append(try AddedToken(json: entry, id: id))
        }
        for (role, value) in json["extra_special_tokens"]?.members ?? [] {
            if let text = value.string ?? value["content"]?.string { specialTokens[role] = text }
        }
        let lists = (json["additional_special_tokens"]?.array ?? []) + (json["extra_special_tokens"]?.array ?? [])
        for content in lists.compactMap({ $0.string ?? $0["content"]?.string }) + specialTokens.values.sorted() {
            var token = AddedToken(id: -1, content: content)
            token.isSpecial = true
            namedTokens.append(token)
        }
    }

    /// Whether two settings name the same control tokens and templates.
    public static func == (left: TokenizerSettings, right: TokenizerSettings) -> Bool {
        left.specialTokens == right.specialTokens && left.chatTemplates == right.chatTemplates
    }

    private static func json(_ folder: String, _ name: String) throws(TokenizerError) -> JSON? {
        let path = "\(folder)/\(name)"
        guard FileBytes.exists(path) else { return nil }
        do {
            return try JSON(tokenizerFile: try FileBytes.read(path))
        } catch {
            throw error.inFile(path)
        }
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
    /// Reads the tokenizer of a model folder: `tokenizer.json`, else `tekken.json`, else `tokenizer.model`.
    public init(folder: String) throws(TokenizerError) {
        guard FileBytes.isFolder(folder) else {
            throw TokenizerError(.unreadableFile, "\(folder): is not a folder")
        }
        if FileBytes.exists("\(folder)/tokenizer.json") {
            try self.init(tokenizerJSON: "\(folder)/tokenizer.json")
        } else if FileBytes.exists("\(folder)/tekken.json") {
            try self.init(tekken: "\(folder)/tekken.json")
        } else if FileBytes.exists("\(folder)/tokenizer.model") {
            try self.init(sentencePieceModel: "\(folder)/tokenizer.model")
        } else {
            throw TokenizerError(
                .unreadableFile,
                "\(folder): has no tokenizer.json, tekken.json or tokenizer.model; copy the tokenizer files of the model there"
            )
        }
        settings = try TokenizerSettings(folder: folder)
        guard FileBytes.exists("\(folder)/tokenizer.json") else { return }
        try applySettings()
    }

    /// What transformers changes in a `tokenizer.json` after the files beside it.
    private mutating func applySettings() throws(TokenizerError) {
        var missing: [AddedToken] = []
        for token in settings.namedTokens {
            var token = token
            if token.id < 0 { token.id = id(of: token.content).map(Int.init) ?? -1 }
            let isKnown = addedTokens.contains { $0.content.utf8.elementsEqual(token.content.utf8) }
            let isListed = missing.contains { $0.content.utf8.elementsEqual(token.content.utf8) }
            if token.id >= 0, !isKnown, !isListed { missing.append(token) }
        }
        if !missing.isEmpty { try add(missing) }
        guard let adds = settings.addsTokens else { return }
        let begin = settings.beginToken.flatMap { id(of: $0) }
        let end = settings.endToken.flatMap { id(of: $0) }
        postProcessor = PostProcessor(
            prefix: adds.begin ? begin.map { [$0] } ?? [] : [],
            suffix: adds.end ? end.map { [$0] } ?? [] : []
        )
    }
}
