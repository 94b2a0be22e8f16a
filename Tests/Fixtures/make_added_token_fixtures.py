#!/usr/bin/env python3
"""Records what tokenizers and transformers make of added tokens, and of the files beside a tokenizer that name tokens.

    make_added_token_fixtures.py

Writes tokenizers/added-tokens.json: the word characters of tokenizers, as ranges; random sets of added tokens with the ids of
some texts; and random combinations of tokenizer_config.json, special_tokens_map.json and added_tokens.json beside the tokenizer
of checkpoints/mistral, with the ids and the rendered template; and tokens that are described in part, with the normalizer that
shows whether they are searched in the normalized text, whether they are special, and null where the files are refused.
"""

import json
import logging
import os
import random
import shutil
import tempfile
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

from tokenizers import AddedToken, Tokenizer, models  # noqa: E402
from transformers import AutoTokenizer  # noqa: E402

HERE = Path(__file__).resolve().parent
MODEL = HERE / "checkpoints" / "mistral"
CONTENTS = ["<s>", "</s>", "<unk>", "[INST]", "[/INST]", "<pad>", "<new>", "<|x|>", "hello", "the", "a", "é<", "[PREFIX]"]
ROLES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
OTHERS = ["image_token", "boi_token", "eoi_token"]
TEMPLATE = (
    "|".join("{{ %s if %s is defined else 'none' }}" % (role, role) for role in ROLES + OTHERS)
    + "{% for m in messages %}{{ m.content }}{% endfor %}"
)
# Letters, digits, marks and joiners in and beyond the first plane, of the last versions of Unicode too, and what is none.
AROUND = ["a", "é", "ß", "_", "9", "٣", "́", "\u200d", "\u2060", "中", "안", "𐐀", "𝟘", "𠀀", "𑜰", "\U00032b3b", "\U000323b0", "\U00031350",
          "\U00010d4a", "\u088f", "👍", "🏽", "⅓", "²", "Ⅷ", "ⓐ", "·", "‿", "-", ".", " ", "  ", "\t", "\u00a0", "\u3000", "\u2028",
          "\u180e", "\u200b", "\u0085", "\u001c", "\n\n", "<", ">", "|"]  # fmt: skip


def ranges():
    """All scalars that are word characters: behind which a token that has to be a single word is not found."""
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0}, merges=[]))
    tokenizer.add_tokens([AddedToken("<w>", single_word=True, normalized=False)])
    scalars = [scalar for scalar in range(0x110000) if not 0xD800 <= scalar < 0xE000]
    found = []
    for scalar, encoding in zip(scalars, tokenizer.encode_batch([chr(scalar) + "<w>" for scalar in scalars])):
        if 1 in encoding.ids:
            continue
        if found and found[-1][1] + 1 == scalar:
            found[-1][1] = scalar
        else:
            found.append([scalar, scalar])
    return found


