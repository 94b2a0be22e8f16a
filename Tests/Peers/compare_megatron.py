#!/usr/bin/env python3
"""Trains one step with tensor-parallel ranks beside megatron-core, which loads the rank files that the bridge writes.

    compare_megatron.py [BRIDGE] [--seed N] [--only TEXT ...]

A new tiny Mistral is converted with `--tp 2`. A GPTModel of megatron-core on two processes (CPU, gloo) takes the tensors
of the rank files under their own names, which shows that names, interleaving and shards are Megatron's, and computes
the loss and the gradients of two rows. Then:

step        `bridge train --nproc-per-node 2 -tp 2` on the same rows: the loss within 1e-5 and the gradient norm within 1e-4.
gradients   `bridge forward --gradients`, converted with `--tp 2` as if the gradients were weights, so that they lie in the
            rank files as Megatron has them: each within 1e-4 of its largest element.
"""

import json
import shutil

import torch
from checkpoints import read_json
from compare_training import far, log_of
from megatron_core import processes, start, transformer_config
from runner import Runner, main
from safetensors.torch import load_file, save_file

RANKS = 2
LOSS_BOUND, NORM_BOUND, GRADIENT_BOUND = 1e-5, 1e-4, 1e-4
# Names of the layer specification without Transformer Engine, whose norms are modules of their own.
RENAMED = {
    "self_attention.linear_qkv.layer_norm_weight": "input_layernorm.weight",
    "mlp.linear_fc1.layer_norm_weight": "pre_mlp_layernorm.weight",
}


def local_name(name):
    for ours, theirs in RENAMED.items():
        name = name.replace(ours, theirs)
    return name


def peer(rank, world, port, folder, config, rows, output):
    """One rank of megatron-core: writes the loss and this rank's gradients."""
    start(rank, world, port, world, 1)
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.models.gpt.gpt_model import GPTModel

    model = GPTModel(
        config=transformer_config(
            config,
            layernorm_epsilon=config["rms_norm_eps"],
            attention_dropout=0.0,
            hidden_dropout=0.0,
            tensor_model_parallel_size=world,
        ),
        transformer_layer_spec=get_gpt_layer_local_spec(normalization="RMSNorm"),
        vocab_size=config["vocab_size"],
        max_sequence_length=512,
        position_embedding_type="rope",
        rotary_base=config["rope_theta"],
        share_embeddings_and_output_weights=False,
    )
    stored = load_file(folder / f"weights_tp{rank:02}_pp00.safetensors")
    # What is replicated is stored once, with the first rank.
    stored = {**load_file(folder / "weights_tp00_pp00.safetensors"), **stored}
    weights = {local_name(name): tensor for name, tensor in stored.items()}
    missing, unexpected = model.load_state_dict(weights, strict=False)
    problems = [name for name in missing if "_extra_state" not in name] + list(unexpected)
    total = 0.0
    for row in rows:
        tokens = torch.tensor([row])
        count = tokens.shape[1]
        mask = ~torch.tril(torch.ones(1, 1, count, count, dtype=torch.bool))
        losses = model(tokens, torch.arange(count)[None], mask, labels=torch.roll(tokens, -1, 1))
        loss = losses[0, :-1].sum()
        loss.backward()
        total += loss.item()
    number = sum(len(row) - 1 for row in rows)
    gradients = {name: parameter.grad / number for name, parameter in model.named_parameters()}
    save_file(gradients, output / f"gradients{rank}.safetensors")
    if rank == 0:
        text = json.dumps({"loss": total / number, "problems": problems})
        (output / "peer.json").write_text(text, encoding="utf-8")


