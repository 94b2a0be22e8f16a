"""One process of megatron-core on a CPU: builds the decoder of a model and loads or saves a distributed checkpoint.

What the decoder of megatron-core does not have, such as towers and norms after a layer's halves, is put into the state
dictionary as megatron-core's own ShardedTensor, stacked like the layers.
"""

import torch
from megatron_core import start, transformer_config


def megatron_tensors(config, tensors):
    """The tensors of a Hugging Face model under Megatron-Core's names, layers stacked: {key: tensor}."""
    text = config.get("text_config", config)
    prefix, groups = language_prefix(config), text["num_key_value_heads"]
    layers, found = {}, {}
    source = dict(tensors)
    model = next(
        start for start in ("language_model.model.", "model.language_model.", "model.") if f"{start}norm.weight" in source
    )

    def take(name):
        return source.pop(name)

    rename = {
        "input_layernorm": "self_attention.linear_qkv.layer_norm_weight",
        "self_attn.o_proj": "self_attention.linear_proj.weight",
        "mlp.down_proj": "mlp.linear_fc2.weight",
        "self_attn.q_norm": "self_attention.q_layernorm.weight",
        "self_attn.k_norm": "self_attention.k_layernorm.weight",
    }
    if f"{model}layers.0.pre_feedforward_layernorm.weight" in source:
        rename |= {
            "pre_feedforward_layernorm": "mlp.linear_fc1.layer_norm_weight",
            "post_attention_layernorm": "self_attention.linear_proj.post_layernorm.weight",
            "post_feedforward_layernorm": "mlp.linear_fc2.post_layernorm.weight",
        }
    else:
        rename["post_attention_layernorm"] = "mlp.linear_fc1.layer_norm_weight"
    for layer in range(text["num_hidden_layers"]):
        start = f"{model}layers.{layer}."
        for theirs, ours in rename.items():
            if f"{start}{theirs}.weight" in source:
                layers.setdefault(ours, []).append(take(f"{start}{theirs}.weight"))
        parts = [take(f"{start}self_attn.{name}_proj.weight") for name in "qkv"]
        # Each group has its query heads, its key head and its value head.
        split = [part.reshape(groups, -1, part.shape[-1]) for part in parts]
        qkv = torch.cat(split, dim=1).reshape(-1, parts[0].shape[-1])
        layers.setdefault("self_attention.linear_qkv.weight", []).append(qkv)
        halves = [take(f"{start}mlp.{name}_proj.weight") for name in ("gate", "up")]
        layers.setdefault("mlp.linear_fc1.weight", []).append(torch.cat(halves))
    for name, parts in layers.items():
        found[f"{prefix}decoder.layers.{name}"] = torch.stack(parts)
    found[f"{prefix}embedding.word_embeddings.weight"] = take(f"{model}embed_tokens.weight")
    found[f"{prefix}decoder.final_layernorm.weight"] = take(f"{model}norm.weight")
    for name in list(source):
        tensor = take(name)
        if name.endswith("lm_head.weight"):
            found[f"{prefix}output_layer.weight"] = tensor
        elif name == "multi_modal_projector.mm_input_projection_weight":
            found["multi_modal_projector.proj.weight"] = tensor.T.contiguous()
        else:
            name = name.replace("mm_soft_emb_norm", "mm_soft_embed_norm")
            found[name.replace("vision_tower.vision_model.", "vision_tower.")] = tensor
    return found


def language_prefix(config):
    return "language_model." if "text_config" in config else ""


def decoder(config, tensor_size, pipeline_size, vocabulary, tied, element_type):
    """A GPTModel of the sizes of a configuration, all of its parameters zero."""
    from megatron.core import parallel_state
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.models.gpt.gpt_model import GPTModel

    text = config.get("text_config", config)
    has_head_norms = "gemma" in text["model_type"]
    model = GPTModel(
        config=transformer_config(
            text,
            qk_layernorm=has_head_norms,
            tensor_model_parallel_size=tensor_size,
            pipeline_model_parallel_size=pipeline_size,
            pipeline_dtype=element_type,
            # Any number of layers divides over two stages.
            num_layers_in_first_pipeline_stage=(text["num_hidden_layers"] + 1) // 2 if pipeline_size > 1 else None,
        ),
        transformer_layer_spec=get_gpt_layer_local_spec(normalization="RMSNorm", qk_layernorm=has_head_norms),
        vocab_size=vocabulary,
        max_sequence_length=128,
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
        position_embedding_type="rope",
        share_embeddings_and_output_weights=tied,
    )
    model = model.to(element_type)
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


