"""Makes Tests/Fixtures/training/: twenty steps of torch, transformers and peft on tiny models of every family.

    scripts/setup-peers
    .venv-peers/bin/python Tests/Fixtures/make_training_fixtures.py            # writes the files
    .venv-peers/bin/python Tests/Fixtures/make_training_fixtures.py --check    # compares with what is committed

Versions in Tests/Peers/requirements.txt. For each of `checkpoints/{mistral,ministral3,gemma3}` in float32:

NAME.safetensors
    BATCH.input_ids, .labels, .attention_mask, .pixel_values, ...   two batches, `text` (two rows, one padded) and `image`,
                                                                    of which the steps take one after the other
    SCHEME.losses, SCHEME.norms [20]   of `sft`, `lora` and `dora`: loss and global gradient norm before clipping
    BATCH.gradient.PARAMETER [3]       before step 0: the norm, and the products with two waves, see `waves`
    sft.bfloat16_spread [20]           how far losses of bfloat16 are from those of float32, relative: the largest of all steps
                                       up to this one and of RUNS runs, whose weights begin one rounding apart
    SCHEME.logits                      of the adapted model before step 0, for the first batch
NAME-SCHEME/                           the adapter before step 0, as peft saves it

AdamW with the numbers in OPTIMIZER, gradients clipped at 1, no decay for vectors.
"""

import copy
import math
import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

HERE = Path(__file__).resolve().parent
TARGET = HERE / "training"
STEPS = 20
RUNS = 16
OPTIMIZER = dict(lr=2e-3, betas=(0.9, 0.95), eps=1e-5)
DECAY = 0.1
TARGETS = r".*(?<!vision_tower)\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"


def load(name):
    kind = AutoModelForCausalLM if name == "mistral" else AutoModelForImageTextToText
    model = kind.from_pretrained(HERE / "checkpoints" / name, dtype=torch.float32, attn_implementation="eager")
    return model.train()