class Comparison(Runner):
    def run_one(self, number):
        title = f"tensor parallel {number}"
        draw = self.draw(title)
        home = self.work / title.replace(" ", "-")
        home.mkdir(parents=True)

        def body():
            model = home / "model"
            self.call("toy", "--family", "mistral", "--output", model, "--seed", draw.randrange(2**31))
            config = read_json(model / "config.json")
            # Shorter than the sliding window of the toy, which the peer's local attention does not have.
            length = config["sliding_window"] - 4
            words = range(3, config["vocab_size"])
            rows = [[1, *draw.choices(words, k=draw.randint(4, length))] for _ in range(2)]
            return self.problems(home, model, config, rows)

        self.judge(title, body)
        shutil.rmtree(home)

    def problems(self, home, model, config, rows):
        megatron = home / "megatron"
        self.call("convert", "--hf-model", model, "--megatron-path", megatron, "--tp", RANKS, "--dtype", "float32")
        processes(peer, RANKS, megatron / "iter_0000000", config, rows, home)
        expected = read_json(home / "peer.json")
        problems = [f"megatron-core does not take {name}" for name in expected["problems"]]
        problems += self.step(home, model, rows, expected)
        worst, more = self.gradients(home, model, rows)
        return f"gradients within {worst:.0e}", problems + more

    def step(self, home, model, rows, expected):
        text = "".join(json.dumps({"input_ids": row, "labels": row}) + "\n" for row in rows)
        (home / "rows.jsonl").write_text(text, encoding="utf-8")
        self.call(
            "train", "--nproc-per-node", RANKS, "-tp", RANKS, "--recipe", "mistral_7b_finetune_config",
            "--pretrained-checkpoint", model, "--dataset-type", "tokenized", "--json",
            f"dataset.train_data_path={home / 'rows.jsonl'}", "dataset.shuffle=false", "dataset.num_images=0",
            "train.train_iters=1", f"train.global_batch_size={len(rows)}", "train.micro_batch_size=1",
            "train.eval_interval=0", "scheduler.lr_decay_style=constant", "mixed_precision=fp32", "model.seq_length=64",
            "dataset.seq_length=64",
            f"checkpoint.save={home / 'saved'}", f"logger.log_dir={home / 'log'}",
        )  # fmt: skip
        found = log_of(home / "log")[0]
        norm = self.norm(home)
        problems = []
        if abs(found["lm_loss"] - expected["loss"]) > LOSS_BOUND * expected["loss"]:
            problems.append(f"the loss is {found['lm_loss']}, megatron-core's {expected['loss']}")
        if abs(found["grad_norm"] - norm) > NORM_BOUND * norm:
            problems.append(f"the gradient norm is {found['grad_norm']}, megatron-core's {norm}")
        return problems

    @staticmethod
    def norm(home):
        """The norm of all gradients, of which the replicated ones are counted once."""
        ranks = [load_file(home / f"gradients{rank}.safetensors") for rank in range(RANKS)]
        total = 0.0
        for name in ranks[0]:
            parts = [gradients[name].double() for gradients in ranks]
            for part in parts[:1] if "layernorm" in name else parts:
                total += (part**2).sum().item()
        return total**0.5

    def gradients(self, home, model, rows):
        """The largest difference of a gradient, relative to its largest element, and sentences about those too far off."""
        number = sum(len(row) - 1 for row in rows)
        sums = {}
        for index, row in enumerate(rows):
            inputs = home / f"inputs{index}.safetensors"
            save_file({"input_ids": torch.tensor([row]), "labels": torch.tensor([row])}, inputs)
            output = home / f"outputs{index}.safetensors"
            self.call(
                "forward", "--hf-model", model, "--inputs", inputs, "--output", output, "--dtype", "float32", "--gradients"
            )
            for name, tensor in load_file(output).items():
                if name.startswith("grad."):
                    share = tensor * ((len(row) - 1) / number)
                    sums[name.removeprefix("grad.")] = sums.get(name.removeprefix("grad."), 0) + share
        # As weights of the same model they are converted into the rank files of Megatron.
        folder, megatron = home / "gradients", home / "gradients-megatron"
        shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
        save_file(sums, folder / "model.safetensors", metadata={"format": "pt"})
        self.call("convert", "--hf-model", folder, "--megatron-path", megatron, "--tp", RANKS, "--dtype", "float32")
        worst, problems = 0.0, []
        for rank in range(RANKS):
            expected = load_file(home / f"gradients{rank}.safetensors")
            stored = load_file(megatron / "iter_0000000" / f"weights_tp{rank:02}_pp00.safetensors")
            for name, tensor in stored.items():
                difference = far(expected[local_name(name)], tensor)
                worst = max(worst, difference)
                if difference > GRADIENT_BOUND:
                    problems.append(f"the gradient of {name} on rank {rank} is {difference:.1e} off")
        return worst, problems


def run(comparison, options):
    for number in range(options.count):
        comparison.run_one(number)


if __name__ == "__main__":
    main(__doc__, run, Comparison, count={"type": int, "default": 2, "help": "how many models; default 2"})
