"""Tiny real tokenizers for the fixtures: a tekken-style byte-level BPE and a Gemma-style BPE with byte fallback."""

import base64
import json
import random

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

# The control tokens of Mistral's tekken tokenizers, in the order and under the ids that the hub has.
MISTRAL_SPECIALS = [
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
    "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
]  # fmt: skip
GEMMA_SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>"]

TEKKEN_PATTERN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

PROSE = """A bridge carries weights from one bank to the other and loses none on the way.
The river below is wide, the planks are numbered, and every plank is counted twice: 1, 2, 3, 4, 5.
Describe this image. What is in the picture? There are 42 trees, 7 boats and 1 house near the water.
Der Fluss ist breit, und die Brücke hält. Le pont est étroit mais solide ; où va-t-il ? ¿Quién cruza el río?
Мост короткий. 橋は長い。 다리 위의 사람. γέφυρα. גשר. def main():\n    return x[0] + y  # ok\n"""


def corpus():
    """Text to learn merges from: the prose above and words made of syllables, the same ones every time."""
    draw = random.Random(20260101)
    syllables = [a + b + c for a in "bdfgklmnprstvw" for b in "aeiou" for c in ("", "n", "r", "st", "l")]
    words = ["".join(draw.choice(syllables) for _ in range(draw.randint(1, 3))) for _ in range(900)]
    lines = [" ".join(draw.choices(words, k=12)).capitalize() + "." for _ in range(400)]
    return PROSE.splitlines(keepends=True) * 6 + lines


def learn(tokenizer, count, alphabet):
    """The merges of a BPE in the order learnt, as pairs; every pair makes a new token."""
    # Huge, because what is wanted is an ordered list to cut; a merge needs a pair that occurs twice.
    trainer = trainers.BpeTrainer(
        vocab_size=count + 2000, min_frequency=2, initial_alphabet=alphabet, show_progress=False, special_tokens=[]
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return [tuple(pair) for pair in model["merges"]], model["vocab"]


def added(tokens, start=0):
    return [
        {
            "id": start + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": False, "special": True,
        }
        for i, token in enumerate(tokens)
    ]  # fmt: skip


def prefix_template(token, identifier):
    """A post-processor that puts one token in front."""
    first = {"SpecialToken": {"id": token, "type_id": 0}}
    return {
        "type": "TemplateProcessing",
        "single": [first, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [first, {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [identifier], "tokens": [token]}},
    }


def byte_characters():
    """The printable stand-in of each byte in a byte-level BPE."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table, spare = {}, 256
    for byte in range(256):
        if byte in plain:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(spare)
            spare += 1
    return table


def fill(vocabulary, merges, size):
    """Adds merges to a vocabulary until it has `size` entries; returns the merges used."""
    used = []
    for left, right in merges:
        if len(vocabulary) == size:
            return used
        if left in vocabulary and right in vocabulary and left + right not in vocabulary:
            vocabulary[left + right] = len(vocabulary)
            used.append([left, right])
    if len(vocabulary) != size:
        raise ValueError(f"the corpus gives {len(vocabulary)} tokens, {size} were asked for")
    return used


def tekken(size):
    """tokenizer.json and tekken.json of a byte-level BPE with `size` tokens, the special ones included."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(TEKKEN_PATTERN), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    merges, _ = learn(tokenizer, size, pre_tokenizers.ByteLevel.alphabet())

    characters = byte_characters()
    vocabulary = {token: i for i, token in enumerate(MISTRAL_SPECIALS)}
    for byte in range(256):
        vocabulary[characters[byte]] = len(vocabulary)
    used = fill(vocabulary, merges, size)
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    split_json = {
        "type": "Split", "pattern": {"Regex": TEKKEN_PATTERN}, "behavior": "Isolated", "invert": False,
    }  # fmt: skip
    tokenizer_json = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added(MISTRAL_SPECIALS),
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split_json, byte_level]},
        "post_processor": prefix_template("<s>", 1),
        "decoder": dict(byte_level, add_prefix_space=True, use_regex=True),
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
            "vocab": vocabulary, "merges": used,
        },
    }  # fmt: skip

    back = {character: byte for byte, character in characters.items()}
    ranks = []
    for token in list(vocabulary)[len(MISTRAL_SPECIALS) :]:
        raw = bytes(back[character] for character in token)
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        ranks.append({"rank": len(ranks), "token_bytes": base64.b64encode(raw).decode(), "token_str": text})
    tekken_json = {
        "config": {
            "pattern": TEKKEN_PATTERN, "num_vocab_tokens": len(ranks), "default_vocab_size": size,
            "default_num_special_tokens": len(MISTRAL_SPECIALS), "version": "v13",
        },
        "vocab": ranks,
        "special_tokens": [
            {"rank": i, "token_str": token, "is_control": True} for i, token in enumerate(MISTRAL_SPECIALS)
        ],
    }  # fmt: skip
    return tokenizer_json, tekken_json


def gemma(size):
    """tokenizer.json of a SentencePiece-style BPE with byte fallback.

    The last two of its `size` tokens open and close an image; the soft token of an image follows the vocabulary under
    the id `size`, as on the hub.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    # Only for learning: merges must not cross words, which the tokenizer itself leaves to the vocabulary.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer.decoder = decoders.Fuse()
    merges, letters = learn(tokenizer, size, [])

    vocabulary = {token: i for i, token in enumerate(GEMMA_SPECIALS)}
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    vocabulary["\n"] = len(vocabulary)
    # Characters past ASCII are left out but for a few, so that byte fallback has something to do.
    for letter in sorted(token for token in letters if len(token) == 1):
        if letter not in vocabulary and (ord(letter) < 128 or letter in "▁üéíоה橋"):
            vocabulary[letter] = len(vocabulary)
    newlines = [["\n", "\n"], ["\n\n", "\n"]]
    for left, right in newlines:
        vocabulary[left + right] = len(vocabulary)
    used = newlines + fill(vocabulary, merges, size - 2)
    boundaries = ["<start_of_image>", "<end_of_image>"]
    for token in boundaries:
        vocabulary[token] = len(vocabulary)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added(GEMMA_SPECIALS) + added([*boundaries, "<image_soft_token>"], size - 2),
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        "pre_tokenizer": {
            "type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False,
        },
        "post_processor": prefix_template("<bos>", 2),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
            ],
        },
        "model": {
            "type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": True, "byte_fallback": True, "ignore_merges": False,
            "vocab": vocabulary, "merges": used,
        },
    }  # fmt: skip
