#!/usr/bin/env python3
"""Compares token ids, rendered chat templates and pixel values with tokenizers and transformers, on inputs drawn anew.

    compare_tokenizers.py BRIDGE [--seed N] [--strings N] [--requests N]

The seed is printed; give it back to see the same run. One line per model; exit status 1 when anything differs. Pictures are
made here, of the kinds that Pillow writes. The tokenizers are those of Tests/Fixtures; two models have the sizes of the
published ones in their settings, so that images are resized as they are there.
"""

import argparse
import datetime
import importlib.util
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from processors import load_processor, set_clock
from safetensors import safe_open
from tokenizers import Tokenizer
from transformers import AutoTokenizer

FIXTURES = Path(__file__).resolve().parent.parent / "Fixtures"
CHECKPOINTS = ["mistral", "mistral-peer", "ministral3", "ministral3-new-names", "gemma3", "gemma3-452-names"]
TOKENIZERS = ["tekken-style", "byte-level", "gemma-style", "llama-style", "metaspace-first", "metaspace-always", "word-parts",
              "word-ends", "byte-level NFC", "byte-level NFD", "byte-level NFKC", "byte-level NFKD"]  # fmt: skip
BLOCKS = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x52F), (0x590, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F),
          (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x2000, 0x206F), (0x2100, 0x214F), (0x2580, 0x25FF), (0x3040, 0x30FF),
          (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1DC0, 0x1DFF), (0xF900, 0xFB4F), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1D400, 0x1D7FF),
          (0x1F1E6, 0x1F1FF), (0x1F300, 0x1FAFF), (0x20000, 0x2A6DF), (0x2F800, 0x2FA1D), (0xE0020, 0xE007F), (0, 0x1F)]  # fmt: skip
PIECES = [" ", "  ", "\n", "\n\n", "\r\n", "\t", "\t\t", "        ", "\u00a0", "\u200d", "\u3000", "\u2581", "def f(x):\n    return x",
          "for (int i = 0; i < n; ++i) {", "a->b::c[0]", '{"k": [1, 2.5e-3]}', "0x1F", "12345678", "3.14", "it's", "WE'LL", "'s",
          "camelCaseHTTP", "the quick brown fox", "straße", "e\u0301", "é", "ﬁ", "👩‍👩‍👧‍👦", "👍🏽", "🇫🇷🇩🇪", "🏳️‍🌈", "你好，世界。",
          "今日は", "안녕", "مرحبا", "שָׁלוֹם", "नमस्ते", "https://a.b/c?d=%20", "...", "!!!", "//", "---", "<0x0A>"]  # fmt: skip
DATE = "2024-02-29"


def character(draw):
    low, high = draw.choice(BLOCKS)
    return chr(draw.randint(low, high))


def text(draw, special=()):
    """A string of words of every kind, whitespace, and now and then a special token or half of one."""
    parts = []
    for _ in range(draw.randint(0, 12)):
        kind = draw.random()
        if kind < 0.45:
            parts.append(draw.choice(PIECES))
        elif kind < 0.7:
            parts.append("".join(character(draw) for _ in range(draw.randint(1, 6))))
        elif kind < 0.85:
            parts.append(draw.choice(PIECES[:10]) * draw.randint(1, 9))
        elif special:
            token = draw.choice(special)
            parts.append(token if draw.random() < 0.8 else token[: draw.randint(1, len(token))])
    return "".join(parts)


def photographs():
    """Two photographs that scikit-learn brings along; the package is not imported, only its files are used."""
    [package] = importlib.util.find_spec("sklearn").submodule_search_locations
    return sorted(Path(package, "datasets", "images").glob("*.jpg"))


def photograph(draw, path, largest):
    """A part of a photograph, or the file itself where it is not too large."""
    source = draw.choice(photographs())
    with Image.open(source) as image:
        if max(image.size) <= largest and draw.random() < 0.4:
            return str(source)
        width, height = (draw.randint(1, min(side, largest)) for side in image.size)
        left, top = draw.randint(0, image.width - width), draw.randint(0, image.height - height)
        part = image.crop((left, top, left + width, top + height))
    kind = draw.choice(["png", "webp", "jpg"])
    part.save(path.with_suffix(f".{kind}"))
    return str(path.with_suffix(f".{kind}"))


def picture(draw, path, largest):
    """A picture: a photograph, or one of some mode and kind, smooth or noise."""
    if draw.random() < 0.3:
        return photograph(draw, path, largest)
    width, height = (max(1, round(2 ** draw.uniform(0, np.log2(largest)))) for _ in range(2))
    numbers = np.random.default_rng(draw.getrandbits(32))
    mode = draw.choice(["RGB", "RGB", "RGBA", "L", "LA", "P"])
    channels = {"RGB": 3, "RGBA": 4, "L": 1, "LA": 2, "P": 3}[mode]
    pixels = numbers.integers(0, 256, (height, width, channels), dtype=np.uint8)
    if draw.random() < 0.5:
        y, x = np.mgrid[0:height, 0:width]
        waves = [127 + 127 * np.sin(x / draw.uniform(2, 90) + y / draw.uniform(2, 90)) for _ in range(channels)]
        pixels = np.stack(waves, -1).astype(np.uint8)
    image = Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels, "RGB" if mode == "P" else mode)
    if mode == "P":
        image = image.quantize(draw.randint(2, 256))
    kind = draw.choice(["png", "webp", "jpg"] if mode in ("RGB", "L") else ["png"])
    options = {"webp": {"lossless": draw.random() < 0.5}, "jpg": {"quality": draw.randint(30, 95)}}.get(kind, {})
    image.save(path.with_suffix(f".{kind}"), **options)
    return str(path.with_suffix(f".{kind}"))


