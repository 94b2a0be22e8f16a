#!/usr/bin/env python3
"""Draws new tiny models of every family and trains them beside torch, transformers and peft.

    compare_training.py [BRIDGE] [--seed N] [--only TEXT ...]

gradients   Every parameter's gradient before the first step, for text, a padded batch and images. A gradient may
            differ by 1e-4 of its own largest element, since parameters have gradients of very unlike sizes; but no
            scale is below 1e-5 of the largest element of all. The bias of a key has the gradient 0, because softmax
            does not see what all keys have in common; torch gives the noise of its rounding, 1e-9 of the largest, so
            its scale is 1e-3 of the largest. In 40 models all others were within 2e-5.
sft         Ten steps of float32 on rows of tokens and pictures, several micro-batches to a step: the loss of each
            within 1e-4, the learning rate exact, the gradient norm before clipping within 2e-3. torch takes one row
            at a time. With pictures some parts are frozen. The last loss in bf16_mixed is within 2 % of float32's.
lora, dora  The same with adapters, which start from the bridge's own first numbers: a run of one step with a learning
            rate of 1e-30 is exported and given to peft. Where the adapters are not canonical, peft's modules are made
            to share the matrix A. Then: the trained adapter gives the same logits in peft, and merged in
            transformers.
pissa, olora  LoRA and DoRA that start as parts of the weights (peft.init_lora_weights), beside peft that starts the same
            way: losses and norms of ten steps, and the logits of the exported adapter in peft. The trained logits are held
            against peft's training in float64: Adam divides small gradients by their own size, so one rounding of a weight
            (6e-8) changes peft's float32 logits by up to 5e-4. They may be twice as far as peft's float32, or BOUND.
peft        Adapters that peft made, of some modules only, with unequal A: the same logits in `forward --adapter`. Then
            both train them further: the losses and norms of `peft.adapter_name_or_path` are those of peft.
tensorboard What a run and its resumption wrote, read by TensorBoard's own EventAccumulator, against the run's log.
"""

import copy
import json
import math

import torch
from checkpoints import load, loading_problems, read_json
from peft import LoraConfig, get_peft_model
from random_models import FAMILIES, image_inputs, padded_inputs, save, text_inputs
from runner import Runner, main
from safetensors.torch import load_file, save_file
from training_peer import BETAS, CLIP, DECAY, EPSILON, WARMUP
from training_peer import FROZEN, adapted, float32_model, freeze, holed, make_rows, share_inputs, train

PROJECTOR = "multi_modal_projector"
BOUND, NORM_BOUND, BF16_BOUND = 1e-4, 2e-3, 0.02
FLOOR, KEY_BIAS, KEY_BIAS_FLOOR = 1e-5, ".k_proj.bias", 1e-3
STEPS, GLOBAL_BATCH, MICRO_BATCH, ROWS = 10, 4, 2, 14
RECIPES = {
    "mistral": "mistral_7b_finetune_config",
    "ministral3": "ministral3_3b_finetune_config",
    "gemma3": "gemma3_vl_4b_finetune_config",
}


def far(expected, found, floor=0.0):
    """The largest difference as a part of the largest value, or of the floor where that is larger."""
    scale = max(expected.abs().max().item(), floor, 1e-30)
    return (expected.float() - found.float()).abs().max().item() / scale


def log_of(folder):
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if "lm_loss" in row]


def step_problems(expected, found):
    """Sentences about the steps of two runs that differ, at most one for each kind of number."""
    if [row["iteration"] for row in found] != list(range(1, len(expected) + 1)):
        return [f"the log has the steps {[row['iteration'] for row in found]}"]
    problems = []
    for key, bound in (("trained_tokens", 0), ("learning_rate", 1e-12), ("lm_loss", BOUND), ("grad_norm", NORM_BOUND)):
        for step, (theirs, ours) in enumerate(zip(expected, found, strict=True), 1):
            if not abs(theirs[key] - ours[key]) <= bound * abs(theirs[key]):
                problems.append(f"{key} of step {step} is {ours[key]:.9g}, expected {theirs[key]:.9g}")
                break
    return problems


def largest(expected, found, key="lm_loss"):
    return max(abs(a[key] - b[key]) / abs(a[key]) for a, b in zip(expected, found, strict=True))


def longest(folder):
    """The longest row that is trained: 1024 tokens, or what the model takes."""
    config = read_json(folder / "config.json")
    return min(1024, config.get("text_config", config).get("max_position_embeddings", 1024))


