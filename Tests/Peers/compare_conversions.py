#!/usr/bin/env python3
"""Runs the bridge on every fixture and on fresh toy models, and lets transformers and torch judge what it wrote.

    compare_conversions.py [BRIDGE] [--seed N] [--only TEXT ...]

BRIDGE is the binary; the environment variable BRIDGE names it otherwise. Each checkpoint is imported at one layout,
drawn from tensor parallel 1, 2, 4 and pipeline parallel 1, 2, 3, and exported again. The seed of the draw is printed;
give it back with --seed to see the same run. One line per check; exit status 1 when one fails.
"""

import filecmp
import shutil
import subprocess
import sys
from pathlib import Path

import torch
from check_export import check
from check_toy import check as check_toy
from checkpoints import compare, dequantise_all, quantisation, read_files, read_json, read_tensors
from runner import Runner, main

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "Fixtures"))
from record_configurations import understood  # noqa: E402

FIXTURES = Path(__file__).resolve().parent.parent / "Fixtures" / "checkpoints"
FAMILIES = ["mistral", "ministral3", "gemma3"]
# Mistral's own format: transformers cannot load it, so the same weights in transformers' format are the yardstick.
NATIVE_TWINS = {
    "mistral-native": "mistral", "ministral3-native": "ministral3", "ministral3-native-fp8": "ministral3-fp8",
}  # fmt: skip
# Two copies of the weights in one folder: an export need not write both.
NOT_BYTE_EQUAL = {"mistral-both-formats"}
CASTS = [
    ("mistral-float32", "bfloat16"), ("mistral-float32", "float16"), ("mistral-float32", "float32"),
    ("mistral", "float32"), ("mistral-tied", "float16"), ("mistral-single-file", "bfloat16"),
    ("mistral-single-file", "float32"), ("ministral3-untied", "float32"), ("gemma3", "float32"),
    ("gemma3-untied", "float16"),
]  # fmt: skip


class Conversions(Runner):
    def layout(self, name, source):
        """One layout for a name."""
        draw = self.draw(name)
        tensor, pipeline = draw.choice([1, 2, 4]), draw.choice([1, 2, 3])
        while tensor > groups(source):
            tensor //= 2
        return tensor, pipeline

    def round_trip(self, name, source, *import_options):
        """Imports and exports one folder; returns the export and the layout in words."""
        tensor, pipeline = self.layout(f"{name} {' '.join(import_options)}", source)
        folder = self.work / "_".join([name, *import_options]).replace("/", "_")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.call(
            "convert", "import", "--hf-model", source, "--megatron-path", folder / "megatron",
            "--tp", tensor, "--pp", pipeline, *import_options,
        )  # fmt: skip
        self.call("convert", "export", "--megatron-path", folder / "megatron", "--hf-path", folder / "export")
        return folder / "export", f"tp {tensor} pp {pipeline}"

    # The checks.

    def folder(self, name, source, byte_equal):
        def body():
            export, note = self.round_trip(name, source)
            problems = check(source, export)
            return note, problems + (byte_problems(source, export) if byte_equal else [])

        self.judge(f"round trip {name}", body)

    def native(self, name, source, twin):
        def body():
            export, note = self.round_trip(name, source)
            return note, native_problems(source, export, twin)

        self.judge(f"round trip {name}", body)

    def cast(self, name, source, dtype):
        def body():
            export, note = self.round_trip(name, source, "--dtype", dtype)
            return note, check(source, export, getattr(torch, dtype))

        self.judge(f"--dtype {dtype} {name}", body)

    def configuration(self, name, source):
        """config.json made from the provider alone must say the same to transformers as the source's own."""

        def body():
            made = self.work / f"config-{name}"
            made.mkdir(parents=True, exist_ok=True)
            text = subprocess.run(
                [self.bridge, "inspect", source, "--hf-config"], capture_output=True, text=True, check=True
            ).stdout
            (made / "config.json").write_text(text)
            expected, found = understood(source), understood(made)
            return "", [
                f"{key}: {found.get(key)}, expected {value}"
                for key, value in expected.items()
                if found.get(key) != value
            ]

        self.judge(f"config.json of {name} from its provider", body)

    def toy(self, family):
        seed = self.draw(f"toy {family}").randrange(1, 2**31)

        def body():
            source = self.work / f"toy-{family}" / "source"
            shutil.rmtree(source.parent, ignore_errors=True)
            source.parent.mkdir(parents=True)
            self.call("toy", "--family", family, "--output", source, "--seed", seed)
            problems = [f"the toy itself: {what}" for what in check_toy(source)]
            export, note = self.round_trip(f"toy-{family}-{seed}", source)
            return note, problems + check(source, export) + byte_problems(source, export)

        self.judge(f"toy {family} --seed {seed}", body)


def groups(source):
    """The KV groups of a checkpoint: tensor parallelism stops there."""
    config_file, parameters = source / "config.json", source / "params.json"
    if config_file.exists():
        config = read_json(config_file)
        text = config.get("text_config", config)
        # Gemma 3's class supplies 4, Mistral's 8.
        return text.get("num_key_value_heads") or 4
    return read_json(parameters)["n_kv_heads"]


def byte_problems(source, export):
    """Files that are missing, extra or different: an export of what was imported is the same folder."""
    ours, theirs = ({f.relative_to(p) for f in p.rglob("*") if f.is_file()} for p in (source, export))
    problems = [f"{file} is not in the export" for file in sorted(ours - theirs)]
    problems += [f"{file} is only in the export" for file in sorted(theirs - ours)]
    for file in sorted(ours & theirs):
        if not filecmp.cmp(source / file, export / file, shallow=False):
            problems.append(f"{file} differs from the source's bytes")
    return problems


def native_problems(source, export, twin):
    """A native export under native names or under transformers': the tensors must be those of the source."""
    consolidated = export / "consolidated.safetensors"
    if consolidated.exists():
        original = read_files([source / "consolidated.safetensors"])
        return compare(dequantise_all(original), read_files([consolidated]))
    return compare(dequantise_all(read_tensors(twin)), read_tensors(export))


def conversions(run, options):
    for source in sorted(FIXTURES.iterdir()):
        if source.name in NATIVE_TWINS:
            run.native(source.name, source, FIXTURES / NATIVE_TWINS[source.name])
        else:
            plain = not quantisation(source) and source.name not in NOT_BYTE_EQUAL
            run.folder(source.name, source, byte_equal=plain)
    for source in sorted(FIXTURES.iterdir()):
        if (source / "config.json").exists():
            run.configuration(source.name, source)
    for name, dtype in CASTS:
        run.cast(name, FIXTURES / name, dtype)
    for family in FAMILIES:
        run.toy(family)


if __name__ == "__main__":
    main(__doc__, conversions, make=Conversions)