def added(draw):
    """A tokenizer with random added tokens, and texts full of them."""
    own = json.loads((MODEL / "tokenizer.json").read_text(encoding="utf-8"))
    steps = [None, {"type": "Lowercase"}, {"type": "NFKC"}, {"type": "Replace", "pattern": {"String": " "}, "content": "_"}]
    pieces = ["<W>", "<w>", "W", "ww", "<|W|>", "｜w｜", "é", "𠀀w", " w ", "w\u3000", "<w"]
    tokens = [
        {"id": 1000 + index, "content": content, "special": draw.random() < 0.5}
        | {flag: draw.random() < 0.4 for flag in ["single_word", "lstrip", "rstrip", "normalized"]}
        for index, content in enumerate(draw.sample(pieces, draw.randint(1, 5)))
    ]
    normalizer = draw.choice(steps)
    texts = [
        "".join(draw.choice(pieces + AROUND) if draw.random() < 0.7 else draw.choice(AROUND) * 2 for _ in range(draw.randint(1, 9)))
        for _ in range(24)
    ]
    tokenizer = Tokenizer.from_str(json.dumps(own | {"added_tokens": tokens, "normalizer": normalizer}))
    ids = [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    return {"added_tokens": tokens, "normalizer": normalizer, "texts": texts, "ids": ids}


def token(draw, typed):
    content = draw.choice(CONTENTS)
    if draw.random() < 0.6:
        return content
    flags = {"lstrip": draw.random() < 0.3, "rstrip": draw.random() < 0.3, "single_word": draw.random() < 0.3}
    if draw.random() < 0.7:
        flags["normalized"] = draw.random() < 0.5
    return {"content": content} | flags | ({"__type": "AddedToken"} if typed else {})


def names(draw, typed):
    found = {}
    for role in ROLES:
        kind = draw.random()
        if kind < 0.43:
            found[role] = token(draw, typed) if kind < 0.35 else None
    if draw.random() < 0.25:
        found["image_token"] = draw.choice(CONTENTS)
    some = [draw.choice(CONTENTS) for _ in range(draw.randint(0, 3))]
    if draw.random() < 0.3:
        found["additional_special_tokens"] = some[::-1]
    if draw.random() < 0.25:
        found["extra_special_tokens"] = some if draw.random() < 0.6 else {name: draw.choice(CONTENTS) for name in OTHERS[1:]}
    return found


def beside(draw, folder):
    """Files beside a tokenizer, and what comes of them."""
    shutil.copytree(MODEL, folder)
    for name in ["special_tokens_map.json", "tokenizer_config.json", "chat_template.jinja", "added_tokens.json"]:
        (folder / name).unlink(missing_ok=True)
    files = {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"} | names(draw, True)}
    configuration = files["tokenizer_config.json"]
    for key in ["add_bos_token", "add_eos_token"]:
        if draw.random() < 0.4:
            configuration[key] = draw.random() < 0.5
    if draw.random() < 0.4:
        configuration["added_tokens_decoder"] = {
            str(number): {"content": draw.choice(CONTENTS)}
            | {flag: draw.random() < 0.35 for flag in ["lstrip", "normalized", "single_word", "special"]}
            for number in draw.sample(range(990, 1010), draw.randint(0, 3))
        }
    configuration["chat_template"] = TEMPLATE
    if draw.random() < 0.6:
        files["special_tokens_map.json"] = names(draw, False)
        if draw.random() < 0.1:
            files["special_tokens_map.json"]["add_eos_token"] = True
    if draw.random() < 0.4:
        files["added_tokens.json"] = {draw.choice(CONTENTS): 1000 + number for number in range(draw.randint(0, 3))}
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    own = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    drops = draw.random() < 0.3
    if drops:
        own["post_processor"] = None
        (folder / "tokenizer.json").write_text(json.dumps(own), encoding="utf-8")
    texts = ["".join(draw.choice(CONTENTS + [" ", "x", "  y"]) for _ in range(draw.randint(1, 8))) for _ in range(5)]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rendered = tokenizer.apply_chat_template([{"role": "user", "content": texts[0]}], tokenize=False)
    ids = [tokenizer(text)["input_ids"] for text in texts]
    return {"files": files, "drops_post_processor": drops, "texts": texts, "ids": ids, "rendered": rendered}


def part(name, flags, folder):
    """A token with some of its flags in one of the files beside a tokenizer that writes in lower case."""
    shutil.copytree(MODEL, folder)
    for file in ["special_tokens_map.json", "tokenizer_config.json", "chat_template.jinja"]:
        (folder / file).unlink()
    entry = {"content": "<W>"} | flags
    typed = entry | {"__type": "AddedToken"}
    own = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")) | {"normalizer": {"type": "Lowercase"}}
    if name == "tokenizer":
        own["added_tokens"].append({"id": 1000} | entry)
    configuration = {
        "tokenizer": {},
        "decoder": {"added_tokens_decoder": {"1000": entry}},
        "decoder and role": {"added_tokens_decoder": {"1000": entry}, "pad_token": "<W>"},
        "decoder and extra": {"added_tokens_decoder": {"1000": entry}, "extra_special_tokens": ["<W>"]},
        "role": {"pad_token": typed},
        "model role": {"image_token": typed},
        "extra": {"extra_special_tokens": [typed]},
        "additional": {"additional_special_tokens": [typed]},
    }[name]
    files = {"tokenizer.json": own, "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"} | configuration}
    for file, content in files.items():
        (folder / file).write_text(json.dumps(content), encoding="utf-8")
    found = {"place": name, "flags": flags, "files": {"tokenizer_config.json": files["tokenizer_config.json"]}}
    found["added_tokens"] = own["added_tokens"] if name == "tokenizer" else None
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except Exception as error:
        return found | {"ids": None, "error": str(error)}
    ids = tokenizer("x <w> <W> y", add_special_tokens=False)["input_ids"]
    return found | {"ids": ids, "shown": tokenizer.decode(ids, skip_special_tokens=True)}


def parts(work):
    places = ["decoder", "decoder and role", "decoder and extra", "role", "model role", "extra", "additional"]
    choices = [
        (place, {name: value for name, value in [("special", special), ("normalized", normalized)] if value is not None})
        for place in places
        for special in [None, False, True]
        for normalized in [None, False, True]
    ]
    every = dict.fromkeys(["single_word", "lstrip", "rstrip", "normalized", "special"], False)
    choices += [("tokenizer", every)] + [("tokenizer", {key: every[key] for key in every if key != name}) for name in every]
    choices += [("decoder", {"normalized": "yes"})]
    return [part(place, flags, work / f"part-{number}") for number, (place, flags) in enumerate(choices)]


def main():
    logging.disable(logging.CRITICAL)
    draw = random.Random(5)
    with tempfile.TemporaryDirectory() as work:
        result = {
            "word_characters": ranges(),
            "added": [added(draw) for _ in range(40)],
            "beside": [beside(draw, Path(work) / str(number)) for number in range(60)],
            "parts": parts(Path(work)),
        }
    path = HERE / "tokenizers" / "added-tokens.json"
    path.write_text(json.dumps(result, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