def parts(draw, folder, sees, largest):
    content = [{"type": "text", "text": text(draw)} for _ in range(draw.randint(1, 3))]
    for number in range(draw.choice([0, 1, 1, 2]) if sees else 0):
        key = draw.choice(["path", "url", "image"])
        part = {"type": "image", key: picture(draw, folder / f"{draw.getrandbits(48):012x}", largest)}
        content.insert(draw.randint(0, len(content)), part)
    return content


def request(draw, folder, marker, largest):
    """A conversation, or a raw text now and then."""
    if draw.random() < 0.25:
        count = draw.choice([0, 1, 2]) if marker else 0
        images = [picture(draw, folder / f"{draw.getrandbits(48):012x}", largest) for _ in range(count)]
        return {"text": text(draw).join([""] + [marker] * count + [""]) if count else text(draw), "images": images}
    messages = []
    if marker and draw.random() < 0.6:
        messages.append({"role": "system", "content": text(draw)})
    for turn in range(draw.choice([1, 1, 3])):
        if turn % 2:
            messages.append({"role": "assistant", "content": text(draw) or "Yes."})
        else:
            plain = not marker or draw.random() < 0.3
            content = text(draw) if plain else parts(draw, folder, turn < 3, largest)
            messages.append({"role": "user", "content": content})
    result = {"messages": messages, "add_generation_prompt": draw.random() < 0.5, "date": DATE}
    if not result["add_generation_prompt"] and draw.random() < 0.4:
        result["continue_final_message"] = True
        if draw.random() < 0.7 and messages[-1]["role"] == "user":
            messages.append({"role": "assistant", "content": text(draw) or "Yes. "})
    if marker == "<start_of_image>" and draw.random() < 0.4:
        result["pan_and_scan"] = {"min_crop_size": draw.choice([4, 16, 64, 256]), "max_num_crops": draw.randint(1, 6),
                                  "min_ratio_to_activate": draw.choice([1.0, 1.2, 1.7])}  # fmt: skip
    return result


def expected(processor, one):
    """What transformers makes of a request: (ids, batch of pixels or None, rendered text or None)."""
    options = {}
    if pan := one.get("pan_and_scan"):
        options = {"do_pan_and_scan": True} | {f"pan_and_scan_{key}": value for key, value in pan.items()}
    if "text" in one:
        images = {"images": one["images"]} if one["images"] else {}
        out = processor(text=one["text"], **images, **options)
        rendered = one["text"]
    else:
        extra = {"processor_kwargs": options} if options else {}
        prompt = {key: one.get(key, False) for key in ["add_generation_prompt", "continue_final_message"]}
        out = processor.apply_chat_template(one["messages"], tokenize=True, return_dict=True, **prompt, **extra)
        rendered = processor.apply_chat_template(one["messages"], tokenize=False, **prompt)
        # Only on the way to tokens a processor makes an empty list of an empty text.
        if any(message["content"] == "" for message in one["messages"]):
            rendered = None
    pixels = out.get("pixel_values")
    return (
        np.asarray(out["input_ids"]).reshape(-1).tolist(),
        None if pixels is None else np.stack([np.asarray(p, dtype=np.float32) for p in pixels]),
        rendered,
    )


def call(bridge, *arguments):
    done = subprocess.run([bridge, *map(str, arguments)], capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, arguments))} gave exit status {done.returncode}: {done.stderr[-400:]}")
    return done.stdout


def compare_strings(bridge, folder, encode, strings, flags, work):
    """Strings whose ids differ, as sentences."""
    path = work / "strings.json"
    path.write_text(json.dumps(strings))
    ours = json.loads(call(bridge, "process", "strings", folder, path, *flags))
    found = []
    for one, ids in zip(strings, ours, strict=True):
        wanted = list(encode(one))
        if ids != wanted:
            found.append(f"{one!r} gives {ids[:20]}, expected {wanted[:20]}")
    return found


