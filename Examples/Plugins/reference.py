#!/usr/bin/env python3
"""Records the logits of transformers for the fixtures of the example plugins.

    bridge toy --plugin PLUGIN --family llama --hidden-size 24 --num-layers 3 --output llama
    python3 Examples/Plugins/reference.py Examples/Plugins/Llama/Tests/Fixtures/llama ...

Each NAME gets NAME.safetensors beside it: input_ids, float32 logits of the last 12 positions, and all hidden states. The
committed files are by transformers 5.23.0 and torch 2.13.0.
"""

import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

for name in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(
        name, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    ).eval()
    tokens = [(i * i * 7 + i * 3 + 11) % model.config.vocab_size for i in range(48)]
    input_ids = torch.tensor([tokens])
    with torch.no_grad():
        output = model(input_ids, output_hidden_states=True, use_cache=False)
    tensors = {"input_ids": input_ids, "logits": output.logits[:, -12:].contiguous()}
    for index, state in enumerate(output.hidden_states):
        tensors[f"hidden_states.{index}"] = state.contiguous()
    save_file(tensors, f"{name}.safetensors")
