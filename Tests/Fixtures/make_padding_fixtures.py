#!/usr/bin/env python3
"""Records what transformers makes of padded rows: logits and losses, with labels of the padding ignored and not.

    make_padding_fixtures.py

Writes reference/padding.safetensors: for mistral, mistral-window, ministral3 and gemma3 of checkpoints/ and padding on either
side, input_ids, attention_mask, labels and labels without -100 for the padding, the two losses, and the logits in float32 of the
first and the last token of the second row, of which one is padding.
"""

import os
from pathlib import Path

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"

import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText  # noqa: E402

HERE = Path(__file__).resolve().parent


def main():
    torch.manual_seed(7)
    tensors = {}
    for name in ["mistral", "mistral-window", "ministral3", "gemma3"]:
        kind = AutoModelForCausalLM if name.startswith("mistral") else AutoModelForImageTextToText
        model = kind.from_pretrained(HERE / "checkpoints" / name, dtype=torch.float32).eval()
        for side in ["right", "left"]:
            ids = torch.randint(20, 200, (3, 11))
            mask = torch.ones_like(ids)
            for row, count in [(1, 4), (2, 7)]:
                mask[row, -count:] = 0 if side == "right" else 1
                if side == "left":
                    mask[row, :count] = 0
            labels = ids.masked_fill(mask == 0, -100)
            inputs = {"input_ids": ids, "attention_mask": mask}
            if name == "gemma3":
                inputs["token_type_ids"] = torch.zeros_like(ids)
            prefix = f"{name}.{side}."
            tensors |= {prefix + "input_ids": ids, prefix + "attention_mask": mask, prefix + "labels": labels}
            tensors[prefix + "whole.labels"] = ids.clone()
            with torch.no_grad():
                first, second = model(**inputs, labels=labels), model(**inputs, labels=ids)
            tensors[prefix + "logits"] = first.logits[1, [0, -1]].contiguous()
            tensors[prefix + "loss"] = first.loss.reshape(1)
            tensors[prefix + "whole.loss"] = second.loss.reshape(1)
    save_file(tensors, HERE / "reference" / "padding.safetensors")


if __name__ == "__main__":
    main()
