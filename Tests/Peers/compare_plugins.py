#!/usr/bin/env python3
"""Compares the models of the example plugins (Examples/Plugins) with transformers, torch and peft.

    compare_plugins.py [BRIDGE] [--seed N] [--only TEXT ...]

The plugins are loaded by path from beside the binary. Their models are drawn and judged as those of compare_models.py
(logits, hidden states, bfloat16, greedy tokens, a Megatron checkpoint of TP 2 PP 2) and of compare_training.py (gradients,
ten steps in full and with LoRA, adapters made by peft), with the same bounds.
"""

import compare_training
from compare_models import Models
from compare_training import Training
from random_models import EXAMPLES
from runner import main

# The plugins have no recipes; with an empty hf_path one of another family is for any model.
compare_training.RECIPES |= dict.fromkeys(EXAMPLES, compare_training.RECIPES["mistral"])


class WithPlugins:
    """Every call loads the plugins of the examples."""

    def call(self, *arguments):
        plugins = [str(self.bridge.parent / f"lib{name}Example.so") for name in sorted(set(EXAMPLES.values()))]
        settings = ["hf_path="] if arguments[0] == "train" else []
        return super().call(*arguments, *settings, *(word for plugin in plugins for word in ("--plugin", plugin)))


class ExampleModels(WithPlugins, Models):
    pass


class ExampleTraining(WithPlugins, Training):
    pass


def everything(run, options):
    training = ExampleTraining(run.bridge, run.seed, run.work, run.only)
    for family in EXAMPLES:
        for number in range(options.models):
            run.model(family, number)
        training.gradients(family, 0)
        training.sft(family, False)
        training.adapters(family, "lora", run.draw(f"canonical {family}").random() < 0.5)
        training.from_peft(family, run.draw(f"scheme {family}").choice(["lora", "dora"]))
    run.passed, run.failed = run.passed + training.passed, run.failed + training.failed


if __name__ == "__main__":
    main(__doc__, everything, make=ExampleModels, models={"type": int, "default": 3, "help": "how many of each family; 3"})
