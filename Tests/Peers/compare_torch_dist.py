#!/usr/bin/env python3
"""Exchanges torch_dist checkpoints with megatron-core and with torch's distributed checkpoints, in both directions.

    compare_torch_dist.py [BRIDGE] [--seed N] [--only TEXT ...]

For a new tiny model of every family:

loads       `convert import --format torch_dist` under random layouts and numbers of files; `dist_checkpointing.load` of
            megatron-core (CPU, gloo) reads it with one process, two tensor ranks and two pipeline stages, all elements equal
            to those of the Hugging Face model, rearranged here.
saves       megatron-core saves the model with one and two processes, stacked and layer by layer; `convert export` writes
            it for Hugging Face, all tensors equal, the padded rows of the vocabulary removed.
torch       torch's own `dcp.load` reads what the bridge wrote, and the bridge what `dcp.save` wrote.
"""

import shutil

import torch
from checkpoints import bits, read_json, read_tensors
from megatron_core import processes
from runner import Runner, main
from torch.distributed import checkpoint as dcp
from torch_dist_peer import load_process, megatron_tensors, save_process

FAMILIES = ("mistral", "ministral3", "gemma3")
LAYOUTS = ((1, 1), (2, 1), (1, 2))
SAVES = (
    ((1, 1), {}),
    ((2, 1), {}),
    ((1, 2), {}),
    ((2, 1), {"non_homogeneous_layers": True}),
    ((1, 1), {"singleton_local_shards": True}),
)


class Comparison(Runner):
    def family(self, family):
        draw = self.draw(family)
        home = self.work / family
        model = home / "model"
        home.mkdir(parents=True)
        self.call("toy", "--family", family, "--output", model, "--seed", draw.randrange(2**31))
        config, tensors = read_json(model / "config.json"), read_tensors(model)
        expected = megatron_tensors(config, tensors)
        for layout in LAYOUTS:
            own = draw.choice(LAYOUTS)
            writers = draw.randint(1, 4)
            title = f"loads {family} TP {layout[0]} PP {layout[1]}, written for TP {own[0]} PP {own[1]}, {writers} files each"
            self.judge(title, lambda: self.load(home, model, config, expected, layout, own, writers))
        for layout, metadata in SAVES:
            if family == "gemma3" and metadata:
                continue  # its norms after a layer's halves are put into the state stacked
            kind = next(iter(metadata), "stacked")
            title = f"saves {family} TP {layout[0]} PP {layout[1]}, {kind}"
            self.judge(title, lambda: self.save(home, model, config, expected, tensors, layout, metadata))
        self.judge(f"torch reads {family}", lambda: self.torch_reads(home, model, expected))
        for nested in (False, True):
            title = f"torch writes {family}{', nested' if nested else ''}"
            self.judge(title, lambda: self.torch_writes(home, model, tensors, nested))
        shutil.rmtree(home)

    def load(self, home, model, config, expected, layout, own, writers):
        written, result = home / "written", home / "result"
        self.call(
            "convert", "import", "--hf-model", model, "--megatron-path", written, "--format", "torch_dist",
            "--tp", own[0], "--pp", own[1], "--writers", writers, "--overwrite",
        )  # fmt: skip
        world = layout[0] * layout[1]
        processes(load_process, world, layout, written / "iter_0000000", config, expected, result)
        found = [torch.load(f"{result}.{rank}") for rank in range(world)]
        problems = [problem for part in found for problem in part["problems"]]
        problems += [f"the iteration is {part['iteration']}" for part in found if part["iteration"] != 0]
        return f"{sum(part['count'] for part in found)} shards", problems

    def save(self, home, model, config, expected, tensors, layout, metadata):
        saved, exported = home / "saved", home / "exported"
        for folder in (saved, exported):
            shutil.rmtree(folder, ignore_errors=True)
        iteration = saved / "iter_0000007"
        iteration.mkdir(parents=True)
        (saved / "latest_checkpointed_iteration.txt").write_text("7", encoding="utf-8")
        processes(save_process, layout[0] * layout[1], layout, iteration, config, expected, metadata)
        self.call("convert", "export", "--hf-model", model, "--megatron-path", saved, "--hf-path", exported)
        found = read_tensors(exported)
        problems = [f"{name} is missing" for name in tensors if name not in found]
        problems += [name for name in found if not same(found[name], tensors.get(name))]
        return f"{len(found)} tensors", problems

    def torch_reads(self, home, model, expected):
        written = home / "for-torch"
        self.call("convert", "import", "--hf-model", model, "--megatron-path", written, "--format", "torch_dist")
        found = {name: torch.zeros_like(tensor) for name, tensor in expected.items()}
        dcp.load(found, storage_reader=dcp.FileSystemReader(written / "iter_0000000"), no_dist=True)
        return f"{len(found)} tensors", [name for name in found if not same(found[name], expected[name])]

    def torch_writes(self, home, model, tensors, nested):
        saved, exported = home / "torch", home / "torch-exported"
        for folder in (saved, exported):
            shutil.rmtree(folder, ignore_errors=True)
        dcp.save({"model": dict(tensors), "step": 3} if nested else dict(tensors), checkpoint_id=saved, no_dist=True)
        self.call("convert", "export", "--hf-model", model, "--megatron-path", saved, "--hf-path", exported)
        found = read_tensors(exported)
        problems = [name for name in tensors if not same(tensors[name], found.get(name))]
        return f"{len(found)} tensors", problems


def same(one, other):
    return other is not None and one.dtype == other.dtype and one.shape == other.shape and torch.equal(bits(one), bits(other))


def run(comparison, _):
    for family in FAMILIES:
        comparison.family(family)


if __name__ == "__main__":
    main(__doc__, run, Comparison)
