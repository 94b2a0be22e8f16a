"""Makes Tests/Fixtures/presets: tables with the columns of public data sets of text, and what Megatron Bridge makes of them.

    pip download --no-deps --only-binary :all: --python-version 3.12 megatron-bridge==0.6.1 && unzip megatron_bridge-*.whl -d DIRECTORY
    scripts/setup-peers
    .venv-peers/bin/python Tests/Fixtures/make_preset_fixtures.py DIRECTORY            # writes the files
    .venv-peers/bin/python Tests/Fixtures/make_preset_fixtures.py DIRECTORY --check    # compares with what is committed

The schemas are those of the data sets on the hub, the rows are of this project. expected.json has the presets (hub id,
configuration and split) of Megatron Bridge's data/sources/hf.py, and for each row the messages that its
data/sources/hf_adapters.py makes: a prompt and a completion are the turns of user and assistant. Both modules run as they are,
beside stubs of what they import of the package.
"""

import dataclasses
import importlib.util
import json
import sys
import tempfile
import types
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TARGET = Path(__file__).resolve().parent / "presets"
TEXT = pa.string()
SCHEMAS = {
    "squad": pa.schema([
        ("id", TEXT), ("title", TEXT), ("context", TEXT), ("question", TEXT),
        ("answers", pa.struct([("text", pa.list_(TEXT)), ("answer_start", pa.list_(pa.int32()))])),
    ]),
    "gsm8k": pa.schema([("question", TEXT), ("answer", TEXT)]),
    "tulu3": pa.schema([
        ("id", TEXT), ("messages", pa.list_(pa.struct([("content", TEXT), ("role", TEXT)]))), ("source", TEXT),
    ]),
    "openmathinstruct2": pa.schema([
        ("problem", TEXT), ("generated_solution", TEXT), ("expected_answer", TEXT), ("problem_source", TEXT),
    ]),
}  # fmt: skip


def answers(*texts):
    return {"text": list(texts), "answer_start": [7 + index for index, _ in enumerate(texts)]}


def turns(*texts, system=None):
    roles = ["user", "assistant"] * len(texts)
    made = [{"role": "system", "content": system}] if system else []
    return made + [{"role": role, "content": text} for role, text in zip(roles, texts)]


def solution(text, answer):
    return {"problem": "What is $2 + 3$?", "generated_solution": text, "expected_answer": answer, "problem_source": "augmented_math"}


ROWS = {
    "squad": [
        {"id": "a1", "title": "Bridges", "context": "A bridge spans a river.\nIt is long.", "question": "What does it span?",
         "answers": answers("a river", "river", "a river")},
        {"id": "a2", "title": "Zeichen", "context": "Die Brücke <image> 橋", "question": " Wo? ", "answers": answers(" dort ")},
    ],
    "gsm8k": [
        {"question": "Ann has 3 apples and buys 2. How many?", "answer": "3 + 2 = <<3+2=5>>5 apples.\n#### 5"},
        {"question": "How many, in words?", "answer": "five"},
    ],
    "tulu3": [
        {"id": "t1", "messages": turns("Hi.", "Hello!", "And?", "Nothing."), "source": "flan"},
        {"id": "t2", "messages": turns("Wer?", "Ich.", system="Be brief."), "source": "oasst"},
    ],
    "openmathinstruct2": [
        solution("We add: $2 + 3 = 5$.\n\nSo it is $\\boxed{5}$.", "5"),
        solution("First \\boxed{2}, then \\boxed{\\frac{6}{2}}.\nThe sum is \\[ \\boxed{5} \\]", "5"),
        solution("No box at all. \n\t ", "5"),
        solution("Open: \\boxed{5", "5"),
        solution("One \\boxed{1}, open \\boxed{\\frac{1}{2} and {more}", "\\frac{1}{2}"),
        solution("Nested \\boxed{a \\boxed{b} c} and $$ \\boxed{\\left\\{5\\right\\}}", "\\{5\\}"),
        solution("\\boxed{5}", "5"),
        solution("Two dollars $$\u00a0\n\\boxed{7} after \\boxed{} it", "7"),
        solution("$ \\boxed{é橋} = 𝟓 $ \u2003 $\\boxed{𝟓}", "𝟓"),
        solution("Unit\x1c separator\x1f $ \x1d\\boxed{1}", "1"),
    ],
}  # fmt: skip


def load(directory):
    """The modules sources.hf and sources.hf_adapters."""

    def stub(name, **members):
        module = sys.modules[name] = types.ModuleType(name)
        vars(module).update(members)

    for name in ["megatron", "megatron.bridge", "megatron.bridge.data", "megatron.bridge.data.sources", "megatron.bridge.utils"]:
        stub(name, __path__=[])
    stub("megatron.bridge.data.token_utils", json2token=None)
    stub("megatron.bridge.utils.common_utils", resolve_path=None)
    stub("megatron.bridge.data.base", validate_declarative_mapping=lambda *_, **__: None)

    def module(name):
        path = Path(directory) / (name.replace(".", "/") + ".py")
        spec = importlib.util.spec_from_file_location(name, path)
        loaded = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    adapters = module("megatron.bridge.data.sources.hf_adapters")
    return module("megatron.bridge.data.sources.hf"), adapters


def messages(example):
    if "prompt" in example:
        return turns(example["prompt"], example["completion"])
    return example["messages"]


def write(target, directory):
    sources, adapters = load(directory)
    made = {}
    for name, schema in SCHEMAS.items():
        table = pa.Table.from_pylist(ROWS[name], schema=schema)
        pq.write_table(table, target / f"{name}.parquet")
    for maker in [*SCHEMAS, "openmathinstruct2_thinking"]:
        rows = pq.read_table(target / f"{maker.removesuffix('_thinking')}.parquet").to_pylist()
        adapter = sources._HF_DATASET_PRESETS[maker].schema_adapter
        made[maker] = [messages(example) for example in adapters.adapt_hf_dataset(rows, adapter_name=adapter)]
    wanted = [*made, "cord_v2", "medpix", "raven", "rdr"]
    presets = {name: dataclasses.asdict(sources._HF_DATASET_PRESETS[name]) for name in wanted}
    presets = {name: {key: found[key] for key in ["path_or_dataset", "subset", "split"]} for name, found in presets.items()}
    text = json.dumps({"presets": presets, "messages": made}, indent=1, ensure_ascii=False)
    (target / "expected.json").write_text(text + "\n")


def main():
    directory, *options = sys.argv[1:]
    if options != ["--check"]:
        TARGET.mkdir(exist_ok=True)
        return write(TARGET, directory)
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch), directory)
        for file in sorted(Path(scratch).iterdir()):
            if file.read_bytes() != (TARGET / file.name).read_bytes():
                sys.exit(f"{TARGET / file.name} differs from what this script writes")


if __name__ == "__main__":
    main()
