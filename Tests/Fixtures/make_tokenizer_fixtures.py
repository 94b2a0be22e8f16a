"""Makes Tests/Fixtures/tokenizers: tiny tokenizers of each kind and what Python makes of many strings with them.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install transformers==5.23.0 tokenizers==0.23.3 \
        sentencepiece==0.2.3 jinja2==3.1.6 mistral-common==1.13.1
    /tmp/peers/bin/python Tests/Fixtures/make_tokenizer_fixtures.py

Every expected value comes from those packages, never from Bridge. Long results are kept as 32-bit hashes (FNV-1a of 64 bits,
both halves xored), packed as base64.
"""

import base64
import json
import pathlib
import random
import re
import shutil
import struct
import sys
import unicodedata

import sentencepiece
from mistral_common.tokens.tokenizers.tekken import SpecialTokenPolicy, Tekkenizer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tokenizer_templates

FOLDER = pathlib.Path(__file__).parent / "tokenizers"
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
MISTRAL = [
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
    "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]",
]
GEMMA = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>",
         "<end_of_image>", "<image_soft_token>"]

PIECES = {
    "words": "the quick brown fox jumps over lazy dogs it's we'll THEY'RE Don't HTTPServer camelCase snake_case I'M "
             "straße naïve café Ünïcödé ÀÉÎ ǅungla ﬁnance ｆｕｌｌ Ⅷ ½ ²".split(),
    "spaces": [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", " \n ", "\u00a0", "\u2003", "\u3000", "\u2028",
               "\u180e", "\u200b", "\x0b\x0c", "\x85", "        ", "\n\n\n\n\n", "\t\t\t"],
    "scripts": ["你好，世界。", "今日は良い天気", "안녕하세요", "\u1112\u1161\u11ab\u1100\u1173\u11af", "مرحبا بالعالم",
                "السَّلَامُ", "שָׁלוֹם", "Привет мир", "Ελληνικά", "नमस्ते दुनिया", "สวัสดีครับ", "ქართული", "አማርኛ",
                "한국어 テスト 中文", "ﷺ", "𝒜𝓁𝓅𝒽𝒶", "𐍈𐌰", "𠀀𪚥"],
    "emoji": ["😀", "👩‍👩‍👧‍👦", "👍🏽", "🏳️‍🌈", "🇫🇷🇩🇪", "☕️", "1️⃣", "🧑🏿‍🚀", "❤", "🫠", "🫨"],
    "marks": ["e\u0301", "é", "a\u0323\u0302", "ệ", "Z\u0351\u036b\u0343a\u0313l\u0357g\u0300o", "\u0301x", "ａ\u3099",
              "\u1e9b\u0323"],
    "controls": [chr(c) for c in list(range(32)) + [127]] + ["\u200d", "\ufeff", "\u202e", "\ufffd", "\ufffe", "\U0010ffff",
                                                           "\u00ad", "\u2581", "\u2581\u2581a", "\ue000"],
    "newer": ["\u0897", "\U00010d50\U00010d70", "\U0001e4d0", "\U00016d40", "\U000323af", "\U00010d40\U00010d41", "\ua7cd",
              "\u1c89x", "\U00011f02", "\u1b4e", "\U0001e5d0a"],
    "code": ["def f(x):\n    return x**2  # ok", "for (int i = 0; i < 10; ++i) {", "<html><body>", "a[0]->b::c", "{\"k\": [1, 2.5e-3]}",
             "\t\tif err != nil {", "https://example.com/a?b=c&d=%20", "SELECT * FROM t;", "x=\"\\n\"", "//////", "---\n\n", "$$\\frac{1}{2}$$",
             "0x1F 1_000 3.14 12345678", "a/b\n/c", "!!!\n\n", "...", "'s 'S 'LL 'll 'ſ"],
    "bytes": ["<0x0A>", "<0xE2>", "<0xZZ>", "<unk", "<s", "[INST", "[/INST]]", "<bo"],
}

RULES = [("\t", " "), ("\n", " "), ("\r", " "), ("\u3000", " "), ("\u00a0", " "), ("\u2003", " "), ("\u200b", ""), ("\u00ad", ""),
         ("e\u0301", "é"), ("a\u0323\u0302", "ậ"), ("ﬁ", "fi"), ("½", "1/2"), ("Ⅷ", "VIII"), ("ﷺ", "صلى الله"), ("ｆ", "f"), ("ｕ", "u"), ("ｌ", "l")]


