#!/usr/bin/env python3
"""Prepares data sets and reads the result beside transformers.

    compare_prepared.py [BRIDGE] [--seed N] [--only TEXT ...]

tokens      Conversations with several turns under a chat template that marks answers: tokens and supervised tokens of the
            safetensors files equal apply_chat_template with return_assistant_tokens_mask.
images      The same for a model that reads images: pixel values of the processor, to the bit.
packing     Rows, fill and samples of a row of first fit, in decreasing order of length, by its definition.
"""

import json
import shutil
from pathlib import Path

import numpy
from PIL import Image
from processors import load_processor
from runner import main
from safetensors.numpy import load_file
from transformers import AutoTokenizer

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}a: {% generation %}"
    "{{ message['content'] }}{{ eos_token }}{% endgeneration %}{% else %}q: {{ message['content'] }}\n{% endif %}"
    "{% endfor %}"
)
WORDS = "one two three, four! Five; 6 + 7 = 13? naïve façade 你好 🙂 the end.".split()
IMAGES = ["rgb.png", "grey.png", "interlaced.png"]


def text(draw, most):
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, most)))


def conversations(draw, count):
    rows = []
    for _ in range(count):
        messages = []
        for _ in range(draw.randint(1, 3)):
            messages.append({"role": "user", "content": text(draw, 12)})
            messages.append({"role": "assistant", "content": text(draw, 20)})
        rows.append({"messages": messages})
    return rows


def prepared(runner, model, rows, folder, *settings):
    """Prepares rows; the report and the tensors of all files."""
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    output = runner.call(
        "data", "prepare", "--hf-model", model, "--data", data, "--output", folder / "prepared", "--json", *settings
    )
    report = json.loads(output)
    path = report["data"][0]["path"]
    shards = json.loads(open(f"{path}/prepared.json", encoding="utf-8").read())["shards"]
    return report, [load_file(f"{path}/{shard['file']}") for shard in shards]


def samples(tensors):
    """Tokens and labels of each sample."""
    for part in tensors:
        ends = part["sample_offsets"]
        for start, end in zip(ends, ends[1:]):
            yield part["tokens"][start:end].tolist(), part["labels"][start:end].tolist()


def images(tensors):
    """The pixel values of each image."""
    for part in tensors:
        for index, (height, width) in enumerate(part["image_sizes"]):
            pixels = part["pixels"][part["pixel_offsets"][index] : part["pixel_offsets"][index + 1]]
            area = height * width
            if len(pixels) == 12 * area:
                yield pixels.view(numpy.float32).reshape(3, height, width)
                continue
            planes = pixels.reshape(3, height, width)
            yield numpy.stack([part["palettes"][index, channel][planes[channel]] for channel in range(3)])


def toy(runner, family, folder):
    runner.call("toy", "--family", family, "--output", folder / "model", "--seed", runner.seed % 1000)
    return folder / "model"


def check_tokens(runner, name):
    draw, folder = runner.draw(name), runner.work / name
    folder.mkdir(parents=True)
    model = toy(runner, "mistral", folder)
    (model / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    rows = conversations(draw, 40)
    _, tensors = prepared(runner, model, rows, folder)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenizer.chat_template = TEMPLATE
    found, problems = list(samples(tensors)), []
    if len(found) != len(rows):
        return "", [f"{len(found)} samples, expected {len(rows)}"]
    for number, (row, (tokens, labels)) in enumerate(zip(rows, found)):
        theirs = tokenizer.apply_chat_template(
            row["messages"], tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        if tokens != theirs["input_ids"]:
            problems.append(f"tokens of row {number} differ")
        marks = [label != -100 for label in labels]
        if marks != [bool(mark) for mark in theirs["assistant_masks"]]:
            problems.append(f"supervised tokens of row {number} differ")
        if any(label not in (-100, token) for token, label in zip(tokens, labels)):
            problems.append(f"labels of row {number} are not its tokens")
    return f"{len(rows)} rows", problems


def check_images(runner, name, family):
    draw, folder = runner.draw(name), runner.work / name
    folder.mkdir(parents=True)
    model = toy(runner, family, folder)
    fixtures = Path(__file__).parent.parent / "Fixtures" / "images"
    rows, used = [], []
    for number in range(6):
        image = draw.choice(IMAGES)
        shutil.copy(fixtures / image, folder / image)
        used.append(folder / image)
        question = {"role": "user", "content": f"<image> {text(draw, 5)}"}
        rows.append({"messages": [question, {"role": "assistant", "content": text(draw, 5)}], "images": [image]})
    _, tensors = prepared(runner, model, rows, folder)
    processor, problems = load_processor(model), []
    marker = getattr(processor, "boi_token", None) or processor.image_token
    found = list(images(tensors))
    if len(found) != len(rows):
        return "", [f"{len(found)} images, expected {len(rows)}"]
    for number, (path, pixels) in enumerate(zip(used, found)):
        with Image.open(path) as image:
            theirs = processor(text=marker, images=[image.convert("RGB")], return_tensors="np")["pixel_values"][0]
        theirs = numpy.asarray(theirs, dtype=numpy.float32)
        if theirs.shape != pixels.shape or not (theirs.view(numpy.uint32) == pixels.view(numpy.uint32)).all():
            problems.append(f"the pixels of image {number} differ")
    return f"{len(rows)} images", problems


def check_packing(runner, name):
    draw, folder = runner.draw(name), runner.work / name
    folder.mkdir(parents=True)
    model = toy(runner, "mistral", folder)
    longest, size = 96, 160
    report, tensors = prepared(
        runner,
        model,
        conversations(draw, 120),
        folder,
        "-sl",
        longest,
        f"dataset.packed_sequence_size={size}",
        "dataset.packing_algorithm=first_fit_decreasing",
    )
    rows = []
    lengths = sorted((min(len(tokens), longest) for tokens, _ in samples(tensors)), reverse=True)
    for length in lengths:
        row = next((row for row in rows if sum(row) + length <= size), None)
        if row is None:
            rows.append(row := [])
        row.append(length)
    share = 100 * sum(lengths) / (len(rows) * size)
    expected = (
        f"training: 120 samples packed into {len(rows)} rows of {size} tokens, {share:.1f} % filled, "
        f"at most {max(map(len, rows))} samples in a row"
    )
    problems = [] if report["notes"] == [expected] else [f"{report['notes']}, expected {expected}"]
    return f"{len(rows)} rows", problems


def compare(runner, options):
    runner.judge("tokens", lambda: check_tokens(runner, "tokens"))
    for family in ("gemma3", "ministral3"):
        runner.judge(f"images {family}", lambda: check_images(runner, f"images-{family}", family))
    runner.judge("packing", lambda: check_packing(runner, "packing"))


if __name__ == "__main__":
    main(__doc__, compare)
