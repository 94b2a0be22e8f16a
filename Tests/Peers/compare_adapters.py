#!/usr/bin/env python3
"""Makes adapters with peft in every way that its configuration has, and compares what the bridge makes of them.

    compare_adapters.py [BRIDGE] [--seed N] [--only TEXT ...]

The expected logits are those of PeftModel.from_pretrained on a fresh base model, which is what a user of the saved
folder gets. Compared are `forward --adapter` with the folder, with what `adapter import` makes of it, with what
`adapter export` makes of that (by peft again), and the model that `adapter merge` writes (by the bridge and by
transformers). Logits may differ by 1e-4 of the largest.

settings    Every field of LoraConfig and of its base classes has a verdict. A configuration that has all of them with their
            defaults, and one more, makes the bridge report the one more alone, and refuse it with --strict.
refused     Settings that mean another computation are refused by their name.
finetune    mistral-finetune's lora.safetensors, merged by the formula of its merge_lora.py.
"""

import dataclasses
import json
import shutil

import torch
from checkpoints import read_json, read_tensors, write_json
from compare_training import Training, far
from peft import LoraConfig, PeftModel, get_peft_model
from random_models import FAMILIES, text_inputs
from runner import Failure, main
from safetensors.torch import save_file
from training_peer import float32_model

BOUND = 1e-4
Q, V, O, UP = "q_proj", "v_proj", "o_proj", "up_proj"
TOKENS = [3, 1, 7]

# What LoraConfig is given besides r and lora_alpha; "then" changes the configuration that was saved.
KINDS = {
    "head": {"target_modules": [Q, "lm_head"]},
    "head with magnitudes": {"target_modules": [Q, "lm_head"], "use_dora": True},
    "head alone": {"target_modules": ["lm_head"]},
    "pissa": {"target_modules": [Q, O, UP], "init_lora_weights": "pissa"},
    "pissa of magnitudes": {"target_modules": [Q, UP], "init_lora_weights": "pissa", "use_dora": True},
    "pissa with patterns": {
        "target_modules": [Q, V], "init_lora_weights": "pissa", "rank_pattern": {V: 5}, "alpha_pattern": {Q: 7},
        "use_rslora": True,
    },
    "pissa of the head": {"target_modules": [Q, "lm_head"], "init_lora_weights": "pissa"},
    "olora": {"target_modules": [Q, O, "down_proj"], "init_lora_weights": "olora"},
    "orthogonal": {"target_modules": [Q, V], "init_lora_weights": "orthogonal"},
    "gaussian": {"target_modules": [Q, V], "init_lora_weights": "gaussian"},
    "mica": {"target_modules": [Q, V], "init_lora_weights": "mica"},
    "patterns": {
        "target_modules": [Q, V, UP], "rank_pattern": {"layers.1.self_attn.q_proj": 3, Q: 6, "^model.*up_proj": 2},
        "alpha_pattern": {r"layers\.[01]\..*_proj": 9, V: 5},
    },
    "patterns by the root": {"target_modules": [Q, V], "rank_pattern": {Q: 6}, "use_rslora": True},
    "head and embedding in full": {"target_modules": [Q], "modules_to_save": ["lm_head", "embed_tokens"]},
    "embedding in full": {"target_modules": [Q], "modules_to_save": ["embed_tokens"]},
    "head in full": {"target_modules": [Q], "modules_to_save": ["lm_head"]},
    "norms in full": {"target_modules": [Q], "modules_to_save": ["norm"]},
    "embedding": {"target_modules": [Q, "embed_tokens"]},
    "embedding and head": {"target_modules": ["embed_tokens", "lm_head"]},
    "embedding with magnitudes": {"target_modules": [Q, "embed_tokens"], "use_dora": True},
    "tokens": {"target_modules": [Q], "trainable_token_indices": TOKENS},
    "tokens of both": {"target_modules": [Q], "trainable_token_indices": {"embed_tokens": TOKENS, "lm_head": [2, 9]}},
    "tokens of the head": {"target_modules": [Q], "trainable_token_indices": {"lm_head": TOKENS}},
    "some layers": {"target_modules": [Q, V], "layers_to_transform": [1], "layers_pattern": "layers"},
    "fewer layers than saved": {"target_modules": [Q, V], "then": {"layers_to_transform": [0]}},
    "fewer modules than saved": {"target_modules": [Q, V], "then": {"target_modules": [V]}},
    "excluded after saving": {"target_modules": [Q, V], "then": {"exclude_modules": [V]}},
    "an expression": {"target_modules": r".*layers\.\d+\.self_attn\.(q|k)_proj"},
    "biases": {"target_modules": [Q, V], "bias": "all"},
    "fan in, fan out": {"target_modules": [Q, V], "then": {"fan_in_fan_out": True}},
    "another start": {"target_modules": [Q, V], "then": {"init_lora_weights": False}},
    "tied on purpose": {
        "target_modules": [Q], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True,
    },
    "resized": {"target_modules": [Q, V], "resize": 5},
    "resized, in full": {"target_modules": [Q], "resize": 5, "modules_to_save": ["embed_tokens", "lm_head"]},
    "resized, adapted": {"target_modules": [Q, "embed_tokens", "lm_head"], "resize": 3},
}  # fmt: skip