def strings(rng):
    special = MISTRAL[1:5] + ["[IMG]", "<bos>", "<start_of_turn>", "<end_of_turn>", "<keep>", "<norm>", "<Word>", "<left>", "<right>", "<both>"]
    result = ["", " ", "a", "\n", "Hello, world!", " Hello", "Hello ", "  two  spaces  "]
    for pool in PIECES.values():
        result += pool
    for token in special:
        for before in ["", " ", "  ", "a", "\n ", "é", "_"]:
            for after in ["", "  b", "b", "\n\n"]:
                result.append(before + token + after)
    names = list(PIECES)
    for _ in range(700):
        count = rng.randrange(2, 9)
        parts = []
        for _ in range(count):
            pool = PIECES[rng.choice(names)] if rng.random() < 0.85 else special
            parts.append(rng.choice(pool))
        result.append(rng.choice(["", " ", " ", "\n"]).join(parts))
    for _ in range(160):
        result.append(" ".join(rng.choice(PIECES["words"]) for _ in range(rng.randrange(3, 14))))
    assigned = [c for c in range(0x20, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    for _ in range(250):
        result.append("".join(chr(rng.choice(assigned)) for _ in range(rng.randrange(1, 7))))
    for _ in range(120):
        result.append("".join(chr(rng.randrange(0x20, 0x500)) for _ in range(rng.randrange(1, 12))))
    return list(dict.fromkeys(result))


REPEATED = [["a", 3000], [" ", 3000], ["\n", 2000], ["ab", 1500], ["你", 900], ["😀", 300], ["A", 700], ["é", 800], ["\u2581", 500],
            [" a", 900], ["\n ", 700], ["<s>", 200], ["[IMG]", 300], ["=", 1000], ["antidisestablishmentarianism", 40], ["9", 500], ["\u0301", 200],
            ["'s", 300], ["\r\n", 300], ["\x00", 100]]


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return (value ^ value >> 32) & 0xFFFFFFFF


def hash_ids(ids):
    return fnv(struct.pack(f"<{len(ids)}i", *ids))


def hash_text(text):
    return fnv(text.encode("utf-8"))


def packed(hashes):
    return base64.b64encode(struct.pack(f"<{len(hashes)}I", *hashes)).decode()


def corpus():
    rng = random.Random(11)
    lines = []
    words = sum((pool for name, pool in PIECES.items() if name not in ("bytes", "newer")), [])
    for _ in range(3000):
        lines.append(" ".join(rng.choice(words) for _ in range(rng.randrange(4, 16))))
    prose = "The tide came in before noon and the boats that had been drawn up on the sand were floated one after another. " \
            "Nobody spoke; the work was known by everyone, and it was finished when the sun stood over the church tower. "
    return lines + [prose] * 30


def added(content, **flags):
    return AddedToken(content, **{"normalized": False, **flags})


STRIPPED = [
    added("<keep>"), added("<left>", lstrip=True), added("<right>", rstrip=True), added("<both>", lstrip=True, rstrip=True),
    added("<Word>", single_word=True), AddedToken("<norm>", normalized=True), AddedToken("two spaces", normalized=True),
]


def train(tokenizer, vocab_size, specials, alphabet=None, prefix=None, suffix=None):
    options = {"vocab_size": vocab_size, "special_tokens": specials, "show_progress": False, "min_frequency": 2}
    if alphabet is not None:
        options["initial_alphabet"] = alphabet
    if prefix:
        options["continuing_subword_prefix"] = prefix
    if suffix:
        options["end_of_word_suffix"] = suffix
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(**options))
    return tokenizer


def rebuilt(tokenizer, **changes):
    """The same tokenizer with other fields of its model."""
    tree = json.loads(tokenizer.to_str())
    tree["model"].update(changes)
    return Tokenizer.from_str(json.dumps(tree))


def tekken_style():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(TEKKEN), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.decoder = decoders.ByteLevel()
    t = rebuilt(train(t, 1100, MISTRAL, sorted(pre_tokenizers.ByteLevel.alphabet())), ignore_merges=True)
    t.add_tokens(STRIPPED)
    t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return t


def byte_level():
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True)
    t.decoder = decoders.ByteLevel()
    # Without an alphabet some bytes have no token.
    train(t, 500, ["<unk>", "<s>", "</s>"], [])
    t.add_tokens(STRIPPED)
    t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 1), trim_offsets=False)
    return t


