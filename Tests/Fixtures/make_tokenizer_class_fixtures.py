#!/usr/bin/env python3
"""Records which parts of a tokenizer.json transformers uses, by the class of the tokenizer.

    make_tokenizer_class_fixtures.py

Writes tokenizers/classes.json: for the checkpoints gemma3, gemma3 without a vision tower and mistral of checkpoints/, changes of
tokenizer_config.json and tokenizer.json (a null removes a key), and the tokens and the decoded texts of AutoTokenizer; and
for which models transformers follows fix_mistral_regex.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

from transformers import AutoTokenizer  # noqa: E402

HERE = Path(__file__).resolve().parent
TEXTS = ["Hello world", " leading  spaces", "a <eos> b", "Ünïcode 語 ", "line\nbreak", "<start_of_image> x", "UPPER"]
LOWER = {"type": "Lowercase"}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
STRIP = {"type": "Strip", "content": "H", "start": 1, "stop": 0}
# The files of the cases with it have no special_tokens_map.json either.
WITHOUT_ROLES = {name: None for name in ["bos_token", "eos_token", "unk_token", "pad_token", "added_tokens_decoder"]}
CASES = [
    ("gemma3", {}, {}),
    ("gemma3", {"tokenizer_class": None}, {}),
    ("gemma3", {"tokenizer_class": "GemmaTokenizerFast"}, {"normalizer": LOWER}),
    ("gemma3", {"tokenizer_class": "LlamaTokenizer"}, {}),
    ("gemma3", {"tokenizer_class": "LlamaTokenizerFast", "add_prefix_space": False}, {}),
    ("gemma3", {"tokenizer_class": "LlamaTokenizer", "legacy": True}, {"normalizer": LOWER}),
    ("gemma3", {"tokenizer_class": "PreTrainedTokenizerFast"}, {}),
    ("gemma3", {"tokenizer_class": "PreTrainedTokenizerFast"}, {"normalizer": LOWER}),
    ("gemma3", {"tokenizer_class": "TokenizersBackend"}, {"normalizer": LOWER}),
    ("gemma3", {"tokenizer_class": "NoSuchTokenizer"}, {"normalizer": LOWER}),
    ("gemma3", {}, {"normalizer": LOWER}),
    ("gemma3", {}, {"normalizer": None}),
    ("gemma3", {}, {"pre_tokenizer": METASPACE}),
    ("gemma3", {}, {"pre_tokenizer": None, "decoder": STRIP}),
    ("gemma3", {}, {"model.byte_fallback": False, "model.fuse_unk": False, "model.unk_token": None}),
    ("gemma3", {}, {"model.ignore_merges": True}),
    ("gemma3", {}, {"post_processor": None}),
    ("gemma3", {"bos_token": None, "eos_token": None}, {}),
    ("gemma3", WITHOUT_ROLES, {}),
    ("gemma3", WITHOUT_ROLES | {"tokenizer_class": "LlamaTokenizer"}, {}),
    ("gemma3", WITHOUT_ROLES | {"tokenizer_class": "TokenizersBackend"}, {}),
    ("mistral", WITHOUT_ROLES, {}),
    ("mistral", {"tokenizer_class": "LlamaTokenizer"}, {}),
    ("mistral", {"tokenizer_class": "LlamaTokenizer"}, {"normalizer": LOWER}),
    ("mistral", {"tokenizer_class": None}, {"normalizer": LOWER}),
    ("mistral", {"fix_mistral_regex": True}, {}),
    ("mistral", {"add_prefix_space": True}, {}),
    ("mistral", {"clean_up_tokenization_spaces": True}, {}),
    ("mistral", {}, {"truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0}}),
]  # fmt: skip


def change(path, changes):
    content = json.loads(path.read_text())
    for key, value in changes.items():
        *outer, last = key.split(".")
        place = content
        for name in outer:
            place = place[name]
        if value is None and path.name == "tokenizer_config.json":
            place.pop(last, None)
        else:
            place[last] = value
    path.write_text(json.dumps(content, ensure_ascii=False))


# (transformers_version, model_type) of config.json; None removes the key.
MODELS = [
    (None, "mistral"), ("4.57.0", "mistral"), ("4.57.0.dev0", "mistral"), ("5.0.0.dev0", "mistral"), ("5.0.0rc1", "mistral"),
    ("5.0.0", "mistral"), ("5", "mistral"), ("5.0.1", "mistral"), ("5.0.1.dev0", "mistral"), ("10.1", "mistral"),
    ("4.57.0", None), ("4.57.0", "mistral3"), ("4.57.0", "ministral"), ("4.57.0", "ministral3"), ("4.57.0", "gemma"),
    (None, "gemma"), ("5.0.0", "mistral3"),
]  # fmt: skip
# What the expression of transformers keeps together and this one does not.
OTHER = {"type": "Split", "pattern": {"Regex": "."}, "behavior": "Isolated", "invert": False}


def corrections():
    """Whether transformers replaces the expression of a large vocabulary, by the keys of config.json."""
    found = []
    for version, kind in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            shutil.copytree(HERE / "checkpoints" / "mistral", model, ignore=shutil.ignore_patterns("*.safetensors*"))
            configuration = json.loads((model / "config.json").read_text()) | {
                "transformers_version": version, "model_type": kind,
            }  # fmt: skip
            configuration = {key: value for key, value in configuration.items() if value is not None}
            (model / "config.json").write_text(json.dumps(configuration))
            tokenizer = json.loads((model / "tokenizer.json").read_text())
            vocabulary = tokenizer["model"]["vocab"]
            vocabulary |= {f"\u2581\u2581{id}": id for id in range(len(vocabulary), 100_002)}
            tokenizer["pre_tokenizer"] = {
                "type": "Sequence",
                "pretokenizers": [
                    OTHER, {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
                ],
            }  # fmt: skip
            (model / "tokenizer.json").write_text(json.dumps(tokenizer))
            loaded = AutoTokenizer.from_pretrained(model, fix_mistral_regex=True)
            pieces = [text for text, _ in loaded._tokenizer.pre_tokenizer.pre_tokenize_str("Hello world")]
            found.append({"transformers_version": version, "model_type": kind, "is_corrected": len(pieces) == 2})
            print(found[-1])
    return found


def main():
    cases = []
    for name, configuration, tokenizer in CASES:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            shutil.copytree(HERE / "checkpoints" / name, model, ignore=shutil.ignore_patterns("*.safetensors*"))
            change(model / "tokenizer_config.json", configuration)
            if configuration.items() >= WITHOUT_ROLES.items():
                (model / "special_tokens_map.json").unlink(missing_ok=True)
            change(model / "tokenizer.json", tokenizer)
            loaded = AutoTokenizer.from_pretrained(model)
            ids = [loaded(text)["input_ids"] for text in TEXTS]
            decoded = [loaded.decode(tokens) for tokens in ids]
            cases.append(
                {
                    "checkpoint": name, "tokenizer_config": configuration, "tokenizer": tokenizer,
                    "class": type(loaded).__name__, "ids": ids, "decoded": decoded,
                    "bos_token": loaded.bos_token, "eos_token": loaded.eos_token,
                    "unk_token": loaded.unk_token, "pad_token": loaded.pad_token, "mask_token": loaded.mask_token,
                }  # fmt: skip
            )
            print(name, configuration, tokenizer, type(loaded).__name__, loaded.bos_token, ids[0], repr(decoded[1]))
    text = json.dumps({"texts": TEXTS, "cases": cases, "corrections": corrections()}, ensure_ascii=False, indent=1)
    (HERE / "tokenizers" / "classes.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
