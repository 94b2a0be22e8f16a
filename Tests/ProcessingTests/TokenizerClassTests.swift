import BridgeCore
import Foundation
import JSONTree
import TestSupport
import Testing
import Tokenizers

/// The class of the tokenizer decides which parts of a `tokenizer.json` are used, as in transformers 5.23.
///
/// See `Tests/Fixtures/make_tokenizer_class_fixtures.py`.
@Suite struct TokenizerClassTests {
    private static let recorded = Result { try JSON(contentsOf: "\(Fixtures.root)/tokenizers/classes.json") }
    private static let count = (try? recorded.get()["cases"]?.array?.count) ?? 0

    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    /// A copy of a checkpoint with changed files; null removes a key of `tokenizer_config.json` and `config.json`.
    private func bridge(
        _ checkpoint: String,
        configuration: JSON = [:],
        tokenizer: JSON = [:],
        model: JSON = [:]
    ) throws -> AutoBridge {
        let source = try directory.copy(ofCheckpoint: checkpoint)
        let files = [
            ("tokenizer_config.json", configuration), ("tokenizer.json", tokenizer), ("config.json", model),
        ]
        for (file, changes) in files {
            var json = try JSON(contentsOf: "\(source)/\(file)")
            for (key, value) in changes.object ?? JSONObject() {
                json.set(value.isNull && file != "tokenizer.json" ? JSON?.none : value, at: key)
            }
            try directory.write(json.text(), to: "source/\(file)")
        }
        let roles = ["bos_token", "eos_token", "unk_token", "pad_token", "added_tokens_decoder"]
        if roles.allSatisfy({ configuration[$0]?.isNull == true }) {
            try? FileManager.default.removeItem(atPath: "\(source)/special_tokens_map.json")
        }
        return try AutoBridge.fromHF(source)
    }

    @Test func everyCaseIsThere() { #expect(Self.count == 29) }

    @Test(arguments: 0..<count) func tokensAreThoseOfTransformers(_ index: Int) throws {
        let recorded = try Self.recorded.get()
        let texts = try #require(recorded["texts"]?.array).compactMap(\.string)
        let entry = try #require(recorded["cases"]?.array?[index])
        // The expression is that of the file already.
        guard entry["tokenizer_config"] != ["fix_mistral_regex": true] || entry["checkpoint"] == "mistral" else {
            return
        }
        let tokenizer = try bridge(
            try #require(entry["checkpoint"]?.string),
            configuration: entry["tokenizer_config"] ?? [:],
            tokenizer: entry["tokenizer"] ?? [:]
        ).processor().tokenizer
        let label: Comment = "\(entry["tokenizer_config"]?.compactText ?? "") \(entry["tokenizer"]?.compactText ?? "")"
        for (position, text) in texts.enumerated() {
            let ids = try #require(entry["ids"]?.array?[position].array).compactMap(\.integer).map { Int32($0) }
            #expect(try tokenizer.encode(text) == ids, label)
            let decoded = try #require(entry["decoded"]?.array?[position].string)
            #expect(try tokenizer.decode(ids, skippingSpecialTokens: false) == decoded, label)
        }
        for role in ["bos_token", "eos_token", "unk_token", "pad_token", "mask_token"] {
            #expect(tokenizer.settings.specialTokens[role] == entry[role]?.string, label)
        }
    }

    @Test func unknownKeysOfTheFilesAreReported() throws {
        let bridge = try bridge(
            "gemma3",
            configuration: ["tokenizer_class": "NoSuchTokenizer", "novel": 1, "odd_token": "<b>"],
            tokenizer: ["flavour": [1], "model.novel": ["a": "}\\\""]]
        )
        let found = try bridge.unknownSettings()
        #expect(
            found == [
                UnknownSettings(
                    file: "tokenizer_config.json",
                    keys: ["novel", "tokenizer_class (NoSuchTokenizer is not known; tokenizer.json is used as it is)"]
                ),
                UnknownSettings(file: "tokenizer.json", keys: ["model.novel", "flavour"]),
            ]
        )
    }

    /// transformers has no class of its own for the family.
    @Test func anyClassIsKnownWhereTheFileIsUsedAsItIs() throws {
        let bridge = try bridge(
            "mistral",
            configuration: ["tokenizer_class": "NoSuchTokenizer", "fix_mistral_regex": true]
        )
        #expect(try bridge.unknownSettings() == [])
    }