def sharded(model, config, expected, metadata):
    """The state dictionary that megatron-core loads and saves, with what only other modules have."""
    from megatron.core import parallel_state
    from megatron.core.dist_checkpointing import ShardedTensor

    prefix = language_prefix(config)
    state = model.sharded_state_dict(prefix=prefix, metadata=metadata)
    own = {tensor.key for tensor in shards(state)}
    per_layer = metadata.get("singleton_local_shards") or metadata.get("non_homogeneous_layers")
    if per_layer or parallel_state.get_pipeline_model_parallel_rank() != 0:
        others = {} if not per_layer else {name: tensor for name, tensor in expected.items() if "decoder.layers." not in name}
    else:
        others = expected
    if parallel_state.get_pipeline_model_parallel_rank() != 0:
        others = {}
    replica = (0, parallel_state.get_tensor_model_parallel_rank(), parallel_state.get_data_parallel_rank())
    for key, tensor in others.items():
        # Those of the decoder, on whatever stage they are.
        if key in own or key.startswith(f"{prefix}decoder.") and "post_layernorm" not in key or "output_layer" in key:
            continue
        zeros = torch.zeros_like(tensor)
        if "post_layernorm" not in key:
            state[key] = ShardedTensor.from_rank_offsets(key, zeros, replica_id=replica)
            continue
        for layer in range(len(tensor)):
            state[f"{key}#{layer}"] = ShardedTensor.from_rank_offsets(
                key, zeros[layer], (0, layer, len(tensor)), prepend_axis_num=1, replica_id=replica
            )
    return state


def shards(state):
    """All ShardedTensor of a state dictionary, those of fused matrices taken apart."""
    from megatron.core.dist_checkpointing import ShardedTensor
    from megatron.core.dist_checkpointing.dict_utils import nested_values
    from megatron.core.dist_checkpointing.mapping import ShardedTensorFactory

    found = []
    for value in nested_values(state):
        if isinstance(value, ShardedTensorFactory):
            found += shards(value.build())
        elif isinstance(value, ShardedTensor):
            found.append(value)
    return found


def part(tensor, shard):
    """The part of a whole tensor that a shard is; rows beyond its end are zeros."""
    for dimension, (offset, size) in enumerate(zip(shard.global_offset, shard_sizes(shard))):
        missing = offset + size - tensor.shape[dimension]
        if missing > 0:
            shape = list(tensor.shape)
            shape[dimension] = missing
            tensor = torch.cat([tensor, tensor.new_zeros(shape)], dim=dimension)
        tensor = tensor.narrow(dimension, offset, size)
    return tensor.reshape(shard.local_shape)


def shard_sizes(shard):
    return (1,) * shard.prepend_axis_num + tuple(shard.local_shape)


