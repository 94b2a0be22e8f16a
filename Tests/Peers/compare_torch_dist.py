#!/usr/bin/env python3
"""Exchanges torch_dist checkpoints with megatron-core and with torch's distributed checkpoints, in both directions.

    compare_torch_dist.py [BRIDGE] [--seed N] [--only TEXT ...]

For a new tiny model of every family:

loads       `convert import --format torch_dist` under random layouts and numbers of files; `dist_checkpointing.load` of
            megatron-core (CPU, gloo) reads it with one process, two tensor ranks and two pipeline stages, all elements equal
            to those of the Hugging Face model, rearranged here.
saves       megatron-core saves the model with one and two processes, stacked and layer by layer; `convert export` writes
            it for Hugging Face, all tensors equal, the padded rows of the vocabulary removed.
torch       torch's own `dcp.load` reads what the bridge wrote, and the bridge what `dcp.save` wrote; likewise a plain state
            dictionary that `convert import --format dcp` wrote.
resumes     `bridge train` saves a run; megatron-core with its distributed optimizer loads weights, moments and step, each
            equal to those of a checkpoint in Bridge's own container, and saves them again; `bridge train` resumes from that
            with the losses and the final state of the run that was not interrupted.
integrity   `integrity.json` has the SHA-256 of every file, by hashlib.
adapters    megatron-core saves LoRA matrices under the names of Megatron Bridge, `adapter export` writes them for PEFT; `adapter
            import --format torch_dist` and a LoRA run store the same for `dcp.load`.
arguments   a checkpoint without run_config.yaml, whose model is described by the arguments of Megatron-LM.
"""

import argparse
import enum
import hashlib
import json
import shutil

import torch
from checkpoints import bits, read_json, read_tensors
from compare_training import log_of
from megatron.core.dist_checkpointing import validation
from megatron_core import processes
from runner import Runner, main
from safetensors.torch import load_file
from torch.distributed import checkpoint as dcp
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from torch_dist_optimizer import optimizer_state, resume_process, stacked
from torch_dist_peer import adapter_process, adapter_tensors, load_process, megatron_tensors, save_process

FAMILIES = ("mistral", "ministral3", "gemma3")
LAYOUTS = ((1, 1), (2, 1), (1, 2))
SAVES = (
    ((1, 1), {}),
    ((2, 1), {}),
    ((1, 2), {}),
    ((2, 1), {"non_homogeneous_layers": True}),
    ((1, 1), {"singleton_local_shards": True}),
)

# The layouts of megatron-core that take over a run, with the number of processes, and the precision of the run.
RUNS = (((1, 1), 1, "bf16_mixed"), ((1, 1), 2, "bf16_mixed"), ((2, 1), 2, "fp32"), ((1, 2), 2, "bf16_mixed"))
STEPS, HANDOVER = 4, 2
OPTIMIZER = {
    "lr": 2e-3, "min_lr": 2e-4, "weight_decay": 0.05, "adam_beta1": 0.85, "adam_beta2": 0.97, "adam_eps": 1e-7,
}  # fmt: skip