def compare_requests(bridge, folder, draw, count, largest, work):
    """Requests whose result differs, as sentences, and how many of them transformers refuses too."""
    processor = load_processor(folder)
    marker = getattr(processor, "image_token", None)
    media = Path(tempfile.mkdtemp(dir=work))
    requests = [request(draw, media, marker, largest) for _ in range(count)]
    (work / "requests.json").write_text(json.dumps(requests))
    call(bridge, "process", "requests", folder, work / "requests.json", work / "out.safetensors")
    found, refused, images = [], 0, 0
    with safe_open(work / "out.safetensors", "np") as ours:
        notes, names = ours.metadata(), set(ours.keys())
        for number, one in enumerate(requests):
            what = json.dumps(one, ensure_ascii=False)[:300]
            error = notes.get(f"{number}.error")
            try:
                ids, pixels, rendered = expected(processor, one)
            except Exception as failure:
                refused += 1
                if error is None:
                    found.append(f"{what} is accepted, transformers says {failure}")
                continue
            if error is not None:
                # What transformers lets through and its models then refuse.
                if "the model takes at most" in error or "contain that token itself" in error:
                    refused += 1
                else:
                    found.append(f"{what} is refused: {error}")
                continue
            if rendered is not None and notes[f"{number}.prompt"] != rendered:
                found.append(f"{what} renders as {notes[f'{number}.prompt'][:200]!r}, expected {rendered[:200]!r}")
            got = ours.get_tensor(f"{number}.input_ids").reshape(-1).tolist()
            if got != ids:
                found.append(f"{what} gives {got[:40]}, expected {ids[:40]}")
            key = f"{number}.pixel_values"
            got = ours.get_tensor(key) if key in names else None
            images += 0 if pixels is None else len(pixels)
            if (got is None) != (pixels is None) or got is not None and not np.array_equal(got, pixels):
                found.append(f"{what} has other pixels")
    return found, f"{count} requests, {images} images, {refused} refused by both"


def published_sizes(name, work):
    """A copy of a checkpoint with the image sizes of the published models; the weights do not matter here."""
    copy = work / f"{name}-large"
    shutil.copytree(FIXTURES / "checkpoints" / name, copy)

    def change(file, changes):
        settings = json.loads((copy / file).read_text())
        for keys, value in changes.items():
            inner = settings
            for key in keys.split(".")[:-1]:
                inner = inner.setdefault(key, {})
            inner[keys.split(".")[-1]] = value
        (copy / file).write_text(json.dumps(settings))

    common = {"vision_config.patch_size": 14, "text_config.max_position_embeddings": 131072}
    if name.startswith("gemma"):
        change("config.json", common | {"vision_config.image_size": 896, "mm_tokens_per_image": 256})
        change("processor_config.json", {"image_seq_length": 256})
        change("preprocessor_config.json", {"size": {"height": 896, "width": 896}})
    else:
        change("config.json", common | {"vision_config.image_size": 1540, "spatial_merge_size": 2})
        change("processor_config.json", {"patch_size": 14, "spatial_merge_size": 2, "image_processor.patch_size": 14,
                                         "image_processor.size": {"longest_edge": 1540}})  # fmt: skip
    return copy


def with_tokenizer(folder, name, form=None):
    """A model with a tokenizer of the fixtures, perhaps with another normalizer."""
    shutil.copytree(FIXTURES / "checkpoints" / "mistral", folder)
    for file in folder.glob("*token*"):
        file.unlink()
    settings = json.loads((FIXTURES / "tokenizers" / name / "tokenizer.json").read_text())
    if form:
        settings["normalizer"] = {"type": form}
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--strings", type=int, default=3000)
    parser.add_argument("--requests", type=int, default=60)
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}", flush=True)
    set_clock(datetime.datetime.fromisoformat(DATE))
    failed = False

    def report(title, found, note):
        nonlocal failed
        failed = failed or bool(found)
        print(f"{'FAIL' if found else 'ok  '} {title} ({note})", *found[:5], sep="\n     ", flush=True)

    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        for name in CHECKPOINTS:
            draw = random.Random(f"{arguments.seed} {name}")
            folder = FIXTURES / "checkpoints" / name
            tokenizer = AutoTokenizer.from_pretrained(folder)
            special = [token.content for token in tokenizer.added_tokens_decoder.values()]
            strings = special + [text(draw, special) for _ in range(arguments.strings)]
            found = compare_strings(arguments.bridge, folder, lambda s: tokenizer(s)["input_ids"], strings, [], work)
            report(f"tokens of {name}", found, f"{len(strings)} strings")
            if tokenizer.chat_template:
                report(f"inputs of {name}", *compare_requests(arguments.bridge, folder, draw, arguments.requests, 300, work))
        for name in TOKENIZERS:
            draw = random.Random(f"{arguments.seed} {name}")
            folder = with_tokenizer(work / name, *name.split())
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
            strings = special + [text(draw, special) for _ in range(arguments.strings)]
            found = compare_strings(arguments.bridge, folder, lambda s: tokenizer.encode(s).ids, strings, [], work)
            report(f"tokens of the tokenizer {name}", found, f"{len(strings)} strings")
        for name in ["ministral3", "gemma3"]:
            draw = random.Random(f"{arguments.seed} large {name}")
            folder = published_sizes(name, work)
            count = max(1, arguments.requests // 4)
            report(f"inputs of {name} in published sizes", *compare_requests(arguments.bridge, folder, draw, count, 2500, work))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
