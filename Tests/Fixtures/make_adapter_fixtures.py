"""Makes Tests/Fixtures/adapters/: adapters of the kinds that PEFT's configuration has, with the logits that peft gives.

    scripts/setup-peers
    .venv-peers/bin/python Tests/Fixtures/make_adapter_fixtures.py            # writes the files
    .venv-peers/bin/python Tests/Fixtures/make_adapter_fixtures.py --check    # compares with what is committed

Versions in Tests/Peers/requirements.txt. For each of BASES and its KINDS:

BASE-KIND/            the adapter of `checkpoints/BASE`, as peft saves it
adapters.safetensors  BASE.input_ids [1, 9]
                      BASE-KIND.logits    of PeftModel.from_pretrained on the model in float32
                      BASE-KIND.losses, .norms [20]   for those in TRAINED: steps as in make_training_fixtures.py
"""

import shutil
import sys

import torch
from make_training_fixtures import HERE, compare, train
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

TARGET = HERE / "adapters"
TOKENS = [3, 1, 7]
KINDS = {
    "head": dict(target_modules=["q_proj", "lm_head"]),
    "head-dora": dict(target_modules=["lm_head"], use_dora=True),
    "pissa": dict(target_modules=["q_proj", "up_proj"], init_lora_weights="pissa"),
    "olora": dict(target_modules=["k_proj", "down_proj"], init_lora_weights="olora"),
    "patterns": dict(
        target_modules=["q_proj", "v_proj", "up_proj"],
        rank_pattern={"layers.1.self_attn.q_proj": 3, "q_proj": 6, "^model.*up_proj": 2},
        alpha_pattern={r"layers\.[01]\..*_proj": 9, "v_proj": 5}, use_rslora=True,
    ),
    "full": dict(target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens"]),
    "embedding": dict(target_modules=["q_proj", "embed_tokens"]),
    "tokens": dict(target_modules=["q_proj"], trainable_token_indices=TOKENS),
    "resized": dict(target_modules=["q_proj", "embed_tokens", "lm_head"]),
    "layers": dict(target_modules=["q_proj"], layers_to_transform=[1]),
    "words": dict(target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
}  # fmt: skip
BASES = {
    "mistral": ("head", "head-dora", "pissa", "olora", "patterns", "full", "layers"),
    # Where the output layer is the embedding, PEFT changes one of them and not the other.
    "mistral-tied": ("head", "embedding", "tokens", "resized", "words"),
}
TRAINED = ("head", "head-dora")
EXTRA = 5


def base(name, kind):
    path = HERE / "checkpoints" / name
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation="eager")
    if kind == "resized":
        torch.manual_seed(1)
        model.resize_token_embeddings(model.get_input_embeddings().weight.shape[0] + EXTRA, mean_resizing=False)
    return model


def make(name, kind, ids, tensors, target):
    torch.manual_seed(len(kind))
    config = LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", **KINDS[kind])
    model = get_peft_model(base(name, kind), config)
    with torch.no_grad():
        for key, value in model.named_parameters():
            if "magnitude" in key or "modules_to_save" in key:
                value.mul_(torch.rand_like(value) * 0.4 + 0.8)
            elif any(word in key for word in ("lora_", "trainable_tokens_delta")):
                value.add_(torch.randn_like(value) * 0.05)
    folder = target / f"{name}-{kind}"
    model.peft_config["default"].base_model_name_or_path = f"toys/{name}"
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    loaded = PeftModel.from_pretrained(base(name, kind), folder, is_trainable=True)
    with torch.no_grad():
        tensors[f"{name}-{kind}.logits"] = loaded.eval()(input_ids=ids, use_cache=False).logits
    if kind in TRAINED:
        labels = ids.clone()
        labels[:, :2] = -100
        inputs = {"input_ids": ids, "labels": labels}
        steps = train(loaded.train(), [inputs, inputs])
        tensors[f"{name}-{kind}.losses"], tensors[f"{name}-{kind}.norms"] = steps


def main():
    target = HERE / "build-adapters" if "--check" in sys.argv else TARGET
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    torch.set_num_threads(1)
    tensors = {}
    for name, kinds in BASES.items():
        vocabulary = base(name, "").get_input_embeddings().weight.shape[0]
        ids = torch.randint(0, vocabulary, (1, 9), generator=torch.Generator().manual_seed(11))
        ids[0, 3], ids[0, 5] = TOKENS[0], TOKENS[2]
        tensors[f"{name}.input_ids"] = ids
        for kind in kinds:
            make(name, kind, ids, tensors, target)
    save_file(tensors, target / "adapters.safetensors")
    if "--check" in sys.argv:
        compare(TARGET, target)
        shutil.rmtree(target)


if __name__ == "__main__":
    main()
