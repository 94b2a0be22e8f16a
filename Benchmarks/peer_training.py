"""What torch, transformers and peft do for training.py, in a process of its own: some steps, then one JSON object.

peer_training.py FOLDER ROWS.jsonl --mode sft-float32|sft-autocast|sft-bfloat16|lora-float32|lora-autocast
                 [--steps 5] [--micro 4] [--threads 2] [--rank 32]
"""

import argparse
import json
import os
import resource
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("rows")
    parser.add_argument("--mode", required=True)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--micro", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rank", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    scheme, precision = options.mode.split("-")
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=dtype, attn_implementation="sdpa").train()
    if scheme == "lora":
        from peft import LoraConfig, get_peft_model

        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = get_peft_model(model, LoraConfig(r=options.rank, lora_alpha=options.rank, target_modules=names))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.1, fused=True)
    rows = [json.loads(line)["input_ids"] for line in open(options.rows)]
    times, losses = [], []
    for step in range(options.steps):
        ids = torch.tensor([rows[(step * options.micro + i) % len(rows)] for i in range(options.micro)])
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "autocast"):
            loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        losses.append(loss.item())
        times.append(time.perf_counter() - start)
    tokens = options.micro * len(rows[0])
    best = sorted(times[1:])[len(times[1:]) // 2]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"tokens_per_second": tokens / best, "peak_bytes": peak, "losses": losses}))


if __name__ == "__main__":
    main()
