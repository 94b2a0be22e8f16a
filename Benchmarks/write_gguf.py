"""Writes the weights of a Mistral folder as a BF16 GGUF, so that llama.cpp computes with the same numbers.

write_gguf.py FOLDER OUT.gguf     (GGUF_PY may name a folder with the `gguf` package)
"""

import json
import os
import sys
from pathlib import Path

if "GGUF_PY" in os.environ:
    sys.path.insert(0, os.environ["GGUF_PY"])

import gguf
import torch
from safetensors import safe_open

NAMES = {
    "model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output",
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def name_of(parameter):
    stem = parameter.removesuffix(".weight")
    if stem.startswith("model.layers."):
        _, _, layer, tail = stem.split(".", 3)
        return f"blk.{layer}.{NAMES[tail]}.weight"
    return NAMES[stem] + ".weight"


def interleave(weight, heads):
    """llama.cpp rotates neighbouring rows of q and k, transformers the two halves of a head."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def main():
    folder, out = Path(sys.argv[1]), sys.argv[2]
    config = json.loads((folder / "config.json").read_text())
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    writer = gguf.GGUFWriter(out, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(rope_theta(config))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    # Ids are given and read as numbers; no text goes through llama.cpp.
    writer.add_tokenizer_model("no_vocab")
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as reader:
            for parameter in reader.keys():
                tensor = reader.get_tensor(parameter)
                if parameter.endswith(("q_proj.weight", "k_proj.weight")):
                    tensor = interleave(tensor, heads if "q_proj" in parameter else groups)
                if tensor.ndim == 1:
                    writer.add_tensor(name_of(parameter), tensor.float().numpy())
                else:
                    raw = tensor.contiguous().view(torch.uint8).numpy()
                    kind = gguf.GGMLQuantizationType.BF16
                    writer.add_tensor(name_of(parameter), raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rope_theta(config):
    return config["rope_theta"] if "rope_theta" in config else config["rope_parameters"]["rope_theta"]


main()
