#!/usr/bin/env python3
"""Records what transformers makes of `token_type_ids` and `num_items_in_batch`.

    make_token_type_fixtures.py

Writes reference/token-types.safetensors: for gemma3 of checkpoints/ with one image, and for token types that are those of the
image, all 0, and 1 for some of the text, the inputs, the logits of the last token in float32, and the loss of all labels divided
by 7.
"""

import os
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import torch  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402
from transformers import AutoModelForImageTextToText  # noqa: E402

HERE = Path(__file__).resolve().parent


def main():
    model = AutoModelForImageTextToText.from_pretrained(HERE / "checkpoints" / "gemma3", dtype=torch.float32).eval()
    recorded = load_file(HERE / "reference" / "gemma3.safetensors")
    ids, pixels = (recorded[f"one_image.{name}"] for name in ["input_ids", "pixel_values"])
    own = recorded["one_image.token_type_ids"]
    text = own.clone()
    text[0, 1:4] = 1
    tensors = {}
    for name, types in [("own", own), ("zeros", torch.zeros_like(own)), ("text", text)]:
        inputs = {"input_ids": ids, "pixel_values": pixels, "token_type_ids": types}
        divisor = torch.tensor([7])
        with torch.no_grad():
            output = model(**inputs, labels=ids, num_items_in_batch=7)
        extra = {"labels": ids, "num_items_in_batch": divisor, "logits": output.logits[0, -1].contiguous()}
        tensors |= {f"{name}.{key}": value.clone() for key, value in {**inputs, **extra}.items()}
        tensors[f"{name}.loss"] = output.loss.reshape(1)
        print(name, output.loss.item(), output.logits[0, -1, :3])
    save_file(tensors, HERE / "reference" / "token-types.safetensors")


if __name__ == "__main__":
    main()
