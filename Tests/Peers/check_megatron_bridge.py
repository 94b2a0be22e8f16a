#!/usr/bin/env python3
"""Megatron Bridge itself loads what the bridge writes as torch_dist, and exports it for Hugging Face.

    check_megatron_bridge.py [BRIDGE] [--seed N] [--only TEXT ...]

Run by `make test-megatron-bridge` in an environment of its own (requirements-megatron-bridge.txt, Python 3.12). Megatron Bridge
builds its models with Transformer Engine, which needs a GPU, so here their layers are those of megatron-core without it,
under the names of Transformer Engine's parameters; nothing is computed with them. What Megatron Bridge imports and does not
use on this way is replaced by names without a content.

loads       `AutoBridge.load_megatron_model` reads a checkpoint of a new tiny model, by its run_config.yaml, and
            `export_hf_weights` gives every tensor of the model, all equal.
"""

import importlib.abc
import importlib.machinery
import types

import torch
from checkpoints import bits, read_tensors
from megatron_core import processes, start
from runner import Runner, main
from torch_dist_optimizer import OnCPU

FAMILIES = ("mistral", "ministral3", "gemma3")
LAYOUTS = ((1, 1), (2, 1), (2, 2))
# Imported by Megatron Bridge 0.6.2, and not from a package index or only for a GPU.
ABSENT = (
    "transformer_engine", "nvidia_resiliency_ext", "flashinfer", "fla", "wandb", "mlflow", "comet_ml", "modelopt", "diffusers",
    "qwen_vl_utils", "open_clip", "causal_conv1d", "mamba_ssm", "flash_attn", "multi_storage_client", "nvdlfw_inspect",
    "emerging_optimizers",
)  # fmt: skip


class Nothing(type):
    """The class of names that stand for what is not there: attributes and calls lead to themselves."""

    def __getattr__(cls, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent

    def __call__(cls, *arguments, **keywords):
        return cls if cls is Absent else super().__call__(*arguments, **keywords)


class Absent(metaclass=Nothing):
    pass


class AbsentFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ABSENT or name.startswith("megatron.energon"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__path__, module.__version__ = [], "0.0.0"

        def attribute(name):
            if name.startswith("__"):
                raise AttributeError(name)
            return Absent

        module.__getattr__ = attribute
        return module

    def exec_module(self, module):
        pass


def local_classes():
    """Layers of megatron-core whose parameters have the names that those of Transformer Engine's have."""
    from megatron.core.tensor_parallel.layers import ColumnParallelLinear, RowParallelLinear

    class RMSNorm(torch.nn.Module):
        def __init__(self, config, hidden_size, eps=0.0):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(hidden_size, dtype=config.params_dtype))

    class NormedColumnParallelLinear(ColumnParallelLinear):
        def __init__(self, input_size, output_size, **settings):
            super().__init__(input_size, output_size, **settings)
            self.layer_norm_weight = torch.nn.Parameter(torch.zeros(input_size, dtype=self.config.params_dtype))

    # Megatron Bridge looks up how it is divided by the name of the class.
    class TERowParallelLinearLayerNorm(RowParallelLinear):
        def __init__(self, input_size, output_size, **settings):
            super().__init__(input_size, output_size, **settings)
            self.post_layernorm = RMSNorm(self.config, output_size)

    return RMSNorm, NormedColumnParallelLinear, TERowParallelLinearLayerNorm


def local_layers(config, **_):
    """A decoder layer of megatron-core with these."""
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.transformer.identity_op import IdentityOp

    layer = get_gpt_layer_local_spec(normalization="RMSNorm")
    parts = layer.submodules
    parts.input_layernorm = parts.pre_mlp_layernorm = IdentityOp
    normed = local_classes()[1]
    parts.self_attention.submodules.linear_qkv = normed
    mlp = parts.mlp.submodules if hasattr(parts.mlp, "submodules") else parts.mlp.keywords["submodules"]
    mlp.linear_fc1 = normed
    parts.sharded_state_dict_keys_map = {}
    return layer


def export_process(rank, world, port, model, folder, result):
    """Loads a checkpoint and writes the tensors for Hugging Face."""
    import os
    import sys

    # Megatron Bridge reads them.
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    torch.cuda.set_device = lambda *_: None
    torch.nn.Module.cuda = lambda module, *_, **__: module
    start(rank, world, port, 1, 1)
    # What asks whether a package is there has to ask before every absent one is.
    import datasets  # noqa: F401
    import megatron.core.models.gpt.gpt_layer_specs  # noqa: F401
    import peft  # noqa: F401
    import transformers  # noqa: F401
    from megatron.core.tensor_parallel import layers as tensor_layers
    from megatron.core.transformer import transformer_block
    from megatron.core.transformer.dot_product_attention import DotProductAttention
    from torch.utils import tensorboard  # noqa: F401

    sys.meta_path.append(AbsentFinder())
    import megatron.bridge.models.gemma.gemma3_provider as gemma3
    import megatron.bridge.models.gemma_vl.modeling_gemma3_vl as gemma3_images
    import megatron.bridge.models.gpt_provider as gpt
    import megatron.bridge.models.ministral3.ministral3_provider as ministral3

    ministral3.MinistralTEDotProductAttention = DotProductAttention
    gpt.default_layer_spec = gpt.transformer_engine_layer_spec = ministral3.default_layer_spec = local_layers
    gpt.GPTModelProvider.transformer_layer_spec = staticmethod(local_layers)
    gpt.GPTModelProvider.__dataclass_fields__["transformer_layer_spec"].default = local_layers
    gemma3.TENorm, gemma3.TELayerNormColumnParallelLinear, gemma3.TERowParallelLinearLayerNorm = local_classes()
    gemma3_images.TENorm, gemma3.Gemma3TEDotProductAttention = gemma3.TENorm, DotProductAttention
    # The norm after the last layer; torch's has no Gemma's.
    transformer_block.LayerNormImpl = gemma3.TENorm
    # A kernel of the backward pass.
    tensor_layers._grad_accum_fusion_available = True
    from megatron.bridge import AutoBridge

    with OnCPU():
        bridge = AutoBridge.from_hf_pretrained(str(model))
        loaded = bridge.load_megatron_model(str(folder))
        found = {name: tensor.clone() for name, tensor in bridge.export_hf_weights(loaded, cpu=True, show_progress=False)}
    torch.save(found, result)


class Check(Runner):
    def family(self, family):
        draw = self.draw(family)
        home = self.work / family
        home.mkdir(parents=True)
        model, written, result = home / "model", home / "written", home / "result"
        self.call("toy", "--family", family, "--output", model, "--seed", draw.randrange(2**31))
        expected = read_tensors(model)

        def body(layout):
            self.call(
                "convert", "import", "--hf-model", model, "--megatron-path", written, "--format", "torch_dist",
                "--tp", layout[0], "--pp", layout[1], "--writers", draw.randint(1, 4), "--overwrite",
            )  # fmt: skip
            processes(export_process, 1, model, written, result)
            found = torch.load(result)
            problems = [f"{name} is unexpected" for name in found.keys() - expected.keys()]
            for name, tensor in expected.items():
                if name not in found or not torch.equal(bits(tensor), bits(found[name])):
                    problems.append(name)
            return f"{len(found)} tensors", problems

        for layout in LAYOUTS:
            self.judge(f"loads {family}, written for TP {layout[0]} PP {layout[1]}", lambda: body(layout))


def run(check, _):
    for family in FAMILIES:
        check.family(family)


if __name__ == "__main__":
    main(__doc__, run, Check)
