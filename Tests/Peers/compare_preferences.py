#!/usr/bin/env python3
"""Draws new tiny models of every family and tunes them on pairs of answers beside trl.

    compare_preferences.py [BRIDGE] [--seed N] [--only TEXT ...]

dpo, ipo    Twenty steps of trl's own DPOTrainer in float32, all parameters or LoRA that begins with the bridge's own
            adapter, with pictures where the family reads them, several micro-batches to a step: the loss of each step
            within 1e-5 of its own, or of the first one where it is smaller, the gradient norm within 2e-3, rewards within 1e-4 of
            their largest. Steps of Adam make rounding grow: trl runs a second time, each weight moved to a neighbour in
            float32, and eight times the distance between its two runs is allowed where that is more.
orpo        The same with trl's ORPO loss, which also has the prompt in its cross entropy (dataset.loss_mode=full).
"""

import json

import torch
from checkpoints import read_json
from random_models import FAMILIES, words
from runner import main
from preference_peer import METRICS, dpo, orpo
from processors import load_processor
from training_peer import BETAS, CLIP, DECAY, EPSILON, adapted, float32_model, image_row, share_inputs
from compare_training import RECIPES, Training, longest

BOUND, NORM_BOUND, METRIC_BOUND = 1e-5, 2e-3, 1e-4
# The norm of a preference that is learned is next to nothing; below this its difference counts as it is.
SMALL = 0.1
# A run of ours is as far from trl's as two of its own are, give or take this factor (seen: up to 3); a wrong term is not.
ROUNDINGS = 8
STEPS, MICRO, ACCUMULATED, PAIRS = 20, 2, 2, 8
TRL = {"dpo": "sigmoid", "ipo": "ipo"}


def make_pairs(draw, config, model_folder, folder, with_images, with_prompt):
    """Writes rows.jsonl in the form of tokens; returns the pairs for trl."""
    folder.mkdir(parents=True)
    processor = load_processor(model_folder) if with_images else None
    pairs, rows = [], []
    for number in range(PAIRS):
        row, inputs = {}, {}
        if with_images and number % 3 < 2:
            row, inputs = image_row(draw, config, processor, folder, number)
            prompt = row["input_ids"]
        else:
            prompt = [1, *words(draw, config, draw.randint(2, 20))]
        answers = [words(draw, config, draw.randint(1, 12)) for _ in range(2)]
        if answers[0] == answers[1]:
            answers[1] = answers[1] + words(draw, config, 1)
        pair = {"prompt": prompt, "chosen": answers[0], "rejected": answers[1], "inputs": inputs}
        if config["model_type"] == "gemma3":
            pair["image_token"] = config["image_token_index"]
        pairs.append(pair)
        line = {"images": row["images"]} if "images" in row else {}
        # Both forms of rows of tokens: a prompt and answers, as trl has them, or whole sequences with labels.
        if number % 2 or with_prompt:
            line |= {"prompt_ids": prompt, "chosen_ids": pair["chosen"], "rejected_ids": pair["rejected"]}
        else:
            for side in ("chosen", "rejected"):
                line[f"{side}_input_ids"] = prompt + pair[side]
                line[f"{side}_labels"] = [-100] * len(prompt) + pair[side]
        rows.append(line)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return pairs


def moved(model, seed):
    """Moves each weight to the next float32 above or below, by chance: an error of one rounding in each."""
    chance = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            above = torch.rand(weight.shape, generator=chance) < 0.5
            weight.copy_(torch.nextafter(weight, torch.where(above, torch.inf, -torch.inf)))
    return model


def problems_of(expected, beside, found):
    """What is wrong with the steps `found`, beside trl's; `beside`: trl's own from weights moved by one rounding."""
    problems = []
    if len(found) != len(expected):
        return [f"the log has {len(found)} steps"]
    scale = max(abs(row[key]) for row in expected for key in METRICS) or 1.0
    for key in ("lm_loss", "grad_norm", *METRICS):
        rounding = 0.0
        for step, (theirs, other, ours) in enumerate(zip(expected, beside, found, strict=True), 1):
            if key == "lm_loss":
                # The sums of log-probabilities whose differences it is do not become smaller with it.
                allowed = BOUND * max(abs(theirs[key]), abs(expected[0][key]))
            elif key == "grad_norm":
                allowed = NORM_BOUND * max(abs(theirs[key]), SMALL)
            else:
                allowed = METRIC_BOUND * scale
            # Before the first step both rewards are zero but for rounding, and which one is larger is chance.
            if key == "rewards/accuracies" and abs(theirs["rewards/margins"]) < METRIC_BOUND * scale:
                continue
            rounding = max(rounding, abs(theirs[key] - other[key]))
            allowed = max(allowed, ROUNDINGS * rounding)
            if not abs(theirs[key] - ours[key]) <= allowed:
                problems.append(f"{key} of step {step} is {ours[key]:.9g}, expected {theirs[key]:.9g}")
                break
    return problems