def with_bytes(tokenizer, specials):
    """Adds the 256 fallback tokens behind the special ones, as SentencePiece does, and shifts the rest."""
    tree = json.loads(tokenizer.to_str())
    old = sorted(tree["model"]["vocab"].items(), key=lambda item: item[1])
    names = specials + [f"<0x{byte:02X}>" for byte in range(256)]
    names += [token for token, _ in old if token not in set(names)]
    tree["model"]["vocab"] = {token: index for index, token in enumerate(names)}
    tree["model"].update(byte_fallback=True, fuse_unk=True, unk_token="<unk>")
    for token in tree["added_tokens"]:
        token["id"] = tree["model"]["vocab"][token["content"]]
    return Tokenizer.from_str(json.dumps(tree))


def gemma_style():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Replace(" ", "\u2581")
    t.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    train(t, 900, GEMMA)
    t = with_bytes(t, GEMMA)
    t.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    t.add_tokens([added("\n" * n) for n in range(2, 9)] + [added("\u2581" * n) for n in range(2, 9)] + [added("<table>")])
    t.add_tokens(STRIPPED)
    t.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 2)])
    return t


def llama_style():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    t.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    train(t, 700, ["<unk>", "<s>", "</s>"])
    t = with_bytes(t, ["<unk>", "<s>", "</s>"])
    t.pre_tokenizer = None
    t.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    t.add_special_tokens([added("[INST]"), added("[/INST]")])
    t.add_tokens(STRIPPED)
    t.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return t


def metaspace(scheme, split):
    t = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=not split))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=True)
    train(t, 450, ["<unk>", "<s>", "</s>"])
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=split)
    t.decoder = decoders.Metaspace(prepend_scheme=scheme)
    t.add_tokens(STRIPPED)
    return t


def word_parts():
    t = Tokenizer(models.BPE(unk_token="<unk>", continuing_subword_prefix="##"))
    t.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.CharDelimiterSplit("x"),
                                               pre_tokenizers.Digits(individual_digits=True)])
    train(t, 400, ["<unk>"], prefix="##")
    t.add_tokens(STRIPPED)
    return t


def word_ends():
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.Replace(Regex(r"\p{Mn}"), ""), normalizers.NFC(),
                                         normalizers.Replace(Regex(r"\s+"), " ")])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split(Regex(r"\p{P}+"), "contiguous"),
                                               pre_tokenizers.Digits()])
    train(t, 400, ["<unk>"], suffix="</w>")
    t.decoder = decoders.BPEDecoder(suffix="</w>")
    return t


def write(path, tree):
    path.write_text(json.dumps(tree, ensure_ascii=True, separators=(",", ":")) + "\n")


def byte_offsets(text, offsets):
    starts = [0]
    for character in text:
        starts.append(starts[-1] + len(character.encode("utf-8")))
    return [value for a, b in offsets for value in (starts[a], starts[b])]


def record(texts, encode, decode, offsets=None):
    rows = {"ids": [], "text": [], "full": {}}
    if offsets:
        rows["offsets"] = []
    for index, text in enumerate(texts):
        ids = encode(text)
        rows["ids"].append(hash_ids(ids))
        rows["text"].append(hash_text(decode(ids)))
        if offsets:
            rows["offsets"].append(hash_ids(byte_offsets(text, offsets(text))))
        if index % 60 == 4:
            rows["full"][str(index)] = ids
    for name in ("ids", "text", "offsets"):
        if name in rows:
            rows[name] = packed(rows[name])
    return rows


def random_ids(rng, size):
    return [[rng.randrange(size) for _ in range(rng.randrange(1, 12))] for _ in range(60)]


def hugging_face(name, tokenizer, texts):
    folder = FOLDER / name
    folder.mkdir(parents=True)
    tree = json.loads(tokenizer.to_str())
    write(folder / "tokenizer.json", tree)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    # Offsets through Unicode's normalization forms are Bridge's own: a changed cluster points to all of its source.
    forms = any(form in json.dumps(tree["normalizer"]) for form in ("NFD", "NFKC"))
    rows = record(texts, lambda s: tokenizer.encode(s, add_special_tokens=False).ids,
                  lambda ids: tokenizer.decode(ids, skip_special_tokens=False),
                  None if forms else lambda s: tokenizer.encode(s, add_special_tokens=False).offsets)
    rng = random.Random(name)
    sequences = random_ids(rng, tokenizer.get_vocab_size() + 3)
    rows["random"] = sequences
    rows["randomText"] = packed([hash_text(tokenizer.decode(ids, skip_special_tokens=False)) for ids in sequences])
    rows["randomSkipped"] = packed([hash_text(tokenizer.decode(ids, skip_special_tokens=True)) for ids in sequences])
    rows["hello"] = tokenizer.encode("Hello [INST] there").ids
    rows["vocabularySize"] = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    write(folder / "expected.json", rows)