def batches(name, model):
    """Two batches, `text` and `image`; a model without eyes gets text twice."""
    reference = load_file(HERE / "reference" / f"{name}.safetensors")
    vocabulary = model.get_input_embeddings().weight.shape[0]
    generator = torch.Generator().manual_seed(11)
    ids = torch.randint(20, vocabulary - 20, (2, 13), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    labels = ids.clone()
    labels[0, :4] = -100
    labels[mask == 0] = -100
    text = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    prefix = "one_image."
    image = {key[len(prefix):]: value for key, value in reference.items() if key.startswith(prefix)}
    image = {key: image[key] for key in ("input_ids", "pixel_values", "image_sizes", "token_type_ids") if key in image}
    if not image:
        other = torch.randint(20, vocabulary - 20, (1, 17), generator=generator)
        image = {"input_ids": other}
    labels = image["input_ids"].clone()
    special = {model.config.get_text_config().bos_token_id, getattr(model.config, "image_token_index", None), None}
    special |= {getattr(model.config, "image_token_id", None)}
    for token in special - {None}:
        labels[labels == token] = -100
    labels[:, :2] = -100
    if name == "gemma3":
        text["token_type_ids"] = torch.zeros_like(text["input_ids"])
    return {"text": text, "image": image | {"labels": labels}}


def waves(gradient):
    flat = gradient.double().flatten()
    place = torch.arange(len(flat), dtype=torch.float64)
    products = [(flat * torch.cos(0.37 * place + 1)).sum(), (flat * torch.cos(0.011 * place * place % 6.25)).sum()]
    return torch.stack([flat.norm(), *products]).float()


def gradients(model, inputs):
    model.zero_grad()
    model(**inputs, use_cache=False).loss.backward()
    return {n: waves(p.grad) for n, p in model.named_parameters() if p.grad is not None}


def optimizer_of(trained):
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": DECAY},
        {"params": [p for p in trained if p.ndim == 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, **OPTIMIZER)


def train(model, data):
    """Losses and gradient norms of the steps."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer_of(trained)
    losses, norms = [], []
    for step in range(STEPS):
        loss = model(**data[step % 2], use_cache=False).loss
        # Megatron's gradients are buffers, zero where nothing came; torch would leave such parameters as they are.
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(trained, 1.0).item())
        optimizer.step()
        losses.append(loss.item())
    return torch.tensor(losses), torch.tensor(norms)


def train_bfloat16(model, data, seed):
    """Losses of a model in bfloat16 whose parameters are kept in float32, after noise of one rounding of bfloat16."""
    generator = torch.Generator().manual_seed(seed)
    trained = list(model.parameters())
    with torch.no_grad():
        for parameter in trained:
            parameter.mul_(1 + (torch.randint(0, 3, parameter.shape, generator=generator) - 1) * 2**-9)
    low = copy.deepcopy(model).to(torch.bfloat16)
    data = [{k: v.bfloat16() if v.is_floating_point() else v for k, v in inputs.items()} for inputs in data]
    optimizer = optimizer_of(trained)
    losses = []
    for step in range(STEPS):
        low.zero_grad()
        loss = low(**data[step % 2], use_cache=False).loss
        loss.backward()
        for parameter, other in zip(trained, low.parameters()):
            parameter.grad = torch.zeros_like(parameter) if other.grad is None else other.grad.float()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        with torch.no_grad():
            for parameter, other in zip(trained, low.parameters()):
                other.copy_(parameter)
        losses.append(loss.item())
    return torch.tensor(losses)


def adapted(model, scheme):
    torch.manual_seed(3)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=TARGETS, use_dora=scheme == "dora", lora_dropout=0.0)
    model = get_peft_model(model, config)
    with torch.no_grad():
        # B is zero at first, which would hide much of what can be wrong.
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.05)
            elif "magnitude" in name:
                parameter.mul_(torch.rand_like(parameter) * 0.4 + 0.8)
    return model


def make(name, target):
    tensors = {}
    model = load(name)
    data = list(batches(name, model).items())
    for batch, inputs in data:
        tensors |= {f"{batch}.{key}": value.contiguous() for key, value in inputs.items()}
    for batch, inputs in data:
        tensors |= {f"{batch}.gradient.{key}": value for key, value in gradients(model, inputs).items()}
    inputs = [inputs for _, inputs in data]
    tensors["sft.losses"], tensors["sft.norms"] = train(model, inputs)
    losses = torch.stack([train_bfloat16(load(name), inputs, seed) for seed in range(RUNS)])
    distances = (losses - tensors["sft.losses"]).abs() / tensors["sft.losses"]
    tensors["sft.bfloat16_spread"] = distances.amax(0).cummax(0).values
    for scheme in ("lora", "dora"):
        model = adapted(load(name), scheme)
        model.peft_config["default"].base_model_name_or_path = f"toys/{name}"
        model.save_pretrained(target / f"{name}-{scheme}")
        (target / f"{name}-{scheme}" / "README.md").unlink(missing_ok=True)
        with torch.no_grad():
            tensors[f"{scheme}.logits"] = model(**inputs[1], use_cache=False).logits.float()
        tensors[f"{scheme}.losses"], tensors[f"{scheme}.norms"] = train(model, inputs)
    save_file(tensors, target / f"{name}.safetensors")


def compare(committed, made):
    """The tensors of one folder are those of another, up to rounding."""
    for file in sorted(committed.rglob("*.safetensors")):
        old, new = load_file(file), load_file(made / file.relative_to(committed))
        assert old.keys() == new.keys(), file
        for key in old:
            if old[key].is_floating_point():
                scale = max(old[key].abs().max().item(), 1e-6)
                assert (old[key] - new[key]).abs().max().item() <= 1e-4 * scale, (file, key)
            else:
                assert torch.equal(old[key], new[key]), (file, key)


def main():
    target = HERE / "build-training" if "--check" in sys.argv else TARGET
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    torch.set_num_threads(1)
    for name in ("mistral", "ministral3", "gemma3"):
        make(name, target)
    if "--check" in sys.argv:
        compare(TARGET, target)
        shutil.rmtree(target)


if __name__ == "__main__":
    main()
