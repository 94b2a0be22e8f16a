import JSONTree

extension TokenizerClass {
    /// The class that uses a `tokenizer.json` as it is, but for the first expression by which texts are split: a key of
    /// `tokenizer_config.json` replaces it in files from before transformers 5.
    ///
    /// Source: `_patch_mistral_regex` in tokenization_utils_tokenizers.py, transformers 5.23.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - modelTypes: The values of `model_type` in `config.json` for which transformers looks at it.
    /// - Returns: The class.
    public static func correctedSplit(by key: String, modelTypes: Set<String>) -> TokenizerClass {
        TokenizerClass(
            keys: [key],
            isForModel: { model in
                guard !model.isNull, model["model_type"]?.string.map(modelTypes.contains) ?? true else { return false }
                return model["transformers_version"]?.string.map(isBefore5) ?? true
            },
            parts: { configuration, file in
                guard configuration[key]?.bool == true, let current = file["pre_tokenizer"]?.nonNull else { return [] }
                let added = file["added_tokens"]?.array?.count ?? 0
                guard file[path: "model.vocab"]?.object?.count ?? 0 > largestUncorrected - added else { return [] }
                let split: JSON = [
                    "type": "Split", "pattern": ["Regex": .string(expression)], "behavior": "Isolated", "invert": false,
                ]
                // White space that Metaspace marks would be lost between the two.
                let bytes: JSON = [
                    "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false,
                ]
                let steps =
                    current["pretokenizers"]?.array.map { Array($0.dropFirst()) }
                    ?? [current["type"] == "Metaspace" ? bytes : current]
                return [("pre_tokenizer", ["type": "Sequence", "pretokenizers": .array([split] + steps)])]
            }
        )
    }

    private static let expression =
        #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"#
        + #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"#
        + #"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// Vocabularies of at most this size keep their expression.
    private static let largestUncorrected = 100_000

    /// Whether a version of transformers is older than 5.0.0, of which the development versions are (PEP 440).
    private static func isBefore5(_ version: String) -> Bool {
        let numbers = version.prefix { $0.isNumber || $0 == "." }
        let release = numbers.split(separator: ".").map { Int($0) ?? 0 }
        guard release.first == 5, release.dropFirst().allSatisfy({ $0 == 0 }) else { return release.first ?? 0 < 5 }
        return ["dev", "rc", "a", "b"].contains { version.dropFirst(numbers.count).hasPrefix($0) }
    }
}
