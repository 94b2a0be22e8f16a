#!/usr/bin/env python3
"""Compares weights of 8 and 4 bits with compressed-tensors, and the models with transformers.

    compare_quantized.py [BRIDGE] [--seed N] [--only TEXT ...]

For each family and number of bits: `bridge quantize` writes a toy, compressed-tensors unpacks it, and each weight is as near
to the original as its format allows; transformers loads it, and its float32 logits are those of `bridge forward` (the largest
difference is at most 1e-4 of the largest logit). Then compressed-tensors packs a toy with factors of its own, and the bridge's
logits of that, and the weights that it exports after a conversion, are those of compressed-tensors.
"""

import json
import shutil

import torch
from checkpoints import load, loading_problems
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from runner import Failure, main
from safetensors.torch import load_file, save_file

FAMILIES = ["mistral", "ministral3", "gemma3"]
BOUND = 1e-4
GROUP = 32


def tensors(folder):
    """All tensors of a folder."""
    return {name: t for file in sorted(folder.glob("*.safetensors")) for name, t in load_file(file).items()}


def unpacked(stored):
    """The weights that packed tensors stand for, float32, and their factors."""
    weights, factors = {}, {}
    for name in [name for name in stored if name.endswith("_packed")]:
        base = name.removesuffix("_packed")
        scale, shape = stored[f"{base}_scale"].float(), stored[f"{base}_shape"].tolist()
        bits = stored[name].shape[1] * 32 // shape[1]
        numbers = unpack_from_int32(stored[name], bits, torch.Size(shape)).float()
        weights[base] = (numbers.unflatten(1, (scale.shape[1], -1)) * scale[..., None]).flatten(1)
        factors[base] = (scale.repeat_interleave(shape[1] // scale.shape[1], 1), bits)
    return weights, factors


def quantized_weights(original, stored):
    """Sentences about weights that are further from the original than half a step, or than a step at the end of the range."""
    problems = []
    weights, factors = unpacked(stored)
    if not weights:
        return ["nothing is quantized"]
    for name, weight in weights.items():
        (scale, bits), exact = factors[name], original[name].float()
        far = (weight - exact).abs() / scale.abs().clamp(min=1e-30)
        # The largest of 4 bits may be one step short: the range is from -8 to 7. Factors are rounded to bfloat16.
        at_end = (exact / scale).abs() >= (7.5 if bits == 4 else 126)
        if (far[~at_end] > 0.501).any() or (far[at_end] > 1.1).any():
            problems.append(f"{name}: {far.max():.3f} steps from the original")
    kept = {name: t for name, t in stored.items() if not name.endswith(("_packed", "_scale", "_shape"))}
    problems += [f"{name} was changed" for name, t in kept.items() if not torch.equal(t, original[name])]
    lost = original.keys() - kept.keys() - weights.keys()
    return problems + [f"{name} is lost" for name in sorted(lost)]


class Quantized:
    def __init__(self, run):
        self.run = run

    def toy(self, name, family):
        folder = self.run.work / name
        seed = self.run.draw(name).randrange(2**31)
        self.run.call("toy", "--family", family, "--hidden-size", 128, "--seed", seed, "--output", folder)
        return folder

    def logits(self, folder):
        """The bridge's and transformers' float32 logits for some tokens, and what transformers could not load."""
        vocabulary = json.loads((folder / "config.json").read_text())
        vocabulary = vocabulary.get("text_config", vocabulary)["vocab_size"]
        # The first tokens are special, one of them may stand for images.
        ids = [self.run.draw("tokens").randrange(100, min(vocabulary, 240)) for _ in range(19)]
        inputs, output = self.run.work / "inputs.safetensors", self.run.work / "logits.safetensors"
        save_file({"input_ids": torch.tensor([ids])}, inputs)
        self.run.call("forward", "--hf-model", folder, "--inputs", inputs, "--output", output, "--dtype", "float32", "--overwrite")
        model, report = load(folder, dtype=torch.float32)
        with torch.no_grad():
            expected = model.eval()(input_ids=torch.tensor([ids])).logits
        return load_file(output)["logits"], expected, loading_problems(report)

    def logit_problems(self, folder):
        found, expected, problems = self.logits(folder)
        far = (found - expected).abs().max().item() / expected.abs().max().item()
        return f"{far:.1g} of the largest logit", problems + ([] if far <= BOUND else [f"logits differ by {far:.2g}"])

    def written(self, family, bits):
        folder = self.toy(f"{family}-{bits}", family)
        quantized = self.run.work / f"{family}-int{bits}"
        exception = self.run.draw("exception").choice(["*.layers.0.*linear_qkv*=none", "*.linear_proj.weight=int8"])
        words = ["--bits", bits, "--group-size", GROUP, "--exception", exception]
        self.run.call("quantize", folder, quantized, *words)
        problems = quantized_weights(tensors(folder), tensors(quantized))
        note, more = self.logit_problems(quantized)
        return f"{exception}; {note}", problems + more

    def read(self, family, bits):
        """A model whose weights compressed-tensors packed."""
        folder = self.toy(f"{family}-packed-{bits}", family)
        own = self.run.work / f"{family}-own-{bits}"
        # The settings and the choice of matrices are those of `bridge quantize`; numbers and factors are drawn.
        self.run.call("quantize", folder, own, "--bits", bits, "--group-size", GROUP)
        noise = torch.Generator().manual_seed(self.run.draw(f"noise {family} {bits}").randrange(2**31))
        for file in own.glob("*.safetensors"):
            content = load_file(file)
            for name in [name for name in content if name.endswith("_packed")]:
                base = name.removesuffix("_packed")
                rows, columns = content[f"{base}_shape"].tolist()
                own_bits = content[name].shape[1] * 32 // columns
                low, high = -(2 ** (own_bits - 1)), 2 ** (own_bits - 1)
                numbers = torch.randint(low, high, (rows, columns), generator=noise, dtype=torch.int8)
                content[name] = pack_to_int32(numbers, own_bits)
                scale = content[f"{base}_scale"]
                content[f"{base}_scale"] = (scale * (0.5 + torch.rand(scale.shape, generator=noise))).to(scale.dtype)
            save_file(content, file, metadata={"format": "pt"})
        note, problems = self.logit_problems(own)
        weights, _ = unpacked(tensors(own))
        megatron, exported = self.run.work / "megatron", self.run.work / "exported"
        for path in (megatron, exported):
            shutil.rmtree(path, ignore_errors=True)
        self.run.call("convert", "import", "--hf-model", own, "--megatron-path", megatron, "--tp", 2)
        self.run.call("convert", "export", "--hf-model", own, "--megatron-path", megatron, "--hf-path", exported)
        back = tensors(exported)
        if "quantization_config" in json.loads((exported / "config.json").read_text()):
            problems.append("the exported configuration has a quantization_config")
        for name, weight in weights.items():
            if name not in back or not torch.equal(back[name], weight.to(torch.bfloat16)):
                problems.append(f"{name} is not exported as it was packed")
        return note, problems


def everything(run, options):
    quantized = Quantized(run)
    for family in FAMILIES:
        for bits in (4, 8):
            run.judge(f"{family}: written with {bits} bits", lambda: quantized.written(family, bits))
            run.judge(f"{family}: read with {bits} bits", lambda: quantized.read(family, bits))


if __name__ == "__main__":
    main(__doc__, everything)
