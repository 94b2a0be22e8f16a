"""What transformers does for inference.py and speculative.py, in a process of its own: loads, generates greedily, prints JSON.

peer_transformers.py FOLDER --prompt-tokens 512 --new-tokens 64 [--threads 2]
peer_transformers.py FOLDER --inputs INPUTS.safetensors --new-tokens 64 [--assistant FOLDER --assistant-tokens 4]
peer_transformers.py FOLDER --load                                            loads the model with images alone
peer_transformers.py FOLDER --pixels INPUTS.safetensors                       the vision tower and projector alone
peer_transformers.py FOLDER --prompts PROMPTS.jsonl --batch-size 8            many prompts, with left padding
"""

import argparse
import json
import os
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer


class Clock:
    """A streamer that notes when tokens come, and how many. The first call brings the prompt."""

    def __init__(self):
        self.times, self.counts = [], []

    def put(self, tokens):
        self.times.append(time.perf_counter())
        self.counts.append(tokens.numel())

    def end(self):
        pass


def prompt(count, vocabulary):
    """The same ids for every program: a simple congruence, away from the special tokens."""
    return [1] + [20 + (7919 * i) % (vocabulary - 40) for i in range(1, count)]


def generate(options):
    start = time.perf_counter()
    model = load(AutoModelForCausalLM, options)
    loaded = time.perf_counter()
    if options.inputs:
        ids = load_file(options.inputs)["input_ids"]
    else:
        ids = torch.tensor([prompt(options.prompt_tokens, model.config.get_text_config().vocab_size)])
    assisted = {"assistant_model": assistant(options)} if options.assistant else {}
    clock = Clock()
    before = time.perf_counter()
    with torch.inference_mode():
        output = model.generate(
            ids, attention_mask=torch.ones_like(ids), streamer=clock, do_sample=False, pad_token_id=0,
            min_new_tokens=options.new_tokens, max_new_tokens=options.new_tokens, **assisted,
        )  # fmt: skip
    first, last = clock.times[1], clock.times[-1]
    return {
        "token_ids": output[0, ids.shape[1] :].tolist(),
        "load_seconds": loaded - start,
        "first_token_seconds": first - start,
        "prefill_seconds": first - before,
        "prefill_tokens": ids.shape[1],
        "decode_seconds": last - first,
        "decode_tokens": options.new_tokens - clock.counts[1],
    }


def assistant(options):
    """The model of assisted generation; it proposes a constant number of tokens, as Bridge does."""
    folder, options.folder = options.folder, options.assistant
    model = load(AutoModelForCausalLM, options)
    options.folder = folder
    model.generation_config.num_assistant_tokens = options.assistant_tokens
    model.generation_config.num_assistant_tokens_schedule = "constant"
    model.generation_config.assistant_confidence_threshold = 0.0
    return model


def generate_many(options):
    """Tokens and seconds of all prompts of a file, some of them at a time."""
    model = load(AutoModelForCausalLM, options)
    tokenizer = AutoTokenizer.from_pretrained(options.folder, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    with open(options.prompts, encoding="utf-8") as lines:
        prompts = [json.loads(line)["prompt"] for line in lines]
    read = tokens = 0
    start = time.perf_counter()
    with torch.inference_mode():
        for first in range(0, len(prompts), options.batch_size):
            batch = tokenizer(prompts[first : first + options.batch_size], padding=True, return_tensors="pt")
            output = model.generate(
                input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], do_sample=False,
                pad_token_id=tokenizer.pad_token_id, min_new_tokens=options.new_tokens,
                max_new_tokens=options.new_tokens,
            )  # fmt: skip
            read += int(batch["attention_mask"].sum())
            tokens += output[:, batch["input_ids"].shape[1] :].numel()
    return {"tokens": tokens, "prompt_tokens": read, "seconds": time.perf_counter() - start}


def see(options):
    """Seconds of the tower and the projector for one image."""
    model = load(AutoModelForImageTextToText, options)
    inputs = load_file(options.pixels)
    inputs = {name: inputs[name] for name in ("pixel_values", "image_sizes") if name in inputs}
    inputs["pixel_values"] = inputs["pixel_values"].to(torch.bfloat16)
    with torch.inference_mode():
        start = time.perf_counter()
        model.model.get_image_features(**inputs)
        return {"vision_seconds": time.perf_counter() - start}


def only_load(options):
    """Seconds until the model can be used."""
    start = time.perf_counter()
    load(AutoModelForImageTextToText, options)
    return {"load_seconds": time.perf_counter() - start}


def load(model_class, options):
    return model_class.from_pretrained(
        options.folder, dtype=torch.bfloat16, attn_implementation="sdpa", local_files_only=True
    ).eval()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--inputs")
    parser.add_argument("--assistant")
    parser.add_argument("--assistant-tokens", type=int, default=4)
    parser.add_argument("--pixels")
    parser.add_argument("--load", action="store_true")
    parser.add_argument("--prompts")
    parser.add_argument("--batch-size", type=int, default=8)
    options = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(options.threads)
    part = only_load if options.load else see if options.pixels else generate_many if options.prompts else generate
    print(json.dumps(part(options)))


main()