class AttnBackend(enum.Enum):
    """Stands for the enumerations in the arguments of Megatron-LM: a class that Bridge does not know."""

    auto = 5


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
        self.judge(f"torch reads the state dictionary of {family}", lambda: self.torch_reads_state(home, model, tensors))
        self.judge(f"integrity of {family}", lambda: self.integrity(home, model))
        if family == "mistral":
            self.judge("arguments of Megatron-LM", lambda: self.arguments(home, model, config, expected, tensors))
            for scheme in ("lora", "dora"):
                self.judge(f"adapters of Megatron Bridge, {scheme}", lambda: self.adapters(home, model, config, scheme))
            self.judge("adapters of a run", lambda: self.adapter_run(home, model, config))
            for layout, world, precision in RUNS:
                title = f"resumes {precision} TP {layout[0]} PP {layout[1]} on {world} processes"
                self.judge(title, lambda: self.resume(home, model, config, layout, world, precision))
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

    def torch_reads_state(self, home, model, tensors):
        draw, written = self.draw(f"state {model}"), home / "state"
        self.call(
            "convert", "import", "--hf-model", model, "--megatron-path", written, "--format", "dcp", "--overwrite",
            "--writers", draw.randint(1, 4),
        )  # fmt: skip
        found = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
        dcp.load(found, storage_reader=dcp.FileSystemReader(written), no_dist=True)
        problems = [name for name in found if not same(found[name], tensors[name])]
        # The whole file, without knowing what is in it.
        merged = home / "state.pt"
        dcp_to_torch_save(written, merged)
        whole = torch.load(merged, weights_only=True)
        problems += [f"{name} is not in the merged file" for name in tensors.keys() - whole.keys()]
        problems += [name for name, tensor in whole.items() if not same(tensor, tensors.get(name))]
        exported = home / "state-exported"
        shutil.rmtree(exported, ignore_errors=True)
        self.call("convert", "export", "--hf-model", model, "--megatron-path", written, "--hf-path", exported)
        again = read_tensors(exported)
        problems += [name for name in tensors if not same(tensors[name], again.get(name))]
        return f"{len(found)} tensors", problems

    def integrity(self, home, model):
        written = home / "checked"
        self.call(
            "convert", "import", "--hf-model", model, "--megatron-path", written, "--format", "torch_dist",
            "--integrity", "--overwrite",
        )  # fmt: skip
        folder = written / "iter_0000000"
        listed = read_json(folder / "integrity.json")
        problems = [] if listed["algorithm"] == "sha256" else [f"the algorithm is {listed['algorithm']}"]
        files = [file for file in folder.iterdir() if file.is_file() and file.name != "integrity.json"]
        problems += [f"{name} is not listed" for name in {file.name for file in files} - listed["files"].keys()]
        for file in files:
            if listed["files"].get(file.name) != hashlib.sha256(file.read_bytes()).hexdigest():
                problems.append(f"{file.name} has another checksum")
        self.call("checkpoint", "check", written)
        # Since megatron-core 0.17.
        verify = getattr(validation, "verify_integrity_manifest", lambda _: None)
        verify(str(folder))
        return f"{len(files)} files", problems

    def arguments(self, home, model, config, expected, tensors):
        """As Megatron-LM saves: no run_config.yaml, the arguments of the run in the common state."""
        saved, exported, again = home / "lm", home / "lm-exported", home / "lm-again"
        iteration = saved / "iter_0000007"
        iteration.mkdir(parents=True)
        (saved / "latest_checkpointed_iteration.txt").write_text("7", encoding="utf-8")
        arguments = argparse.Namespace(
            num_layers=config["num_hidden_layers"], hidden_size=config["hidden_size"], swiglu=True,
            ffn_hidden_size=config["intermediate_size"], num_attention_heads=config["num_attention_heads"],
            group_query_attention=True, num_query_groups=config["num_key_value_heads"], kv_channels=config["head_dim"],
            normalization="RMSNorm", norm_epsilon=config["rms_norm_eps"], add_bias_linear=False,
            untie_embeddings_and_output_weights=True, position_embedding_type="rope",
            rotary_base=config["rope_theta"], max_position_embeddings=config["max_position_embeddings"],
            padded_vocab_size=config["vocab_size"], params_dtype=torch.bfloat16, bf16=True,
            iteration=7, consumed_train_samples=56, attention_backend=AttnBackend.auto,
        )  # fmt: skip
        common = {"args": arguments, "checkpoint_version": 3.0}
        processes(save_process, 1, (1, 1), iteration, config, expected, {}, common)
        problems = []
        # With the model, everything is as in it; without, the tensors are.
        for options, target in ((["--hf-model", model], exported), ([], again)):
            self.call("convert", "export", *options, "--megatron-path", saved, "--hf-path", target)
            found = read_tensors(target)
            problems += [f"{name} {options[:1]}" for name in tensors if not same(tensors[name], found.get(name))]
        found = read_json(again / "config.json")
        for key in ("num_hidden_layers", "hidden_size", "num_key_value_heads", "head_dim", "rms_norm_eps", "vocab_size"):
            if found.get(key) != config[key]:
                problems.append(f"{key} is {found.get(key)}, expected {config[key]}")
        return f"{len(tensors)} tensors", problems

    def train(self, home, model, name, precision, *settings):
        """Runs `bridge train` on the rows in `home`; the rows of its log."""
        self.call(
            "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model, "--dataset-type", "tokenized",
            "--json", f"dataset.train_data_path={home / 'rows.jsonl'}", "dataset.seq_length=64", "model.seq_length=64",
            f"train.train_iters={STEPS}", "train.global_batch_size=4", "train.micro_batch_size=2", "train.eval_interval=0",
            f"mixed_precision={precision}", "scheduler.lr_warmup_iters=1", f"checkpoint.save_interval={HANDOVER}",
            "model.tensor_model_parallel_size=1", "model.pipeline_model_parallel_size=1",
            *(f"optimizer.{key}={value}" for key, value in OPTIMIZER.items()),
            f"checkpoint.save={home / name}", f"logger.log_dir={home / name}-log", *settings,
        )  # fmt: skip
        return log_of(home / f"{name}-log")

    def write_rows(self, home, config, title):
        draw = self.draw(title)
        rows = [[1, *draw.choices(range(3, config["vocab_size"]), k=draw.randint(4, 40))] for _ in range(12)]
        text = "".join(json.dumps({"input_ids": row, "labels": row}) + "\n" for row in rows)
        (home / "rows.jsonl").write_text(text, encoding="utf-8")

    def adapters(self, home, model, config, scheme):
        rank, alpha, ranks = 4, 12, 2
        saved, peft, again = (home / f"{scheme}-{name}" for name in ("saved", "peft", "again"))
        iteration = saved / "iter_0000007"
        iteration.mkdir(parents=True)
        (saved / "latest_checkpointed_iteration.txt").write_text("7", encoding="utf-8")
        expected = adapter_tensors(config, rank, torch.Generator().manual_seed(self.seed), scheme)
        processes(adapter_process, ranks, iteration, expected)
        self.call(
            "convert", "import", "--hf-model", model, "--megatron-path", home / "base", "--format", "torch_dist", "--tp", ranks,
            "--overwrite",
        )  # fmt: skip
        text = (home / "base" / "iter_0000000" / "run_config.yaml").read_text(encoding="utf-8")
        target = {"lora": "lora.LoRA", "dora": "dora.DoRA"}[scheme]
        text += f"peft:\n  _target_: megatron.bridge.peft.{target}\n  alpha: {alpha}\n  dim: {rank}\n  dropout: 0.0\n"
        (iteration / "run_config.yaml").write_text(text, encoding="utf-8")
        self.call("adapter", "export", "--hf-model", model, "--adapter", saved, "--output", peft)
        settings, found = read_json(peft / "adapter_config.json"), load_file(peft / "adapter_model.safetensors")
        problems = [] if (settings["r"], settings["lora_alpha"]) == (rank, alpha) else [f"r is {settings['r']}"]
        wanted = self.peft_tensors(config, expected)
        problems += [f"{name} is unexpected" for name in found.keys() - wanted.keys()]
        problems += [name for name, tensor in wanted.items() if not same(tensor, found.get(name))]

        # PEFT has a matrix for each projection, which is the canonical form.
        self.call("adapter", "import", "--hf-model", model, "--adapter", peft, "--output", again, "--format", "torch_dist")
        parts = {"q": "self_attention.linear_qkv", "k": "self_attention.linear_qkv", "v": "self_attention.linear_qkv"}
        parts |= {"gate": "mlp.linear_fc1", "up": "mlp.linear_fc1"}
        stored = {}
        for part, module in parts.items():
            block = "self_attn" if part in "qkv" else "mlp"
            for kind, letter in (("in", "A"), ("out", "B")):
                name = f"base_model.model.model.layers.{{}}.{block}.{part}_proj.lora_{letter}.weight"
                layers = [wanted[name.format(layer)] for layer in range(config["num_hidden_layers"])]
                stored[f"decoder.layers.{module}.adapter.adapter_{part}.linear_{kind}.weight"] = torch.stack(layers)
            if scheme == "dora":
                name = f"base_model.model.model.layers.{{}}.{block}.{part}_proj.lora_magnitude_vector"
                layers = [wanted[name.format(layer)] for layer in range(config["num_hidden_layers"])]
                stored[f"decoder.layers.{module}.adapter.adapter_{part}.weight_magnitude"] = torch.stack(layers)
        stored |= {key: tensor for key, tensor in expected.items() if "linear_proj" in key or "linear_fc2" in key}
        problems += self.loaded(stored, again / "iter_0000000")
        return f"{len(wanted) + len(stored)} tensors", problems

    @staticmethod
    def peft_tensors(config, expected):
        """The matrices as PEFT has them: a fused module's input matrix three times, its output matrix in parts."""
        heads, groups, size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
        found = {}

        def add(layer, module, one, other, magnitude):
            name = f"base_model.model.model.layers.{layer}.{module}"
            found[f"{name}.lora_A.weight"], found[f"{name}.lora_B.weight"] = one.contiguous(), other.contiguous()
            if magnitude is not None:
                found[f"{name}.lora_magnitude_vector"] = magnitude.contiguous()

        for layer in range(config["num_hidden_layers"]):

            def parts(module):
                start = f"decoder.layers.{module}.adapter."
                names = (f"{start}linear_in.weight", f"{start}linear_out.weight", f"{start}weight_magnitude")
                return [expected[name][layer] if name in expected else None for name in names]

            def split(tensor, rows):
                """The rows of all groups that are those of one projection."""
                if tensor is None:
                    return None
                return tensor.reshape(groups, heads // groups + 2, size, -1)[:, rows].reshape(-1, *tensor.shape[1:])

            one, *others = parts("self_attention.linear_qkv")
            for part, rows in {"q": slice(0, -2), "k": slice(-2, -1), "v": slice(-1, None)}.items():
                add(layer, f"self_attn.{part}_proj", one, *(split(other, rows) for other in others))
            one, *others = parts("mlp.linear_fc1")
            for half, part in enumerate(("gate", "up")):
                add(layer, f"mlp.{part}_proj", one, *(other if other is None else other.chunk(2)[half] for other in others))
            add(layer, "self_attn.o_proj", *parts("self_attention.linear_proj"))
            add(layer, "mlp.down_proj", *parts("mlp.linear_fc2"))
        return found

    @staticmethod
    def loaded(expected, folder):
        """What torch's own reader finds different in a checkpoint."""
        found = {name: torch.zeros_like(tensor) for name, tensor in expected.items()}
        dcp.load(found, storage_reader=dcp.FileSystemReader(folder), no_dist=True)
        return [name for name in found if not same(found[name], expected[name])]

    def adapter_run(self, home, model, config):
        self.write_rows(home, config, "adapter rows")
        settings = ("peft.scheme=lora", "peft.dim=4", "peft.alpha=8", f"train.exit_interval={HANDOVER}")
        self.train(home, model, "lora", "bf16_mixed", *settings)
        self.train(home, model, "lora-dist", "bf16_mixed", "checkpoint.ckpt_format=torch_dist", *settings)
        expected, iteration = {}, f"iter_{HANDOVER:07}"
        for file in (home / "lora" / iteration).glob("*.safetensors"):
            expected |= load_file(file)
        weights = {name: tensor for name, tensor in expected.items() if not name.startswith("optimizer.")}
        stored = stacked(weights)
        for kind in ("exp_avg", "exp_avg_sq"):
            moments = stacked(expected, f"optimizer.{kind}.")
            stored |= {f"optimizer.state.{kind}.{key}": tensor for key, tensor in moments.items()}
        problems = self.loaded(stored, home / "lora-dist" / iteration)
        wrong = [key for key in stacked(weights) if not key.endswith(("linear_in.weight", "linear_out.weight"))]
        problems += [f"{key} is not a name of an adapter" for key in wrong]
        return f"{len(stored)} tensors", problems

    def resume(self, home, model, config, layout, world, precision):
        self.write_rows(home, config, f"rows {layout} {world} {precision}")
        for name in ("whole", "dist", "core", "again"):
            for folder in (home / name, home / f"{name}-log"):
                shutil.rmtree(folder, ignore_errors=True)
        whole = self.train(home, model, "whole", precision)
        self.train(home, model, "dist", precision, "checkpoint.ckpt_format=torch_dist", f"train.exit_interval={HANDOVER}")
        iteration = f"iter_{HANDOVER:07}"
        expected = {}
        for file in (home / "whole" / iteration).glob("*.safetensors"):
            expected |= load_file(file)
        element_type = torch.bfloat16 if precision == "bf16_mixed" else torch.float32
        ours, theirs, result = home / "dist" / iteration, home / "core" / iteration, home / "result"
        theirs.mkdir(parents=True)
        processes(
            resume_process, world, layout, ours, config, expected, element_type, OPTIMIZER, theirs, result,
        )  # fmt: skip
        found = [torch.load(f"{result}.{rank}") for rank in range(world)]
        problems = [problem for part in found for problem in part["problems"]]
        problems += [f"the steps are {part['steps']}" for part in found if part["steps"] != [HANDOVER]]
        keys = set().union(*(part["keys"] for part in found))
        problems += [f"{key} was not loaded" for key in optimizer_state(expected, element_type).keys() - keys]
        for group in found[0]["groups"]:
            wanted = {
                "betas": (OPTIMIZER["adam_beta1"], OPTIMIZER["adam_beta2"]), "eps": OPTIMIZER["adam_eps"],
                "max_lr": OPTIMIZER["lr"], "weight_decay": OPTIMIZER["weight_decay"] * group["wd_mult"],
            }  # fmt: skip
            problems += [f"{key} is {group[key]}, expected {value}" for key, value in wanted.items() if group[key] != value]
        if found[0]["scheduler"]["num_steps"] != 4 * HANDOVER:
            problems.append(f"the schedule is at sample {found[0]['scheduler']['num_steps']}")
        # What megatron-core's own trainer would write beside its state.
        for name in ("run_config.yaml", "train_state.pt"):
            shutil.copy(ours / name, theirs / name)
        (home / "core" / "latest_checkpointed_iteration.txt").write_text(str(HANDOVER), encoding="utf-8")
        again = self.train(home, model, "again", precision, f"checkpoint.load={home / 'core'}")
        if [numbers(row) for row in again] != [numbers(row) for row in whole[HANDOVER:]]:
            problems.append("the steps after the resume differ")
        for file in (home / "whole" / f"iter_{STEPS:07}").glob("*.safetensors"):
            one, other = load_file(file), load_file(home / "again" / f"iter_{STEPS:07}" / file.name)
            problems += [f"{name} differs at the end" for name in one if not same(one[name], other.get(name))]
        problems += self.resharded(home, precision, layout, again)
        return f"{len(NUMBERS)} kinds of numbers, {len(expected)} tensors", problems

    def resharded(self, home, precision, layout, expected):
        """The run of megatron-core continues from what `reshard` makes of it, and megatron-core's groups come back."""
        native, back = home / "native", home / "back"
        for folder in (native, back, home / "native-again", home / "native-again-log"):
            shutil.rmtree(folder, ignore_errors=True)
        self.call("reshard", "--megatron-path", home / "core", "--output", native, "--tp", layout[1], "--pp", layout[0])
        self.call("checkpoint", "check", native)
        found = self.train(home, home / "model", "native-again", precision, f"checkpoint.load={native}")
        problems = [] if [numbers(row) for row in found] == [numbers(row) for row in expected] else ["steps from native differ"]
        for file in (home / "again" / f"iter_{STEPS:07}").glob("*.safetensors"):
            one, other = load_file(file), load_file(home / "native-again" / f"iter_{STEPS:07}" / file.name)
            problems += [f"{name} differs from native" for name in one if not same(one[name], other.get(name))]
        self.call("reshard", "--megatron-path", native, "--output", back, "--format", "torch_dist")
        iteration = f"iter_{HANDOVER:07}"
        one, other = (groups_of(folder / iteration) for folder in (home / "core", back))
        return problems + ([] if one == other else [f"the groups are {other}, expected {one}"])


NUMBERS = ("iteration", "lm_loss", "grad_norm", "learning_rate", "consumed_samples")


def numbers(row):
    return [row[key] for key in NUMBERS]


def groups_of(folder):
    """The groups of the optimizer in a common state, without what they have only in memory."""
    groups = torch.load(folder / "common.pt", weights_only=False)["optimizer"]["optimizer"]["param_groups"]
    return [{key: value for key, value in group.items() if key != "params"} for group in groups]


def same(one, other):
    return other is not None and one.dtype == other.dtype and one.shape == other.shape and torch.equal(bits(one), bits(other))


def run(comparison, _):
    for family in FAMILIES:
        comparison.family(family)


if __name__ == "__main__":
    main(__doc__, run, Comparison)
