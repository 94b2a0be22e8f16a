"""What torch does for parallel.py: two processes over gloo, then one line of JSON.

peer_parallel.py train FOLDER ROWS.jsonl --mode ddp|fsdp [--steps 3] [--global-batch 16]
peer_parallel.py collectives BYTES...
"""

import argparse
import json
import os
import socket
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


def collectives(rank, port, options, results):
    """The bytes per second of each collective of float32 numbers over gloo, by name and size."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=RANKS)
    speeds = {}
    for size in options.bytes:
        count = size // 4
        whole, other = torch.zeros(count), torch.zeros(count)
        part, parts = torch.zeros(count // RANKS), list(torch.zeros(count).chunk(RANKS))

        def exchange():
            sent = dist.isend(whole, 1 - rank)
            dist.recv(other, 1 - rank)
            sent.wait()

        # gloo has no reduce-scatter.
        works = {
            "all-reduce": lambda: dist.all_reduce(whole),
            "all-gather": lambda: dist.all_gather(parts, part),
            "broadcast": lambda: dist.broadcast(whole, 0),
            "send and receive": exchange,
        }
        for name, work in works.items():
            times = []
            for _ in range(10):
                dist.barrier()
                start = time.perf_counter()
                work()
                slowest = torch.tensor([time.perf_counter() - start])
                dist.all_reduce(slowest, dist.ReduceOp.MAX)
                times.append(slowest.item())
            speeds.setdefault(name, {})[size] = size / sorted(times[1:])[4]
    if rank == 0:
        results.put(speeds)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train")
    train.add_argument("folder")
    train.add_argument("rows")
    train.add_argument("--mode", required=True, choices=["ddp", "fsdp"])
    train.add_argument("--steps", type=int, default=3)
    train.add_argument("--global-batch", type=int, default=16)
    commands.add_parser("collectives").add_argument("bytes", type=int, nargs="+")
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    results = context.Queue()
    target = collectives if options.command == "collectives" else work
    processes = [context.Process(target=target, args=(rank, port, options, results)) for rank in range(RANKS)]
    for process in processes:
        process.start()
    found = results.get(timeout=1200)
    for process in processes:
        process.join()
    if options.command == "collectives":
        print(json.dumps(found))
        return
    length = len(json.loads(open(options.rows).readline())["input_ids"])
    print(json.dumps({"tokens_per_second": options.global_batch * length / found}))


if __name__ == "__main__":
    main()
