"""Rows to train on, and what torch, transformers and peft make of them: the other side of compare_training.py."""

import json
import math

import torch
from checkpoints import load
from peft import PeftModel
from PIL import Image
from processors import load_processor
from random_models import words

BETAS, EPSILON, DECAY, CLIP, WARMUP = (0.9, 0.95), 1e-5, 0.1, 1.0, 2
# Fused in Megatron-Core, where they share one matrix A unless an adapter is canonical.
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))

single_svd = torch.linalg.svd


def double_svd(matrix, *arguments, **options):
    """The decomposition from which peft starts PiSSA and MiCA, in double precision.

    The error of the singular vectors is that of the arithmetic over the gap between the last singular value that is taken
    and the next one. In float32, with gaps of 0.3 %, it changes peft's own logits by as much as the bound.
    """
    return tuple(part.to(matrix.dtype) for part in single_svd(matrix.double(), *arguments, **options))


torch.linalg.svd = double_svd


def float32_model(folder):
    model, _ = load(folder, dtype=torch.float32, attn_implementation="eager")
    return model.train()


def holed(draw, ids, special):
    """Labels of a row: nothing for a piece at the beginning, for special tokens, and for some others."""
    start = draw.randint(0, len(ids) // 2)
    labels = [-100 if i < start or t in special or draw.random() < 0.2 else t for i, t in enumerate(ids)]
    if all(label == -100 for label in labels[1:]):
        labels[-1] = ids[-1]
    return labels


def text_row(draw, config):
    """(row of the file, inputs of the model): text of random length."""
    ids = [1, *words(draw, config, draw.randint(3, 40))]
    return {"input_ids": ids, "labels": holed(draw, ids, ())}, {}


def picture(draw, path, limit):
    width, height = draw.randint(9, limit), draw.randint(9, limit)
    # A gradient and noise on it, so that a shifted or mirrored picture is another one.
    noise = torch.randint(0, 90, (height, width, 3), generator=torch.Generator().manual_seed(draw.randrange(2**31)))
    ramp = torch.stack([torch.arange(width).expand(height, width) * 160 // width] * 3, dim=-1)
    ramp[..., 1] = torch.arange(height)[:, None] * 160 // height
    image = Image.fromarray((noise + ramp).to(torch.uint8).numpy())
    image.save(path)
    return image


def image_row(draw, config, processor, folder, number):
    """A row of text with one or two pictures, as transformers' own processor prepares it."""
    pieces, images, names, limit = ["Look"], [], [], 70
    if config["model_type"] != "gemma3":
        # Sides are rounded up to whole cells, and the tower has no positions beyond its image size.
        cell = config["vision_config"]["patch_size"] * config["spatial_merge_size"]
        limit = min(limit, config["vision_config"]["image_size"] // cell * cell)
    count = draw.randint(1, 2)
    for index in range(2):
        # transformers 5.23 cannot run a Mistral 3 with one token of images in all: Mistral3Model.get_image_features
        # squeezes that dimension away and fails to split what is left.
        if index >= count and (config["model_type"] == "gemma3" or max(images[0].size) > cell):
            break
        names.append(f"picture-{number}-{index}.png")
        images.append(picture(draw, folder / names[-1], limit))
        pieces.append("<start_of_image>" if config["model_type"] == "gemma3" else "[IMG]")
        pieces.append("".join(draw.choice("abc dfgh. ") for _ in range(draw.randint(2, 9))))
    made = processor(text=" ".join(pieces), images=[images], return_tensors="pt")
    ids = made["input_ids"][0].tolist()
    special = {config.get("image_token_index"), 10, 12, 13}
    special |= {config.get("boi_token_index"), config.get("eoi_token_index")}
    row = {"input_ids": ids, "labels": holed(draw, ids, special), "images": names}
    return row, {key: made[key] for key in ("pixel_values", "image_sizes") if key in made}


def make_rows(draw, config, model_folder, folder, count, with_images):
    """Writes rows.jsonl and the pictures; returns the inputs of the model for each row."""
    folder.mkdir(parents=True)
    processor = load_processor(model_folder) if with_images else None
    rows, inputs = [], []
    for number in range(count):
        # Rows and whole micro-batches without a picture among the others are what a tower has to live with.
        seen = with_images and number % 5 < 3
        row, extra = image_row(draw, config, processor, folder, number) if seen else text_row(draw, config)
        rows.append(row)
        ids = torch.tensor([row["input_ids"]])
        given = {"input_ids": ids, "labels": torch.tensor(row["labels"]), **extra}
        if config["model_type"] == "gemma3":
            given["token_type_ids"] = (ids == config["image_token_index"]).long()
        inputs.append(given)
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return inputs


# What each option leaves as it is, by the beginnings of transformers' names.
FROZEN = {
    "--freeze-language-model": ("model.language_model.", "lm_head."),
    "--freeze-vision-model": ("model.vision_tower.",),
    "--freeze-vision-projection": ("model.multi_modal_projector.",),
}


def freeze(model, options):
    for name, parameter in model.named_parameters():
        if any(name.startswith(FROZEN[option]) for option in options):
            parameter.requires_grad_(False)
    return model


def learning_rate(step, steps, highest):
    """Cosine down to a tenth of the highest, behind a warm-up; the first step is 1. Formula: Megatron-Core 0.14."""
    if step <= WARMUP:
        return highest * step / WARMUP
    lowest, part = highest / 10, (step - WARMUP) / (steps - WARMUP)
    return lowest + (highest - lowest) * 0.5 * (math.cos(math.pi * part) + 1)


def summed_loss(model, inputs):
    """The sum over the trained tokens of a row, and how many there are."""
    given = {key: value for key, value in inputs.items() if key != "labels"}
    logits = model(**given, use_cache=False).logits[0, :-1].float()
    labels = inputs["labels"][1:]
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum"), (labels != -100).sum().item()


def train(model, rows, steps, batch, highest):
    """Loss, gradient norm and learning rate of each step of AdamW; a step takes `batch` rows, in the file's order."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": DECAY},
            {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=highest, betas=BETAS, eps=EPSILON,
    )  # fmt: skip
    record = []
    for step in range(1, steps + 1):
        # Megatron's gradients are buffers, zero where nothing came; torch would leave such parameters as they are.
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        taken = [rows[((step - 1) * batch + i) % len(rows)] for i in range(batch)]
        tokens = sum((inputs["labels"][1:] != -100).sum().item() for inputs in taken)
        loss = 0.0
        # One row at a time: no padding that could go wrong, and the mean over the tokens of the whole step.
        for inputs in taken:
            part, _ = summed_loss(model, inputs)
            # A row of text teaches nothing where only parts that see are trained, and torch then refuses.
            if part.requires_grad:
                (part / tokens).backward()
            loss += part.item() / tokens
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP).item()
        rate = learning_rate(step, steps, highest)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        record.append({"lm_loss": loss, "grad_norm": norm, "learning_rate": rate, "trained_tokens": tokens})
    return record


def adapted(folder, adapter, is_trainable=False):
    """transformers' model with an adapter on it, through peft's own loader."""
    return PeftModel.from_pretrained(float32_model(folder), adapter, is_trainable=is_trainable)


def share_inputs(model):
    """Lets the parts of a fused module have one matrix A, as Megatron's adapters have. How many modules do."""
    shared = 0
    modules = dict(model.named_modules())
    for name, module in modules.items():
        first, *others = next((names for names in FUSED if name.endswith("." + names[0])), [None])
        if first is None or not hasattr(module, "lora_A"):
            continue
        for other in others:
            twin = modules[name.removesuffix(first) + other]
            # Modules that are not fused, such as a tower's may be, begin with matrices of their own and keep them.
            if not torch.equal(twin.lora_A["default"].weight, module.lora_A["default"].weight):
                break
            twin.lora_A["default"].weight = module.lora_A["default"].weight
        else:
            shared += 1
    return shared
