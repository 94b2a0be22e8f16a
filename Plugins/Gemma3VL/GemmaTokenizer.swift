import BridgeCore
import JSONTree
import Tokenizers

extension TokenizerClass {
    /// `GemmaTokenizer`, transformers 5.23 (models/gemma/tokenization_gemma.py).
    static let gemma = TokenizerClass(
        "GemmaTokenizer",
        tokens: [
            "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>",
            "mask_token": "<mask>",
        ]
    ) { configuration in
        let unknown = configuration["unk_token"]?.string ?? configuration["unk_token"]?["content"]?.string ?? "<unk>"
        return model + [
            ("model.unk_token", .string(unknown)),
            ("normalizer", ["type": "Replace", "pattern": ["String": " "], "content": "\u{2581}"]),
            (
                "pre_tokenizer",
                ["type": "Split", "pattern": ["String": " "], "behavior": "MergedWithPrevious", "invert": false]
            ),
            (
                "decoder",
                [
                    "type": "Sequence",
                    "decoders": [
                        ["type": "Replace", "pattern": ["String": "\u{2581}"], "content": " "],
                        ["type": "ByteFallback"], ["type": "Fuse"],
                    ],
                ]
            ),
        ]
    }
}