class Training(Runner):
    def model(self, family, title):
        draw = self.draw(f"model {title}")
        folder = self.work / title.replace(" ", "-") / "model"
        return draw, folder, save(draw, family, folder)

    def forward(self, folder, inputs, *options):
        files = folder.parent / "forward-in.safetensors", folder.parent / "forward-out.safetensors"
        save_file({key: value.contiguous() for key, value in inputs.items()}, files[0])
        common = ["--hf-model", folder, "--inputs", files[0], "--output", files[1], "--dtype", "float32"]
        self.call("forward", *common, *options)
        return load_file(files[1])

    def run_training(self, family, folder, home, name, rate, *settings):
        """Runs `bridge train` on the rows in `home`; the folder of its checkpoints and its log."""
        run = home / name
        said = self.call(
            "train", "--recipe", RECIPES[family], "--pretrained-checkpoint", folder, "--dataset-type", "tokenized",
            "--json", f"dataset.train_data_path={home / 'rows.jsonl'}", "dataset.shuffle=false",
            f"train.train_iters={STEPS}", f"train.global_batch_size={GLOBAL_BATCH}",
            f"train.micro_batch_size={MICRO_BATCH}", "train.eval_interval=0", "mixed_precision=fp32",
            f"optimizer.lr={rate}", f"optimizer.min_lr={rate / 10}", f"optimizer.weight_decay={DECAY}",
            f"optimizer.adam_beta1={BETAS[0]}", f"optimizer.adam_beta2={BETAS[1]}", f"optimizer.adam_eps={EPSILON}",
            f"optimizer.clip_grad={CLIP}", f"scheduler.lr_warmup_iters={WARMUP}",
            f"checkpoint.save={run / 'saved'}", "checkpoint.save_interval=1000", f"logger.log_dir={run}",
            f"dataset.seq_length={longest(folder)}", f"model.seq_length={longest(folder)}", "model.tensor_model_parallel_size=1",
            "model.pipeline_model_parallel_size=1", *settings,
        )  # fmt: skip
        return run / "saved", log_of(run), json.loads(said)

    # Gradients.

    def gradients(self, family, number):
        title = f"gradients {family} {number}"

        def body():
            draw, folder, note = self.model(family, title)
            config = read_json(folder / "config.json")
            prompts = {"text": text_inputs(draw, config, 8), "padded rows": padded_inputs(draw, config)}
            if "vision_config" in config:
                prompts["images"] = image_inputs(draw, config)
            model, problems, worst = float32_model(folder), [], 0.0
            for name, inputs in prompts.items():
                found, difference = self.gradient_problems(draw, model, folder, config, inputs)
                problems += [f"{name}: {what}" for what in found]
                worst = max(worst, difference)
            return f"{note}; differs by {worst:.1e}", problems

        self.judge(title, body)

    def gradient_problems(self, draw, model, folder, config, inputs):
        ids = inputs["input_ids"]
        special = {config.get("image_token_index"), 10, 12, 13} if "pixel_values" in inputs else ()
        labels = torch.tensor([holed(draw, row.tolist(), special) for row in ids])
        if "attention_mask" in inputs:
            labels[inputs["attention_mask"] == 0] = -100
            # A row's first real token has nothing before it to be told from.
            labels[:, 1:][inputs["attention_mask"][:, :-1] == 0] = -100
        given = dict(inputs)
        if config["model_type"] == "gemma3" and "token_type_ids" not in given:
            given["token_type_ids"] = torch.zeros_like(ids)
        model.zero_grad(set_to_none=True)
        loss = model(**given, labels=labels, use_cache=False).loss
        loss.backward()
        found = self.forward(folder, inputs | {"labels": labels}, "--gradients")
        expected = {n: p.grad for n, p in model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
        problems = []
        if not abs(found["loss"].item() - loss.item()) <= BOUND * loss.item():
            problems.append(f"the loss is {found['loss'].item():.7g}, expected {loss.item():.7g}")
        ours = {n.removeprefix("grad."): t for n, t in found.items() if n.startswith("grad.")}
        problems += [f"there is no gradient of {name}" for name in sorted(expected.keys() - ours.keys())]
        most = max(gradient.abs().max().item() for gradient in expected.values())
        floors = {name: (KEY_BIAS_FLOOR if name.endswith(KEY_BIAS) else FLOOR) * most for name in ours}
        for name in sorted(ours.keys() - expected.keys()):
            if ours[name].abs().max().item() > BOUND * floors[name]:
                problems.append(f"{name} has a gradient and torch has none")
        gaps = {name: far(expected[name], ours[name], floors[name]) for name in sorted(expected.keys() & ours.keys())}
        problems += [f"the gradient of {name} differs by {gap:.2g}" for name, gap in gaps.items() if not gap <= BOUND]
        return problems, max(gaps.values(), default=math.inf)

    # Whole runs.

    def sft(self, family, with_images):
        title = f"sft {family} {'images' if with_images else 'text'}"

        def body():
            draw, folder, note = self.model(family, title)
            home = folder.parent / "rows"
            rows = make_rows(draw, read_json(folder / "config.json"), folder, home, ROWS, with_images)
            # Forty to a hundred times what the recipes have; at 2e-3 rounding grows to 1e-4 now and then, in torch too.
            rate = draw.choice([2e-4, 5e-4])
            frozen = draw.sample(sorted(FROZEN), draw.choice([0, 1, 1, 2])) if with_images else []
            expected = train(freeze(float32_model(folder), frozen), rows, STEPS, GLOBAL_BATCH, rate)
            _, found, _ = self.run_training(family, folder, home, "float32", rate, *frozen)
            problems = step_problems(expected, found)
            _, half, _ = self.run_training(family, folder, home, "bf16", rate, "mixed_precision=bf16_mixed", *frozen)
            gap = abs(half[-1]["lm_loss"] - expected[-1]["lm_loss"]) / expected[-1]["lm_loss"]
            if not gap <= BF16_BOUND:
                ends = half[-1]["lm_loss"], expected[-1]["lm_loss"]
                problems.append(f"bf16_mixed ends at {ends[0]:.5g}, float32 at {ends[1]:.5g}")
            ends = f"{expected[0]['lm_loss']:.3f} to {expected[-1]['lm_loss']:.3f}"
            note = ", ".join([note, *frozen])
            return f"{note}; {ends}, differs by {largest(expected, found):.1e}, bf16 by {gap:.1e}", problems

        self.judge(title, body)

    def adapters(self, family, scheme, is_canonical):
        title = f"{scheme} {family} {'canonical' if is_canonical else 'shared A'}"

        def body():
            draw, folder, note = self.model(family, title)
            config = read_json(folder / "config.json")
            # At 2e-2 losses rise now and then, and torch itself answers a change of 1e-7 with one of 1e-4.
            home, rate = folder.parent / "rows", draw.choice([2e-3, 5e-3])
            with_images = "vision_config" in config and draw.random() < 0.7
            rows = make_rows(draw, config, folder, home, ROWS, with_images)
            settings = [
                f"peft.scheme={scheme}", f"peft.canonical={str(is_canonical).lower()}", "peft.dropout=0",
                f"peft.dim={draw.randint(2, 6)}", f"peft.alpha={draw.randint(3, 17)}",
                f"rng.seed={draw.randrange(999)}",
            ]  # fmt: skip
            if "vision_config" in config and draw.random() < 0.5:
                settings.append("--vision-lora")
                note += ", tower too"
            if with_images and draw.random() < 0.5:
                settings.append(f"peft.modules_to_save=[{PROJECTOR}]")
                note += ", projector in full"
            start = [*settings, "train.train_iters=1", "scheduler.lr_warmup_iters=0"]
            saved, _, _ = self.run_training(family, folder, home, "start", 1e-30, *start)
            model = adapted(folder, self.exported(folder, saved, home / "first"), is_trainable=True).train()
            shared = 0 if is_canonical else share_inputs(model)
            expected = train(model, rows, STEPS, GLOBAL_BATCH, rate)
            saved, found, _ = self.run_training(family, folder, home, "run", rate, *settings)
            problems = step_problems(expected, found)
            if not is_canonical and not shared:
                problems.append("no module of the exported adapter shares its A")
            problems += self.client_problems(draw, folder, config, saved, home)
            ends = f"{expected[0]['lm_loss']:.3f} to {expected[-1]['lm_loss']:.3f}"
            return f"{note}; {ends}, differs by {largest(expected, found):.1e}", problems

        self.judge(title, body)

    def exported(self, folder, saved, target):
        self.call("adapter", "export", "--hf-model", folder, "--adapter", saved, "--output", target)
        return target

    def client_problems(self, draw, folder, config, saved, home):
        """What peft and transformers make of a trained adapter, and the bridge of what it has exported."""
        inputs = image_inputs(draw, config) if "vision_config" in config else text_inputs(draw, config, 8)
        adapter = self.exported(folder, saved, home / "last")
        merged = home / "merged"
        self.call(
            "adapter", "merge", "--hf-model", folder, "--adapter", saved, "--hf-path", merged, "--dtype", "float32"
        )
        whole, report = load(merged, dtype=torch.float32, attn_implementation="eager")
        problems = [f"merged: {what}" for what in loading_problems(report)]
        with torch.no_grad():
            expected = adapted(folder, adapter).eval()(**inputs, use_cache=False).logits
            plain = float32_model(folder)(**inputs, use_cache=False).logits
            found = {"merged in transformers": whole.eval()(**inputs, use_cache=False).logits}
        for name, source in (("the run's checkpoint", saved), ("the exported adapter", adapter)):
            found[f"forward with {name}"] = self.forward(folder, inputs, "--adapter", source)["logits"]
        if not far(expected, plain) > 10 * BOUND:
            problems.append("the adapter changes next to nothing, which tells nothing")
        return problems + self.logit_problems(expected, found)

    def logit_problems(self, expected, found):
        gaps = {name: far(expected, logits) for name, logits in found.items()}
        return [f"{name}: logits differ by {gap:.2g} from peft's" for name, gap in gaps.items() if not gap <= BOUND]

    def starts(self, family, start, scheme):
        title = f"{start} {scheme} {family}"

        def body():
            draw, folder, note = self.model(family, title)
            config = read_json(folder / "config.json")
            home, rate = folder.parent / "rows", draw.choice([5e-4, 2e-3])
            rows = make_rows(draw, config, folder, home, ROWS, False)
            rank, alpha, by_root = draw.randint(2, 6), draw.randint(3, 17), draw.random() < 0.5
            model = float32_model(folder)
            names = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layers." in n]
            settings = LoraConfig(
                r=rank, lora_alpha=alpha, use_rslora=by_root, use_dora=scheme == "dora", lora_dropout=0.0,
                init_lora_weights=start, target_modules=[n for n in names if "vision" not in n],
            )  # fmt: skip
            model = get_peft_model(model, settings).train()
            # The start is computed in float32 as ever; the ten steps from it are computed a second time in double precision.
            precise = copy.deepcopy(model).double()
            expected = train(model, rows, STEPS, GLOBAL_BATCH, rate)
            train(precise, rows, STEPS, GLOBAL_BATCH, rate)
            saved, found, _ = self.run_training(
                family, folder, home, "run", rate, f"peft.scheme={scheme}", f"peft.init_lora_weights={start}",
                "peft.canonical=true", "peft.dropout=0", f"peft.dim={rank}", f"peft.alpha={alpha}",
                f"peft.use_rslora={str(by_root).lower()}",
            )  # fmt: skip
            problems = step_problems(expected, found) + self.client_problems(draw, folder, config, saved, home)
            inputs = image_inputs(draw, config) if "vision_config" in config else text_inputs(draw, config, 8)
            with torch.no_grad():
                trained = model.eval()(**inputs, use_cache=False).logits
                exact = precise.eval()(**inputs, use_cache=False).logits.float()
            ours = self.forward(folder, inputs, "--adapter", saved)["logits"]
            spread, gap = far(exact, trained), far(exact, ours)
            if not gap <= max(BOUND, 2 * spread):
                problems.append(f"logits differ by {gap:.2g} from those of peft in float64, peft's float32 by {spread:.2g}")
            ends = f"{expected[0]['lm_loss']:.3f} to {expected[-1]['lm_loss']:.3f}"
            gaps = f"{largest(expected, found):.1e}, norms {largest(expected, found, 'grad_norm'):.1e}"
            return f"{note}; {ends}, differs by {gaps}, logits {gap:.1e}, peft's own {spread:.1e}", problems

        self.judge(title, body)

    def from_peft(self, family, scheme):
        title = f"peft {scheme} {family}"

        def body():
            draw, folder, note = self.model(family, title)
            config = read_json(folder / "config.json")
            model = float32_model(folder)
            names = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and ".layers." in n]
            # Some of the language model's layers, whatever belongs together in a fused module.
            names = [n for n in names if "vision" not in n]
            chosen = sorted(draw.sample(names, draw.randint(len(names) // 3, len(names))))
            rank, alpha = draw.randint(2, 7), draw.randint(3, 20)
            torch.manual_seed(draw.randrange(2**31))
            saved = [PROJECTOR] if "vision_config" in config and draw.random() < 0.5 else None
            settings = LoraConfig(
                r=rank, lora_alpha=alpha, target_modules=chosen, use_dora=scheme == "dora", lora_dropout=0.0,
                use_rslora=draw.random() < 0.5, modules_to_save=saved,
            )  # fmt: skip
            model = get_peft_model(model, settings).eval()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    if "lora_B" in name:
                        parameter.normal_(0, 0.1)
                    elif "magnitude" in name or "modules_to_save" in name:
                        parameter.mul_(torch.rand_like(parameter) * 0.4 + 0.8)
            adapter = folder.parent / "adapter"
            model.save_pretrained(adapter)
            inputs = image_inputs(draw, config) if "vision_config" in config else text_inputs(draw, config, 8)
            with torch.no_grad():
                expected = model(**inputs, use_cache=False).logits
            found = {"forward": self.forward(folder, inputs, "--adapter", adapter)["logits"]}
            native = folder.parent / "imported"
            self.call("adapter", "import", "--hf-model", folder, "--adapter", adapter, "--output", native)
            found["imported"] = self.forward(folder, inputs, "--adapter", native)["logits"]
            note += ", projector in full" if saved else ""
            problems = self.logit_problems(expected, found)
            if not saved:
                problems += self.continued_problems(draw, family, folder, model, scheme, [adapter, native])
            return f"{note}; {len(chosen)} of {len(names)} layers", problems

        self.judge(title, body)

    def continued_problems(self, draw, family, folder, model, scheme, starts):
        """What a run that begins with peft's adapter, as peft or as the bridge stores it, does otherwise than peft's own."""
        home, rate = folder.parent / "rows", draw.choice([2e-3, 5e-3])
        rows = make_rows(draw, read_json(folder / "config.json"), folder, home, ROWS, False)
        expected = train(model.train(), rows, STEPS, GLOBAL_BATCH, rate)
        settings, problems = [f"peft.scheme={scheme}", "peft.dropout=0"], []
        for start in starts:
            _, found, _ = self.run_training(
                family, folder, home, f"from {start.name}", rate, *settings, f"peft.adapter_name_or_path={start}"
            )
            problems += [f"continued from {start.name}: {what}" for what in step_problems(expected, found)]
        return problems

    def tensorboard(self):
        title = "tensorboard"

        def body():
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

            draw, folder, _ = self.model("mistral", title)
            home = folder.parent / "rows"
            make_rows(draw, read_json(folder / "config.json"), folder, home, ROWS, False)
            stop = draw.randint(2, STEPS - 2)
            boards = f"logger.tensorboard_dir={home / 'boards'}"
            _, _, first = self.run_training("mistral", folder, home, "run", 1e-3, boards, f"train.exit_interval={stop}")
            _, log, second = self.run_training("mistral", folder, home, "run", 1e-3, boards)
            problems = []
            if (first["end"], first["iteration"], second["end"]) != ("limit", stop, "done"):
                problems.append(f"the two runs ended with {first} and {second}")
            events = EventAccumulator(str(home / "boards"), size_guidance={"scalars": 0})
            events.Reload()
            tags = {"lm loss": "lm_loss", "learning-rate": "learning_rate", "grad-norm": "grad_norm"}
            for tag, key in tags.items():
                points = [(event.step, event.value) for event in events.Scalars(tag)]
                expected = [(row["iteration"], torch.tensor(row[key]).item()) for row in log]
                if points != expected or len(points) != STEPS:
                    problems.append(f"{tag} is {points[:3]}..., the log has {expected[:3]}...")
            return f"interrupted after step {stop}", problems

        self.judge(title, body)


def everything(run, options):
    for family in FAMILIES:
        for number in range(2):
            run.gradients(family, number)
        for with_images in [False, True][: 1 if family == "mistral" else 2]:
            run.sft(family, with_images)
        flip = run.draw(f"canonical {family}").random() < 0.5
        run.adapters(family, "lora", flip)
        run.adapters(family, "dora", not flip)
        run.starts(family, "pissa", run.draw(f"start {family}").choice(["lora", "dora"]))
        run.from_peft(family, run.draw(f"scheme {family}").choice(["lora", "dora"]))
    run.starts("mistral", "olora", "lora")
    run.tensorboard()


if __name__ == "__main__":
    main(__doc__, everything, make=Training)