REFUSED = {
    "init_lora_weights": ["corda", "loftq", "pissa_niter_1", "banana"],
    "lora_bias": [True],
    "use_qalora": [True],
    "layer_replication": [[[0, 1], [0, 2]]],
    "target_parameters": [["experts.weight"]],
    "alora_invocation_tokens": [[1, 2]],
    "kasa_config": [{"beta": 1.0}],
    "arrow_config": [{"top_k": 2}],
    "monteclora_config": [{"num_samples": 2}],
    "use_bdlora": [{"nblocks": 2}],
}


class Adapters(Training):
    def base(self, folder, extra):
        model = float32_model(folder)
        if extra:
            torch.manual_seed(1)
            model.resize_token_embeddings(model.get_input_embeddings().weight.shape[0] + extra, mean_resizing=False)
        return model

    def made(self, folder, kind, draw, name="adapter"):
        """An adapter that peft made and saved, with random numbers; the folder."""
        settings = dict(KINDS.get(kind, {"target_modules": [Q, V]}))
        extra, then = settings.pop("resize", 0), settings.pop("then", {})
        torch.manual_seed(draw.randrange(2**31))
        model = get_peft_model(
            self.base(folder, extra), LoraConfig(r=4, lora_alpha=6, task_type="CAUSAL_LM", lora_dropout=0.1, **settings)
        )
        with torch.no_grad():
            for key, value in model.named_parameters():
                if not any(word in key for word in ("lora_", "modules_to_save", "trainable_tokens_delta")):
                    continue
                if "magnitude" in key or "modules_to_save" in key:
                    value.mul_(torch.rand_like(value) * 0.4 + 0.8)
                else:
                    value.add_(torch.randn_like(value) * 0.05)
        target = folder.parent / name
        model.save_pretrained(target)
        if extra:
            # peft looks whether the vocabulary was resized in the base model's configuration on a disk.
            from peft.utils import get_peft_model_state_dict

            state = get_peft_model_state_dict(model, save_embedding_layers=True)
            save_file({k: v.contiguous().clone() for k, v in state.items()}, target / "adapter_model.safetensors")
        if then:
            path = target / "adapter_config.json"
            write_json(path, {**read_json(path), **then})
        return target, extra

    def loaded(self, folder, adapter, extra=0):
        return PeftModel.from_pretrained(self.base(folder, extra), adapter).eval()

    def one(self, family, kind):
        title = f"adapter {family}: {kind}"

        def body():
            draw, folder, note = self.model(family, title)
            config = read_json(folder / "config.json")
            inputs = text_inputs(draw, config, 8)
            adapter, extra = self.made(folder, kind, draw)
            with torch.no_grad():
                expected = self.loaded(folder, adapter, extra)(**inputs, use_cache=False).logits
                plain = float32_model(folder)(**inputs, use_cache=False).logits
            found = {"forward": self.forward(folder, inputs, "--adapter", adapter)["logits"]}
            home = folder.parent
            self.call("adapter", "import", "--hf-model", folder, "--adapter", adapter, "--output", home / "native")
            found["imported"] = self.forward(folder, inputs, "--adapter", home / "native")["logits"]
            for name, source in (("exported", "adapter"), ("exported again", "native")):
                target = home / f"{source}-again"
                self.call("adapter", "export", "--hf-model", folder, "--adapter", home / source, "--output", target)
                with torch.no_grad():
                    found[name] = self.loaded(folder, target, extra)(**inputs, use_cache=False).logits
            self.call("adapter", "merge", "--hf-model", folder, "--adapter", adapter, "--hf-path", home / "merged", "--dtype", "float32")
            self.call("adapter", "merge", "--hf-model", folder, "--adapter", adapter, "--output", home / "whole", "--dtype", "float32")
            found["merged"] = self.forward(home / "merged", inputs)["logits"]
            with torch.no_grad():
                found["merged in transformers"] = float32_model(home / "merged")(**inputs, use_cache=False).logits
            self.call("convert", "export", "--megatron-path", home / "whole", "--hf-path", home / "whole-hf", "--no-progress")
            found["merged on the way of a checkpoint"] = self.forward(home / "whole-hf", inputs)["logits"]
            problems = []
            for name, logits in found.items():
                if logits.shape != expected.shape:
                    problems.append(f"{name}: logits have the shape {tuple(logits.shape)}, peft's {tuple(expected.shape)}")
                elif not (gap := far(expected, logits)) <= BOUND:
                    problems.append(f"{name}: logits differ by {gap:.2g} from peft's")
            if expected.shape == plain.shape and not far(expected, plain) > 10 * BOUND:
                problems.append("the adapter changes next to nothing, which tells nothing")
            tied = float32_model(folder).config.get_text_config().tie_word_embeddings
            return f"{note}{', tied' if tied else ''}", problems

        self.judge(title, body)

    def settings(self):
        def body():
            draw, folder, _ = self.model("mistral", "settings")
            adapter, _ = self.made(folder, "plain", draw)
            path = adapter / "adapter_config.json"
            fields = {field.name for field in dataclasses.fields(LoraConfig)}
            defaults = json.loads(json.dumps(LoraConfig(target_modules=[Q, V]).to_dict(), default=list))
            tables = json.loads(self.call("plugins", "describe", "mistral", "--settings", "--json"))
            known = set(json.loads(json.dumps(tables["adapter_config.json"])))
            problems = [f"{name} has no verdict" for name in sorted((fields | set(defaults)) - known)]
            write_json(path, {**defaults, **read_json(path), "of_the_future": 1})
            command = "forward", "--hf-model", folder, "--adapter", adapter, "--prompt", "a", "--output", folder.parent / "x"
            unknown = json.loads(self.call(*command, "--json"))["unknown_settings"]
            if "of_the_future" not in json.dumps(unknown) or any(name in json.dumps(unknown) for name in fields - {"r"}):
                problems.append(f"unknown settings are {unknown}")
            try:
                self.call(*command, "--strict")
                problems.append("--strict lets an unknown key pass")
            except Failure as failure:
                if "of_the_future" not in str(failure):
                    problems.append(str(failure))
            return f"{len(known)} keys", problems

        self.judge("settings", body)

    def refusals(self):
        def body():
            draw, folder, _ = self.model("mistral", "refused")
            adapter, _ = self.made(folder, "plain", draw)
            path = adapter / "adapter_config.json"
            config, problems = read_json(path), []
            for key, values in REFUSED.items():
                for value in values:
                    write_json(path, {**config, key: value})
                    try:
                        self.call("forward", "--hf-model", folder, "--adapter", adapter, "--prompt", "a", "--output", folder.parent / "x")
                        problems.append(f"{key} = {value} is not refused")
                    except Failure as failure:
                        if key not in str(failure):
                            problems.append(f"{key} = {value}: {failure}")
            return f"{len(REFUSED)} keys", problems

        self.judge("refused", body)

    def finetune(self):
        def body():
            draw, folder, note = self.model("mistral", "finetune")
            config = read_json(folder / "config.json")
            model = float32_model(folder)
            heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
            width = config.get("head_dim") or config["hidden_size"] // heads
            names = {
                "self_attn.q_proj": "attention.wq", "self_attn.k_proj": "attention.wk", "self_attn.v_proj": "attention.wv",
                "self_attn.o_proj": "attention.wo", "mlp.gate_proj": "feed_forward.w1",
                "mlp.down_proj": "feed_forward.w2", "mlp.up_proj": "feed_forward.w3",
            }  # fmt: skip
            torch.manual_seed(draw.randrange(2**31))
            state, scaling = {}, 1.7
            with torch.no_grad():
                for number, layer in enumerate(model.model.layers):
                    for name, own in names.items():
                        weight = layer.get_submodule(name).weight
                        a, b = torch.randn(3, weight.shape[1]) * 0.2, torch.randn(weight.shape[0], 3) * 0.2
                        state[f"layers.{number}.{own}.lora_A.weight"] = a
                        state[f"layers.{number}.{own}.lora_B.weight"] = b
                        delta = scaling * b @ a
                        if own.endswith(("wq", "wk")):
                            # permute_for_rope in transformers' convert_mistral_weights_to_hf.py.
                            count = heads if own.endswith("wq") else groups
                            delta = delta.view(count, width // 2, 2, -1).transpose(1, 2).reshape(count * width, -1)
                        weight += delta
                    norm = layer.input_layernorm.weight
                    norm.mul_(torch.rand_like(norm) * 0.4 + 0.8)
                    state[f"layers.{number}.attention_norm.weight"] = norm.clone()
            target = folder.parent / "lora"
            shutil.rmtree(target, ignore_errors=True)
            target.mkdir()
            save_file(state, target / "lora.safetensors")
            write_json(target / "params.json", {"lora": {"enable": True, "rank": 3, "dropout": 0.0, "scaling": scaling}})
            inputs = text_inputs(draw, config, 8)
            with torch.no_grad():
                expected = model(**inputs, use_cache=False).logits
            found = {"forward": self.forward(folder, inputs, "--adapter", target)["logits"]}
            home = folder.parent
            self.call("adapter", "import", "--hf-model", folder, "--adapter", target / "lora.safetensors", "--output", home / "native")
            found["imported"] = self.forward(folder, inputs, "--adapter", home / "native")["logits"]
            self.call("adapter", "merge", "--hf-model", folder, "--adapter", target, "--hf-path", home / "merged", "--dtype", "float32")
            found["merged"] = self.forward(home / "merged", inputs)["logits"]
            self.call("adapter", "export", "--hf-model", folder, "--adapter", target, "--output", home / "peft")
            with torch.no_grad():
                found["in peft"] = self.loaded(folder, home / "peft")(**inputs, use_cache=False).logits
            return note, self.logit_problems(expected, found)

        self.judge("finetune", body)


def everything(run, options):
    for family in FAMILIES:
        for kind in KINDS:
            run.one(family, kind)
    run.settings()
    run.refusals()
    run.finetune()


if __name__ == "__main__":
    main(__doc__, everything, make=Adapters)
