#!/usr/bin/env python3
"""Records which parts of a tokenizer.json transformers uses, by the class of the tokenizer.

    make_tokenizer_class_fixtures.py

Writes tokenizers/classes.json: for the checkpoints gemma3, gemma3 without a vision tower and mistral of checkpoints/, changes of
tokenizer_config.json and tokenizer.json (a null removes a key), and the tokens and the decoded texts of AutoTokenizer.
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


def main():
    cases = []
    for name, configuration, tokenizer in CASES:
        with tempfile.TemporaryDirectory() as folder:
            model = Path(folder) / "model"
            shutil.copytree(HERE / "checkpoints" / name, model, ignore=shutil.ignore_patterns("*.safetensors*"))
            change(model / "tokenizer_config.json", configuration)
            change(model / "tokenizer.json", tokenizer)
            loaded = AutoTokenizer.from_pretrained(model)
            ids = [loaded(text)["input_ids"] for text in TEXTS]
            decoded = [loaded.decode(tokens) for tokens in ids]
            cases.append(
                {
                    "checkpoint": name, "tokenizer_config": configuration, "tokenizer": tokenizer,
                    "class": type(loaded).__name__, "ids": ids, "decoded": decoded,
                    "bos_token": loaded.bos_token, "eos_token": loaded.eos_token,
                }  # fmt: skip
            )
            print(name, configuration, tokenizer, type(loaded).__name__, loaded.bos_token, ids[0], repr(decoded[1]))
    text = json.dumps({"texts": TEXTS, "cases": cases}, ensure_ascii=False, indent=1)
    (HERE / "tokenizers" / "classes.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
