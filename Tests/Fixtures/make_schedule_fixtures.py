"""Records learning rates and weight decays of Megatron-Core's OptimizerParamScheduler.

    pip download --no-deps megatron-core==0.16.1
    python make_schedule_fixtures.py megatron_core-0.16.1-*.whl

Writes recipes/schedules.json. The scheduler's source is taken out of the wheel and run by itself: it needs nothing else of
the package but a function that logs, and torch not at all. It counts samples; the global batch here has 3.
"""

import json
import pathlib
import sys
import types
import zipfile

BATCH = 3
STEPS = 60


def scheduler_class(wheel):
    source = zipfile.ZipFile(wheel).read("megatron/core/optimizer_param_scheduler.py").decode()
    for name in ["megatron", "megatron.core", "megatron.core.utils"]:
        sys.modules[name] = types.ModuleType(name)
    sys.modules["megatron.core.utils"].log_single_rank = lambda *arguments: None
    module = types.ModuleType("optimizer_param_scheduler")
    exec(compile(source, "optimizer_param_scheduler.py", "exec"), module.__dict__)
    return module.OptimizerParamScheduler


def record(scheduler, case):
    optimizer = types.SimpleNamespace(param_groups=[{}])
    decay = case["lr_decay_iters"] * BATCH
    fraction = case.get("lr_warmup_fraction")
    warmup = fraction * decay if fraction is not None else case["lr_warmup_iters"] * BATCH
    one = scheduler(
        optimizer,
        init_lr=case["lr_warmup_init"],
        max_lr=case["lr"],
        min_lr=case["min_lr"],
        lr_warmup_steps=warmup,
        lr_decay_steps=decay,
        lr_decay_style=case["lr_decay_style"],
        start_wd=case["start_weight_decay"],
        end_wd=case["end_weight_decay"],
        wd_incr_steps=case["train_iters"] * BATCH,
        wd_incr_style=case["weight_decay_incr_style"],
        use_checkpoint_opt_param_scheduler=False,
        wsd_decay_steps=case.get("lr_wsd_decay_iters", 0) * BATCH or None,
        lr_wsd_decay_style=case.get("lr_wsd_decay_style"),
    )
    rates, decays = [], []
    for _ in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        decays.append(optimizer.param_groups[0]["weight_decay"])
        one.step(BATCH)
    return {**case, "learning_rates": rates, "weight_decays": decays}


def cases():
    base = dict(
        lr=3e-4, min_lr=2e-5, lr_warmup_iters=7, lr_warmup_init=1e-6, lr_decay_iters=41, train_iters=53,
        start_weight_decay=0.033, end_weight_decay=0.1, weight_decay_incr_style="linear",
    )
    for style in ["linear", "cosine", "constant", "inverse-square-root"]:
        yield {**base, "lr_decay_style": style}
    for style in ["linear", "cosine", "exponential", "minus_sqrt"]:
        yield {**base, "lr_decay_style": "WSD", "lr_wsd_decay_style": style, "lr_wsd_decay_iters": 11}
    yield {**base, "lr_decay_style": "cosine", "lr_warmup_iters": 0, "weight_decay_incr_style": "cosine"}
    yield {**base, "lr_decay_style": "linear", "lr_warmup_fraction": 0.13}
    yield {
        **base, "lr_decay_style": "cosine", "start_weight_decay": 0.07, "end_weight_decay": 0.07,
        "weight_decay_incr_style": "constant",
    }


def main():
    scheduler = scheduler_class(sys.argv[1])
    target = pathlib.Path(__file__).parent / "recipes" / "schedules.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps({"megatron_core": "0.16.1", "cases": [record(scheduler, case) for case in cases()]}))


if __name__ == "__main__":
    main()
