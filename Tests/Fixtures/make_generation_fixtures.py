"""Makes Tests/Fixtures/generation/expected.json: what transformers says to prompts, and how it weighs tokens.

    scripts/setup-peers
    .venv-peers/bin/python Tests/Fixtures/make_generation_fixtures.py            # writes the file
    .venv-peers/bin/python Tests/Fixtures/make_generation_fixtures.py --check    # compares with what is committed

Versions in Tests/Peers/requirements.txt. "answers" are greedy tokens of `checkpoints` in float32, from the prompt and
pictures on, through processor, chat template and model. "weights" are probabilities behind transformers' own logits
processors in the order in which `generate` calls them.
"""

import datetime
import json
import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText
from transformers.generation import logits_process

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Peers"))
from processors import load_processor, set_clock  # noqa: E402

TARGET = HERE / "generation" / "expected.json"
DATE = "2025-03-09"
NEW = 16
ANSWERS = [
    ("mistral", "Hello there", [], None),
    ("mistral-window", "A prompt that is longer than the window of seven tokens.", [], None),
    ("ministral3", "Say hello.", [], "Be brief."),
    ("ministral3", "What is it?", ["rgb.png"], None),
    ("ministral3", "Which one is larger?", ["rgb.png", "baseline-420.jpg"], "Be brief."),
    ("gemma3", "Say hello.", [], None),
    ("gemma3", "What is it?", ["rgb.png"], None),
    ("gemma3", "Which one is larger?", ["rgb.png", "tall.png"], "Be brief."),
]
OPTIONS = [
    {"temperature": 1.0},
    {"temperature": 0.37},
    {"temperature": 1.7, "repetition_penalty": 1.31},
    {"temperature": 1.0, "repetition_penalty": 0.6},
    {"temperature": 0.8, "top_k": 1},
    {"temperature": 0.8, "top_k": 7},
    {"temperature": 0.8, "top_k": 100},
    {"temperature": 1.0, "top_p": 0.05},
    {"temperature": 1.0, "top_p": 0.83},
    {"temperature": 1.3, "top_p": 0.999},
    {"temperature": 1.0, "min_p": 0.11},
    {"temperature": 2.0, "min_p": 1.0},
    {"temperature": 0.7, "top_k": 12, "top_p": 0.7, "min_p": 0.05, "repetition_penalty": 1.2},
]


def answer(name, prompt, images, system):
    folder = HERE / "checkpoints" / name
    processor = load_processor(folder)
    kind = AutoModelForCausalLM if name.startswith("mistral") else AutoModelForImageTextToText
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    content = prompt
    if images:
        content = [{"type": "image", "image": Image.open(HERE / "images" / image)} for image in images]
        content.append({"type": "text", "text": prompt})
    messages = [{"role": "user", "content": content}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    set_clock(datetime.datetime.fromisoformat(DATE))
    inputs = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
    )
    out = model.generate(
        **inputs, max_new_tokens=NEW, do_sample=False, max_length=None, eos_token_id=None, use_cache=True
    )
    tokens = out[0, inputs["input_ids"].shape[1] :].tolist()
    text = processor.decode(tokens, skip_special_tokens=True)
    return {"checkpoint": name, "prompt": prompt, "images": images, "system": system, "tokens": tokens, "text": text}


def weigh(options):
    generator = torch.Generator().manual_seed(5)
    logits = torch.randn(1, 40, generator=generator) * 3
    # Equal numbers at the bound of top-k: all of them stay.
    order = logits[0].argsort(descending=True)
    logits[0, order[7]] = logits[0, order[6]]
    seen = torch.tensor([[3, 3, 11, int(order[0]), int(order[-1])]])
    steps = logits_process.LogitsProcessorList()
    if "repetition_penalty" in options:
        steps.append(logits_process.RepetitionPenaltyLogitsProcessor(options["repetition_penalty"]))
    steps.append(logits_process.TemperatureLogitsWarper(options["temperature"]))
    if "top_k" in options:
        steps.append(logits_process.TopKLogitsWarper(options["top_k"]))
    if "top_p" in options:
        steps.append(logits_process.TopPLogitsWarper(options["top_p"]))
    if "min_p" in options:
        steps.append(logits_process.MinPLogitsWarper(options["min_p"]))
    weights = steps(seen, logits.clone()).double().softmax(-1)
    return options | {"logits": logits[0].tolist(), "seen": seen[0].tolist(), "weights": weights[0].tolist()}


def main():
    made = {"date": DATE, "answers": [answer(*case) for case in ANSWERS], "weights": [weigh(case) for case in OPTIONS]}
    if "--check" in sys.argv:
        kept = json.loads(TARGET.read_text())
        assert kept["answers"] == made["answers"], "the answers are others now"
        for old, new in zip(kept["weights"], made["weights"], strict=True):
            assert old["logits"] == new["logits"] and old["seen"] == new["seen"], "the logits are others now"
            assert max(abs(a - b) for a, b in zip(old["weights"], new["weights"])) < 1e-6, "the weights are others now"
        return print("as committed")
    TARGET.parent.mkdir(exist_ok=True)
    lines = [f' "date": {json.dumps(DATE)}']
    for key in ["answers", "weights"]:
        lines.append(f' "{key}": [\n  ' + ",\n  ".join(map(json.dumps, made[key])) + "\n ]")
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
