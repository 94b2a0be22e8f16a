#!/usr/bin/env python3
"""Records where StopStringCriteria of transformers ends random sequences of tokens.

    make_stop_text_fixtures.py

Writes tokenizers/stop-texts.json: for tokenizers of tokenizers/ and checkpoints/, sequences of tokens that are a prompt and an
answer, texts that are parts of what they spell, the prompt and special tokens included, and after how many tokens of the answer
the criterion holds; null where it never does.
"""

import json
import os
import random
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import torch  # noqa: E402
from transformers import PreTrainedTokenizerFast, StopStringCriteria  # noqa: E402

HERE = Path(__file__).resolve().parent
NAMES = ["tokenizers/byte-level", "tokenizers/tekken-style", "tokenizers/gemma-style", "tokenizers/llama-style",
         "tokenizers/metaspace-first", "checkpoints/mistral", "checkpoints/ministral3", "checkpoints/gemma3"]  # fmt: skip
TEXTS = ["Stop here.\n\nUser: go on", "a b  c\nd", "Grüße, 世界 👋🏽!", "<end>ab</s>", "the end of the turn", "\n\n\n", "x"]


def case(draw, tokenizer):
    size = len(tokenizer)
    ids = []
    for _ in range(draw.randint(2, 5)):
        if draw.random() < 0.7:
            ids += tokenizer(draw.choice(TEXTS), add_special_tokens=False)["input_ids"]
        else:
            ids += [draw.randrange(size)]
    ids = ids[-draw.randint(3, 14) :]
    prompt = draw.randint(1, len(ids) - 1)
    # Parts of what is spelled around the end of the prompt and elsewhere, and texts that may not be there at all.
    spelled = tokenizer.decode(ids)
    stops = []
    for _ in range(draw.randint(1, 3)):
        start = draw.randrange(max(1, len(spelled)))
        stop = spelled[start : start + draw.randint(1, 9)] if draw.random() < 0.85 else draw.choice(TEXTS)[:4]
        if stop and "\ufffd" not in stop:
            stops.append(stop)
    if not stops:
        return None
    criterion = StopStringCriteria(tokenizer, stops)
    lengths = range(prompt + 1, len(ids) + 1)
    ends = [length - prompt for length in lengths if criterion(torch.tensor([ids[:length]]), None)[0]]
    return {"stops": stops, "prompt": ids[:prompt], "answer": ids[prompt:], "end": ends[0] if ends else None}


def main():
    draw = random.Random(11)
    result = []
    for name in NAMES:
        tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(HERE / name / "tokenizer.json"))
        cases = []
        while len(cases) < 60:
            try:
                found = case(draw, tokenizer)
            except ValueError as error:  # A text of which no token spells a part is refused by transformers.
                assert "Stop string preprocessing" in str(error), error
                continue
            cases += [found] if found else []
        result.append({"tokenizer": name, "cases": cases})
    path = HERE / "tokenizers" / "stop-texts.json"
    path.write_text(json.dumps(result, ensure_ascii=True, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
