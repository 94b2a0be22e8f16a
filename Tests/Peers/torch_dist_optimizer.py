"""One process of megatron-core on a CPU with its distributed optimizer: loads and saves weights, moments and steps."""

import torch
from megatron_core import start
from torch.overrides import TorchFunctionMode
from torch_dist_peer import decoder, part, shards

METADATA = {
    "distrib_optim_sharding_type": "fully_reshardable",
    "chained_optim_avoid_prefix": True,
    "singleton_local_shards": False,
}
# Bridge's names of the values, which megatron-core keeps in flat buffers.
KINDS = {"param": "main", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq"}


class OnCPU(TorchFunctionMode):
    """The optimizer makes tensors on `cuda` and asks whether those of the model are there."""

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = dict(keywords or {})
        if str(keywords.get("device", "")).startswith("cuda"):
            keywords["device"] = "cpu"
        if function is torch.Tensor.type and len(arguments) == 1:
            return function(*arguments).replace("torch.", "torch.cuda.")
        return function(*arguments, **keywords)


def stacked(tensors, prefix=""):
    """Tensors of a rank file with a number in the name of each layer, as megatron-core stores them: {key: tensor}."""
    layers, found = {}, {}
    for name, tensor in tensors.items():
        if not name.startswith(prefix):
            continue
        name = name.removeprefix(prefix)
        start, middle, rest = name.partition("decoder.layers.")
        if middle:
            number, _, rest = rest.partition(".")
            layers.setdefault(start + middle + rest, {})[int(number)] = tensor
        else:
            found[name] = tensor
    for key, parts in layers.items():
        found[key] = torch.stack([parts[number] for number in sorted(parts)])
    return found


def optimizer_state(expected, element_type):
    """What a checkpoint has to hold: {key: tensor}; a float32 parameter is its own float32 copy."""
    weights = {name: tensor for name, tensor in expected.items() if not name.startswith("optimizer.")}
    state = stacked(weights)
    for kind, own in KINDS.items():
        values = stacked(expected, f"optimizer.{own}.")
        if kind == "param" and element_type == torch.float32:
            values = stacked(weights)
        state |= {f"optimizer.state.{kind}.{key}": tensor for key, tensor in values.items()}
    return state


def build(layout, config, vocabulary, tied, element_type, optimizer):
    """The model in megatron-core's wrapper, with its optimizer."""
    from megatron.core.distributed import DistributedDataParallel, DistributedDataParallelConfig
    from megatron.core.optimizer import OptimizerConfig, distrib_optimizer, get_megatron_optimizer

    # The optimizer of Transformer Engine, with which megatron-core runs on a GPU, keeps steps in its groups; torch's keeps them
    # in the state of each parameter, which megatron-core 0.16.1 does not load from a checkpoint in this form.
    distrib_optimizer.HAVE_APEX_OR_TE = True
    torch.optim.Adam.__setstate__ = torch.optim.Optimizer.__setstate__
    model = decoder(config, *layout, vocabulary, tied, element_type)
    settings = DistributedDataParallelConfig(use_distributed_optimizer=True, grad_reduce_in_fp32=True)
    wrapped = DistributedDataParallel(model.config, settings, model)
    chain = get_megatron_optimizer(
        OptimizerConfig(
            optimizer="adam",
            use_distributed_optimizer=True,
            bf16=element_type == torch.bfloat16,
            params_dtype=element_type,
            **optimizer,
        ),
        [wrapped],
    )
    for one in chain.chained_optimizers:
        for group in one.optimizer.param_groups:
            group["step"] = 0
            for tensor in group["params"]:
                one.optimizer.state[tensor] = {kind: torch.zeros_like(tensor) for kind in ("exp_avg", "exp_avg_sq")}
    return model, chain


def state_of(model, optimizer, is_loading):
    state = model.sharded_state_dict(metadata=METADATA)
    state["optimizer"] = optimizer.sharded_state_dict(state, is_loading=is_loading, metadata=METADATA)
    return state


def resume_process(rank, world, port, layout, folder, config, expected, element_type, optimizer, again, result):
    """Loads a run's checkpoint, writes what differs, and saves the run again."""
    start(rank, world, port, *layout)
    with OnCPU():
        from megatron.core import dist_checkpointing

        tied = not any("output_layer" in name for name in expected)
        rows = len(expected["embedding.word_embeddings.weight"])
        padded = -(-rows // layout[0]) * layout[0]
        model, chain = build(layout, config, padded, tied, element_type, optimizer)
        loaded = dist_checkpointing.load(state_of(model, chain, True), str(folder))
        model.load_state_dict({name: value for name, value in loaded.items() if name in model.state_dict()}, strict=False)
        chain.load_state_dict(loaded["optimizer"])

        wanted = optimizer_state(expected, element_type)
        problems, keys = [], set()
        state = state_of(model, chain, False)
        for shard in shards(state):
            keys.add(shard.key)
            if not torch.equal(shard.data.reshape(shard.local_shape), part(wanted[shard.key], shard)):
                problems.append(f"{shard.key} at {shard.global_offset} differs on rank {rank}")
        groups = [group for one in chain.chained_optimizers for group in one.optimizer.param_groups]
        steps = {group["step"] for group in groups}
        state |= {"iteration": loaded["iteration"], "content_metadata": METADATA}
        dist_checkpointing.save(state, str(again), content_metadata=METADATA)
        torch.save(
            {
                "problems": problems,
                "keys": sorted(keys),
                "steps": sorted(steps),
                "groups": [{key: value for key, value in group.items() if key != "params"} for group in groups],
                "scheduler": loaded.get("opt_param_scheduler"),
            },
            f"{result}.{rank}",
        )