def load_process(rank, world, port, layout, folder, config, expected, result):
    """Loads a checkpoint and writes what differs."""
    start(rank, world, port, *layout)
    from megatron.core import dist_checkpointing

    key = f"{language_prefix(config)}embedding.word_embeddings.weight"
    tied = not any("output_layer" in name for name in expected)
    rows = -(-len(expected[key]) // layout[0]) * layout[0]
    model = decoder(config, *layout, rows, tied, expected[key].dtype)
    state = sharded(model, config, expected, {})
    wanted = {id(shard): shard for shard in shards(state)}
    loaded = dist_checkpointing.load(state, str(folder))
    model.load_state_dict(
        {
            name.removeprefix(language_prefix(config)): value
            for name, value in loaded.items()
            if name.removeprefix(language_prefix(config)) in model.state_dict()
        },
        strict=False,
    )
    problems, count = [], 0
    again = {shard.key + str(shard.global_offset): shard for shard in shards(sharded(model, config, {}, {}))}
    for shard in wanted.values():
        place = shard.key + str(shard.global_offset)
        found = again[place].data if place in again else None
        if found is None:
            layer = shard.global_offset[0] if shard.prepend_axis_num else None
            found = loaded[shard.key if layer is None else f"{shard.key}#{layer}"]
        count += 1
        if not torch.equal(found.reshape(shard.local_shape), part(expected[shard.key], shard)):
            problems.append(f"{shard.key} at {shard.global_offset} differs on rank {rank}")
    torch.save({"problems": problems, "count": count, "iteration": loaded.get("iteration")}, f"{result}.{rank}")


def save_process(rank, world, port, layout, folder, config, expected, metadata, common=None):
    """Saves a checkpoint with the expected values, and with what all ranks have in common."""
    start(rank, world, port, *layout)
    from megatron.core import dist_checkpointing

    key = f"{language_prefix(config)}embedding.word_embeddings.weight"
    tied = not any("output_layer" in name for name in expected)
    rows = -(-len(expected[key]) // (8 * layout[0])) * 8 * layout[0]
    model = decoder(config, *layout, rows, tied, expected[key].dtype)
    state = sharded(model, config, expected, metadata)
    with torch.no_grad():
        for shard in shards(state):
            shard.data.copy_(part(whole(expected, shard.key), shard))
    state |= {"iteration": 7, "content_metadata": metadata, **(common or {})}
    dist_checkpointing.save(state, str(folder), content_metadata=metadata)


def whole(expected, key):
    """The tensor of a key that may be of one layer, or half of a fused matrix."""
    if key in expected:
        return expected[key]
    start, _, rest = key.partition("decoder.layers.")
    layer, _, name = rest.partition(".")
    half = name[-2:] if name.endswith(("_w", "_v")) else ""
    tensor = expected[f"{start}decoder.layers.{name.removesuffix(half)}"][int(layer)]
    return tensor.chunk(2)[half == "_v"] if half else tensor


def adapter_tensors(config, rank, generator, scheme="lora"):
    """Random matrices of LoRA, and magnitudes of DoRA, of every layer under the names that Megatron Bridge's checkpoints have, layers stacked."""
    layers, hidden, width = config["num_hidden_layers"], config["hidden_size"], config["intermediate_size"]
    heads, groups, size = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    modules = {
        "self_attention.linear_qkv": (hidden, (heads + 2 * groups) * size),
        "self_attention.linear_proj": (heads * size, hidden),
        "mlp.linear_fc1": (hidden, 2 * width),
        "mlp.linear_fc2": (width, hidden),
    }
    found = {}
    for name, (inputs, outputs) in modules.items():
        start = f"decoder.layers.{name}.adapter."
        found[f"{start}linear_in.weight"] = torch.randn(layers, rank, inputs, generator=generator)
        found[f"{start}linear_out.weight"] = torch.randn(layers, outputs, rank, generator=generator)
        if scheme == "dora":
            found[f"{start}weight_magnitude"] = torch.rand(layers, outputs, generator=generator) + 0.5
    return found


def adapter_process(rank, world, port, folder, expected):
    """Saves adapters as the tensor ranks of Megatron Bridge do: its ParallelLinearAdapter, in peft/utils.py."""
    start(rank, world, port, world, 1)
    from megatron.core import dist_checkpointing
    from megatron.core.dist_checkpointing import ShardedTensor

    state = {}
    for key, tensor in expected.items():
        for layer, whole in enumerate(tensor):
            stack = (0, layer, len(tensor))
            # The input matrix of a layer whose input is divided is divided along its columns, all others along rows.
            axis = 1 if key.endswith("linear_in.weight") and ("proj" in key or "fc2" in key) else 0
            if "linear_fc1.adapter.linear_out" in key:
                # Gate and up are divided by themselves.
                for half, part in enumerate(whole.chunk(2)):
                    own = part.chunk(world)[rank].contiguous()
                    place = (1, half * world + rank, 2 * world)
                    state[f"{key}#{layer}#{half}"] = ShardedTensor.from_rank_offsets(key, own, stack, place, prepend_axis_num=1)
                continue
            if key.endswith("weight_magnitude") and ("proj" in key or "fc2" in key):
                state[f"{key}#{layer}"] = ShardedTensor.from_rank_offsets(
                    key, whole.contiguous(), stack, prepend_axis_num=1, replica_id=(0, rank, 0)
                )
                continue
            if key.endswith("linear_fc1.adapter.weight_magnitude"):
                # In the order of this rank's rows, and rank after rank.
                whole = torch.cat([torch.cat(halves) for halves in zip(*(half.chunk(world) for half in whole.chunk(2)))])
            own = whole.chunk(world, dim=axis)[rank].contiguous()
            place = (axis + 1, rank, world)
            state[f"{key}#{layer}"] = ShardedTensor.from_rank_offsets(key, own, stack, place, prepend_axis_num=1)
    dist_checkpointing.save(state | {"iteration": 7, "content_metadata": {}}, str(folder), content_metadata={})
