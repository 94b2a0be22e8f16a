"""megatron-core on a CPU: processes that talk over gloo, and the configuration of a decoder."""

import multiprocessing
import socket
from contextlib import nullcontext, suppress

import torch
from runner import Failure


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


# Each process is a copy of one that has these modules: to import them takes longer than what most processes do.
MODULES = [
    "torch", "torch.distributed.checkpoint", "safetensors.torch", "megatron.core.parallel_state", "megatron.core.dist_checkpointing",
    "megatron.core.models.gpt.gpt_model", "megatron.core.models.gpt.gpt_layer_specs", "megatron.core.optimizer",
    "megatron.core.dist_checkpointing.strategies.filesystem_async",
]  # fmt: skip


def processes(target, world, *arguments):
    """Runs `target(rank, world, port, *arguments)` in several processes that talk to each other."""
    context, port = multiprocessing.get_context("forkserver"), free_port()
    context.set_forkserver_preload(MODULES)
    running = [context.Process(target=target, args=(rank, world, port, *arguments)) for rank in range(world)]
    for process in running:
        process.start()
    for process in running:
        process.join()
    if any(process.exitcode for process in running):
        raise Failure("megatron-core failed, see above")


def start(rank, world, port, tensor_size, pipeline_size):
    """Joins the processes and builds megatron-core's groups."""
    torch.set_num_threads(1)
    # It asks for the current device even when nothing is on one, and for random numbers of a device for dropout of 0.
    torch.cuda.current_device = lambda: torch.device("cpu")
    torch.cuda.synchronize = lambda *_: None
    torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    with suppress(ImportError):
        from megatron.core.dist_checkpointing.strategies import filesystem_async

        # What writers have written goes through a process that megatron-core spawns; it imports torch again, twice 5 s per save.
        filesystem_async._results_queue = multiprocessing.get_context("fork").Manager().Queue()
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    from megatron.core import parallel_state, tensor_parallel

    tensor_parallel.get_cuda_rng_tracker().fork = lambda *_: nullcontext()
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=tensor_size, pipeline_model_parallel_size=pipeline_size
    )


def transformer_config(text, **settings):
    """The TransformerConfig of a decoder of these families; `text` is its section of a Hugging Face configuration."""
    from megatron.core.transformer.transformer_config import TransformerConfig

    return TransformerConfig(
        num_layers=text["num_hidden_layers"],
        hidden_size=text["hidden_size"],
        num_attention_heads=text["num_attention_heads"],
        num_query_groups=text["num_key_value_heads"],
        kv_channels=text["head_dim"],
        ffn_hidden_size=text["intermediate_size"],
        normalization="RMSNorm",
        gated_linear_unit=True,
        activation_func=torch.nn.functional.silu,
        add_bias_linear=False,
        use_cpu_initialization=True,
        bias_activation_fusion=False,
        bias_dropout_fusion=False,
        masked_softmax_fusion=False,
        apply_rope_fusion=False,
        gradient_accumulation_fusion=False,
        **settings,
    )