class Preferences(Training):
    def tune(self, family, folder, home, name, rate, *settings):
        run = home / name
        self.call(
            "train", "--recipe", RECIPES[family], "--pretrained-checkpoint", folder, "--dataset-type", "tokenized",
            "--json", f"dataset.train_data_path={home / 'rows.jsonl'}", "dataset.shuffle=false",
            f"train.train_iters={STEPS}", f"train.global_batch_size={MICRO * ACCUMULATED}",
            f"train.micro_batch_size={MICRO}", "train.eval_interval=0", "mixed_precision=fp32",
            f"optimizer.lr={rate}", "optimizer.min_lr=0", f"optimizer.weight_decay={DECAY}", "scheduler.lr_decay_style=constant",
            f"optimizer.adam_beta1={BETAS[0]}", f"optimizer.adam_beta2={BETAS[1]}", f"optimizer.adam_eps={EPSILON}",
            f"optimizer.clip_grad={CLIP}", "scheduler.lr_warmup_iters=0", f"checkpoint.save={run / 'saved'}",
            "checkpoint.save_interval=1000", f"logger.log_dir={run}", f"dataset.seq_length={longest(folder)}",
            f"model.seq_length={longest(folder)}", "model.tensor_model_parallel_size=1",
            "model.pipeline_model_parallel_size=1", *settings,
        )  # fmt: skip
        lines = (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return run / "saved", [row for row in map(json.loads, lines) if "lm_loss" in row]

    def pair(self, family, loss, scheme):
        title = f"{loss} {family} {scheme}"

        def body():
            draw, folder, note = self.model(family, title)
            config = read_json(folder / "config.json")
            home = folder.parent / "rows"
            with_images = "vision_config" in config and loss != "orpo"
            pairs = make_pairs(draw, config, folder, home, with_images, loss == "orpo")
            # Adam's first steps follow the sign of gradients that are rounding alone; at ten times these rates that grows to 1e-4.
            beta, rate = draw.choice([0.1, 0.3, 0.5]), draw.choice([1e-5, 2e-5])
            settings = [f"preference.loss_type={loss}", f"preference.beta={beta}"]
            if loss == "orpo":
                settings.append("dataset.loss_mode=full")
            first, shared = None, 1
            if scheme == "lora":
                rate *= 5
                settings += ["peft.scheme=lora", "peft.dropout=0", f"peft.dim={draw.randint(2, 6)}"]
                saved, _ = self.tune(family, folder, home, "start", 1e-30, *settings, "train.train_iters=1")
                first = home / "first"
                self.call("adapter", "export", "--hf-model", folder, "--adapter", saved, "--output", first)
            _, found = self.tune(family, folder, home, "run", rate, *settings)
            runs = []
            for kind in ("trl", "trl moved"):
                model = adapted(folder, first, is_trainable=True) if first else float32_model(folder)
                if first:
                    shared = min(shared, share_inputs(model))
                if kind == "trl moved":
                    model = moved(model, draw.randint(0, 1000))
                if loss == "orpo":
                    run = orpo(model, pairs, beta, STEPS, MICRO, ACCUMULATED, rate)
                else:
                    run = dpo(
                        model, pairs, home / kind, TRL[loss], {"beta": beta}, STEPS, MICRO,
                        ACCUMULATED, rate, load_processor(folder).tokenizer if with_images else None,
                    )  # fmt: skip
                runs.append(run)
            expected, beside = runs
            problems = problems_of(expected, beside, found)
            if not shared:
                problems.append("no module of the exported adapter shares its A")
            worst = max(abs(a["lm_loss"] - b["lm_loss"]) / abs(a["lm_loss"]) for a, b in zip(expected, found))
            apart = max(abs(a["lm_loss"] - b["lm_loss"]) / abs(a["lm_loss"]) for a, b in zip(expected, beside))
            ends = f"{expected[0]['lm_loss']:.3f} to {expected[-1]['lm_loss']:.3f}"
            return f"{note}; {ends}, differs by {worst:.1e}, trl from itself by {apart:.1e}", problems

        self.judge(title, body)


def everything(run, options):
    torch.set_num_threads(2)
    for family in FAMILIES:
        run.pair(family, "dpo", "full")
        run.pair(family, "dpo", "lora")
        run.pair(family, "ipo", run.draw(f"ipo {family}").choice(["full", "lora"]))
        run.pair(family, "orpo", "full")


if __name__ == "__main__":
    main(__doc__, everything, make=Preferences)
