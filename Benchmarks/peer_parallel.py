"""What torch does for parallel.py: data-parallel training of two processes over gloo, then one JSON object.

peer_parallel.py FOLDER ROWS.jsonl --mode ddp|fsdp [--steps 3] [--global-batch 16]
"""

import argparse
import json
import os
import time
from contextlib import nullcontext

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import torch.distributed as dist
from transformers import AutoModelForCausalLM

RANKS = 2


def work(rank, port, options, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32, attn_implementation="sdpa").train()
    if options.mode == "fsdp":
        from torch.distributed.fsdp import fully_shard

        mesh = dist.init_device_mesh("cpu", (RANKS,))
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh)
        fully_shard(model, mesh=mesh)
        wrapped = model
    else:
        wrapped = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), eps=1e-5, weight_decay=0.1, fused=True)
    rows = [json.loads(line)["input_ids"] for line in open(options.rows)]
    own = options.global_batch // RANKS
    times = []
    for step in range(options.steps):
        dist.barrier()
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        for micro in range(own):
            ids = torch.tensor([rows[(step * options.global_batch + micro * RANKS + rank) % len(rows)]])
            isLast = micro == own - 1
            waits = nullcontext() if isLast or options.mode == "fsdp" else wrapped.no_sync()
            if options.mode == "fsdp":
                model.set_requires_gradient_sync(isLast)
            with waits, torch.autocast("cpu", torch.bfloat16):
                loss = wrapped(input_ids=ids, labels=ids, use_cache=False).loss / own
                loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        dist.barrier()
        times.append(time.perf_counter() - start)
    if rank == 0:
        results.put(sorted(times[1:])[len(times[1:]) // 2])


def all_reduce(rank, port, count, results):
    """The seconds of an all-reduce of float32 numbers over gloo."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    tensor = torch.ones(count)
    times = []
    for _ in range(6):
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(tensor)
        times.append(time.perf_counter() - start)
    if rank == 0:
        results.put(sorted(times[1:])[2])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("rows")
    parser.add_argument("--mode", required=True, choices=["ddp", "fsdp", "all-reduce"])
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--global-batch", type=int, default=16)
    parser.add_argument("--port", type=int, default=29541)
    options = parser.parse_args()
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    target = all_reduce if options.mode == "all-reduce" else work
    argument = 16 << 20 if options.mode == "all-reduce" else options
    processes = [context.Process(target=target, args=(rank, options.port, argument, results)) for rank in range(RANKS)]
    for process in processes:
        process.start()
    seconds = results.get(timeout=1200)
    for process in processes:
        process.join()
    if options.mode == "all-reduce":
        print(json.dumps({"bytes_per_second": 4 * argument / seconds}))
        return
    length = len(json.loads(open(options.rows).readline())["input_ids"])
    print(json.dumps({"tokens_per_second": options.global_batch * length / seconds}))


if __name__ == "__main__":
    main()