def token_bytes(tokenizer):
    printable = {c: i for i, c in enumerate(byte_characters())}
    vocab = sorted(tokenizer.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
    return [bytes(printable[c] for c in token) for token, _ in vocab if token not in MISTRAL]


def byte_characters():
    own = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    table, spare = [], 0x100
    for byte in range(256):
        if byte in own:
            table.append(chr(byte))
        else:
            table.append(chr(spare))
            spare += 1
    return table


def tekken(texts):
    folder = FOLDER / "tekken"
    folder.mkdir()
    tokens = [bytes([b]) for b in range(256)]
    tokens += [t for t in token_bytes(tekken_style()) if len(t) > 1]
    specials = [{"rank": i, "token_str": s, "is_control": True} for i, s in enumerate(MISTRAL)]
    tree = {
        "config": {"pattern": TEKKEN, "num_vocab_tokens": len(tokens), "default_vocab_size": len(tokens) + 30 - 17,
                   "default_num_special_tokens": 30, "version": "v11"},
        "vocab": [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for i, t in enumerate(tokens)],
        "special_tokens": specials,
    }
    write(folder / "tekken.json", tree)
    peer = Tekkenizer.from_file(folder / "tekken.json")
    rows = record(texts, lambda s: peer.encode(s, bos=False, eos=False),
                  lambda ids: peer.decode(ids, special_token_policy=SpecialTokenPolicy.KEEP))
    sequences = random_ids(random.Random("tekken"), peer.n_words)
    rows["random"] = sequences
    rows["randomText"] = packed([hash_text(peer.decode(ids, special_token_policy=SpecialTokenPolicy.KEEP)) for ids in sequences])
    rows["randomSkipped"] = packed([hash_text(peer.decode(ids, special_token_policy=SpecialTokenPolicy.IGNORE)) for ids in sequences])
    rows["hello"] = peer.encode("Hello there", bos=True, eos=False)
    rows["vocabularySize"] = peer.n_words
    write(folder / "expected.json", rows)


def sentence_piece(name, texts, **options):
    folder = FOLDER / name
    folder.mkdir()
    source = folder / "corpus.txt"
    source.write_text("\n".join(line.replace("\n", " ").replace("\r", " ") for line in corpus()), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(source), model_prefix=str(folder / "tokenizer"), model_type="bpe", vocab_size=1000, minloglevel=2,
        character_coverage=0.995, user_defined_symbols=["<keep>", "[IMG]"], num_threads=1, **options)
    source.unlink()
    (folder / "tokenizer.vocab").unlink()
    peer = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    # SentencePiece ends a text at U+0000 in places; models never see that character.
    rows = record(texts, lambda s: peer.encode(s), lambda ids: peer.decode(ids))
    rows["hello"] = [peer.bos_id()] + peer.encode("Hello there")
    rows["vocabularySize"] = peer.get_piece_size()
    write(folder / "expected.json", rows)


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    rng = random.Random(7)
    texts = strings(rng)
    write(FOLDER / "strings.json", {"strings": texts, "repeated": REPEATED})
    texts = texts + [text * count for text, count in REPEATED]
    hugging_face("tekken-style", tekken_style(), texts)
    hugging_face("byte-level", byte_level(), texts)
    hugging_face("gemma-style", gemma_style(), texts)
    hugging_face("llama-style", llama_style(), texts)
    hugging_face("metaspace-first", metaspace("first", False), texts)
    hugging_face("metaspace-always", metaspace("always", True), texts)
    hugging_face("word-parts", word_parts(), texts)
    hugging_face("word-ends", word_ends(), texts)
    tekken(texts)
    sentence_piece("sentencepiece", texts, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
                   allow_whitespace_only_pieces=True, split_digits=True)
    rules = FOLDER / "rules.tsv"
    # Only a few of SentencePiece's rules: the whole map has 240 kB.
    rules.write_text("".join("\t".join(" ".join(f"{ord(c):X}" for c in part) for part in rule) + "\n" for rule in RULES))
    sentence_piece("sentencepiece-rules", texts, byte_fallback=False, normalization_rule_tsv=str(rules))
    rules.unlink()
    tokenizer_templates.write(FOLDER)
    print(len(texts), "strings,", sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()), "bytes")


if __name__ == "__main__":
    main()