    /// A vocabulary of more than 100000 tokens; transformers keeps the expression of a smaller one.
    @Test(arguments: [true, false]) func theExpressionIsCorrectedOnRequest(_ isSequence: Bool) throws {
        let file = "\(Fixtures.checkpoint("mistral"))/tokenizer.json"
        let vocabulary = try #require(try JSON(contentsOf: file)[path: "model.vocab"]?.object)
        var larger = vocabulary
        for id in vocabulary.count...100_001 { larger["\u{2581}\u{2581}\(id)"] = JSON(id) }
        // The fixture has the expression already, so that another one shows whether it is replaced.
        let other: JSON = ["type": "Split", "pattern": ["Regex": "."], "behavior": "Isolated", "invert": false]
        let bytes: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false]
        let plain: JSON = ["type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "always", "split": false]
        let splitting: JSON = isSequence ? ["type": "Sequence", "pretokenizers": [other, bytes]] : plain
        func tokens(_ configuration: JSON, _ vocabulary: JSONObject) throws -> [Int32] {
            try FileManager.default.removeItem(atPath: directory.path("source"))
            let tokenizer: JSON = ["pre_tokenizer": splitting, "model.vocab": .object(vocabulary)]
            return try bridge("mistral", configuration: configuration, tokenizer: tokenizer).processor().tokenizer
                .encode("Hello world")
        }
        let expected = try bridge("mistral").processor().tokenizer.encode("Hello world")
        #expect(try tokens(["fix_mistral_regex": true], larger) == expected)
        #expect(try tokens(["fix_mistral_regex": false], larger) != expected)
        #expect(try tokens(["fix_mistral_regex": true], vocabulary) != expected)
    }

    /// Files that transformers 5 wrote, and those of other models, keep their expression.
    @Test func theExpressionIsCorrectedForModelsOfTransformers() throws {
        let file = "\(Fixtures.checkpoint("mistral"))/tokenizer.json"
        var vocabulary = try #require(try JSON(contentsOf: file)[path: "model.vocab"]?.object)
        for id in vocabulary.count...100_001 { vocabulary["\u{2581}\u{2581}\(id)"] = JSON(id) }
        let other: JSON = ["type": "Split", "pattern": ["Regex": "."], "behavior": "Isolated", "invert": false]
        let bytes: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false]
        let tokenizer: JSON = [
            "pre_tokenizer": ["type": "Sequence", "pretokenizers": [other, bytes]], "model.vocab": .object(vocabulary),
        ]
        let source = try bridge("mistral", configuration: ["fix_mistral_regex": true], tokenizer: tokenizer)
        let path = try #require(source.directory?.path)
        let original = try JSON(contentsOf: "\(path)/config.json")
        let unchanged = try AutoBridge.fromHF(Fixtures.checkpoint("mistral"))
        let corrected = try unchanged.processor().tokenizer.encode("Hello world")
        let registered = source.bridge.tokenizerClass
        let entries = try #require(try Self.recorded.get()["corrections"]?.array)
        #expect(entries.count == 17)
        for entry in entries {
            var model = original
            for key in ["transformers_version", "model_type"] { model.set(entry[key]?.nonNull, at: key) }
            try directory.write(model.text(), to: "source/config.json")
            let found = try Tokenizer(directory: path, registered: registered).encode("Hello world")
            #expect((found == corrected) == entry["is_corrected"]?.bool, "\(entry.compactText)")
        }
    }

    @Test(arguments: [
        "split_special_tokens", "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output",
    ])
    func aSettingThatIsNotSupportedIsRefused(_ key: String) throws {
        let bridge = try bridge("mistral", configuration: .object(JSONObject([(key, JSON.bool(true))])))
        let error = #expect(throws: BridgeError.self) { try bridge.processor() }
        let text = ([error?.message ?? ""] + (error?.names ?? [])).joined(separator: " ")
        #expect(text.contains("\(key) is true") && text.contains("supported: false"), "\(text)")
    }

    /// transformers 5 writes the tokens of a model there.
    @Test func theTokensOfAModelHaveRoles() throws {
        let bridge = try bridge(
            "gemma3",
            configuration: ["extra_special_tokens": nil, "model_specific_special_tokens": ["novel_token": "<eos>"]]
        )
        #expect(try bridge.processor().tokenizer.settings.specialTokens["novel_token"] == "<eos>")
    }

    @Test func everyKeyHasOneVerdict() {
        for table in TokenizerSettings.tables(registered: nil) {
            let keys = table.settings.map(\.key)
            #expect(Set(keys).count == keys.count, "\(table.file)")
        }
    }

    @Test func theOutlineHasTheKeysOfTheText() throws {
        let text = #"{"a": {"b": [1, {"c": "}"}], "d\"e": {"f": 1}}, "g": "x,\"y", "h": [], "i": {}}"#
        let outline = JSON(outlineOf: Array(text.utf8), depth: 2)
        #expect(outline == ["a": ["b": nil, "d\"e": nil], "g": nil, "h": nil, "i": [:]])
        #expect(JSON(outlineOf: Array("[1]".utf8), depth: 2) == nil)
        for end in 0..<text.utf8.count { _ = JSON(outlineOf: Array(text.utf8.prefix(end)), depth: 2) }
    }
}
