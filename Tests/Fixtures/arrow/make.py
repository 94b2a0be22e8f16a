"""Writes the Arrow files of this folder, each with its rows as JSON beside it, with pyarrow 26.0.1 and datasets 5.2.0, and
rows of JSON in compressed files.

    .venv-peers/bin/python Tests/Fixtures/arrow/make.py

The JSON is that of Tests/Fixtures/parquet/make.py. `saved` and `saved-splits` are what `datasets.save_to_disk` writes;
Fuzz/Corpus/arrow gets the seeds of the fuzz target.
"""

import bz2
import gzip
import importlib.util
import json
import lzma
import pathlib
import random
import shutil

import datasets
import pyarrow as pa

HERE = pathlib.Path(__file__).resolve().parent
CORPUS = HERE.parents[2] / "Fuzz" / "Corpus" / "arrow"
SPEC = importlib.util.spec_from_file_location("parquet_fixtures", HERE.parent / "parquet" / "make.py")
PARQUET = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(PARQUET)


def call(name, arguments):
    return {"id": "abcdefghi", "type": "function", "function": {"name": name, "arguments": arguments}}


CONVERSATIONS = [
    {"messages": [
        {"role": "user", "content": "Weather and time?", "tool_calls": None},
        {"role": "assistant", "content": None, "tool_calls": [call("weather", {"city": "Bern"}), call("clock", {"zone": 2})]},
        {"role": "tool", "content": "dry, 12:00", "tool_calls": None},
        {"role": "assistant", "content": "Dry, and noon.", "tool_calls": None},
    ], "tools": json.dumps([{"type": "function", "function": {"name": "weather", "parameters": {"default": None}}}])},
    {"messages": [
        {"role": "user", "content": "Hi", "tool_calls": None}, {"role": "assistant", "content": "Ho", "tool_calls": None},
    ], "tools": None},
]  # fmt: skip


def kinds():
    """A table with a column of each layout."""
    count = 7
    texts = ["", "a", "日本", None, "same", "same", "long " * 9]
    point = pa.struct([("x", pa.int32()), ("y", pa.list_(pa.string()))])
    columns = {
        "bool": pa.array([True, False, None, True, True, False, True]),
        **{str(kind): pa.array([None if i == 2 else i * 9 % 100 for i in range(count)], kind) for kind in [
            pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64(), pa.float32(), pa.float64(),
        ]},
        "half": pa.array([0.0, 1.5, -2.25, None, 65504.0, 6e-8, float("inf")], pa.float16()),
        "string": pa.array(texts), "large": pa.array(texts, pa.large_string()),
        "binary": pa.array([t and t.encode() for t in texts], pa.binary()),
        "large_binary": pa.array([t and t.encode() for t in texts], pa.large_binary()),
        "fixed": pa.array([b"abcd", None] * 3 + [b"1234"], pa.binary(4)),
        "list": pa.array([[1, 2], [], None, [3], [None, 4], [5], [6, 7, 8]], pa.list_(pa.int64())),
        "large_list": pa.array([["a"], [], None, ["b", None], [], ["c"], ["d"]], pa.large_list(pa.string())),
        "pairs": pa.array([[1, 2], None, [3, 4], [5, None], [6, 7], [8, 9], [0, 0]], pa.list_(pa.int16(), 2)),
        "point": pa.array([{"x": 1, "y": ["a"]}, None, {"x": None, "y": []}] * 2 + [{"x": 5, "y": None}], point),
        "points": pa.array([[{"x": 1, "y": ["a"]}], [], None, [None], [{"x": 2, "y": None}], [], []], pa.list_(point)),
        "word": pa.array(texts).dictionary_encode(),
        "words": pa.array([[], ["a", "b"], ["a"], None, ["b"], [None], ["c"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        "null": pa.nulls(count),
    }  # fmt: skip
    return pa.table(columns)


def plain_rows(table):
    """The rows as JSON; a value of a dictionary is what it stands for."""
    def simple(kind):
        if pa.types.is_dictionary(kind):
            return simple(kind.value_type)
        if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
            return pa.list_(simple(kind.value_type))
        return kind

    fields = [pa.field(f.name, simple(f.type)) for f in table.schema]
    return [
        {"struct": [[f.name, PARQUET.plain(row[f.name], f.type)] for f in fields]} for row in table.to_pylist()
    ]


def write(name, table, is_file=False, batch=3, **options):
    path = HERE / f"{name}.arrow"
    new = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as out, new(out, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=batch)
    (HERE / f"{name}.json").write_text(json.dumps(plain_rows(table), ensure_ascii=False) + "\n")
    return path


def deltas():
    """A dictionary that grows from batch to batch, and one that is replaced."""
    schema = pa.schema([("word", pa.dictionary(pa.int32(), pa.string()))])
    for name, emits in [("delta", True), ("replaced", False)]:
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=emits)
        words, rows = [], []
        with pa.OSFile(str(HERE / f"{name}.arrow"), "wb") as out, pa.ipc.new_stream(out, schema, options=options) as writer:
            for more in (["a", "b"], ["c"], ["d", "e"]):
                words += more
                indices = [len(words) - 1, 0, len(words) - 2]
                array = pa.DictionaryArray.from_arrays(pa.array(indices, pa.int32()), pa.array(words))
                writer.write_batch(pa.record_batch([array], schema=schema))
                rows += [words[index] for index in indices]
        text = json.dumps([{"struct": [["word", word]]} for word in rows])
        (HERE / f"{name}.json").write_text(text + "\n")


def compressed():
    """Two rows of JSON, in two members where the format has them."""
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"q{i}"}, {"role": "assistant", "content": f"a{i}"}]}) + "\n"
        for i in range(2)
    ]
    folder = HERE / "compressed"
    folder.mkdir(exist_ok=True)
    (folder / "rows.jsonl").write_text("".join(lines))
    (folder / "rows.jsonl.gz").write_bytes(b"".join(gzip.compress(line.encode(), mtime=0) for line in lines))
    (folder / "list.json.gz").write_bytes(gzip.compress(f"[{','.join(lines)}]".encode(), mtime=0))
    zstd = pa.Codec("zstd")
    (folder / "rows.jsonl.zst").write_bytes(b"".join(zstd.compress(line.encode(), asbytes=True) for line in lines))
    (folder / "rows.jsonl.xz").write_bytes(lzma.compress(lines[0].encode()))
    (folder / "rows.jsonl.bz2").write_bytes(bz2.compress(lines[0].encode()))
    (folder / "zeros.gz").write_bytes(gzip.compress(bytes(1 << 22), mtime=0))


def main():
    compressed()
    table = kinds()
    write("kinds", table)
    write("kinds-file", table, is_file=True, batch=100)
    write("kinds-zstd", table, compression="zstd")
    write("lz4", pa.table({"a": ["x" * 100]}), compression="lz4")
    with pa.OSFile(str(HERE / "decimal.arrow"), "wb") as out:
        table = pa.table({"kept": [5], "decimal": pa.array([1], pa.decimal128(5, 2))})
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
    write("none", pa.table({"a": pa.array([], pa.string())}))
    deltas()
    saved = datasets.Dataset.from_list(CONVERSATIONS)
    for name in ("saved", "saved-splits"):
        shutil.rmtree(HERE / name, ignore_errors=True)
    saved.save_to_disk(str(HERE / "saved"), num_shards=2)
    datasets.DatasetDict({"train": saved, "test": saved.select([1])}).save_to_disk(str(HERE / "saved-splits"))
    shutil.rmtree(CORPUS, ignore_errors=True)
    CORPUS.mkdir(parents=True)
    generator = random.Random(4)
    for name in ("kinds", "kinds-file", "kinds-zstd", "delta", "replaced", "none"):
        (CORPUS / f"good-{name}").write_bytes((HERE / f"{name}.arrow").read_bytes())
    whole = (HERE / "delta.arrow").read_bytes()
    grown = pa.table({"text": ["a" * 80_000_000]})
    with pa.ipc.new_stream(HERE / "grown.arrow", grown.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_table(grown)
    (CORPUS / "empty").write_bytes(b"")
    (CORPUS / "eight-bytes").write_bytes(whole[:8])
    (CORPUS / "cut-in-the-schema").write_bytes(whole[:100])
    (CORPUS / "cut-in-a-body").write_bytes(whole[:-20])
    (CORPUS / "length-beyond-the-end").write_bytes(whole[:4] + b"\xff\xff\xff\x7f" + whole[8:])
    (CORPUS / "negative-length").write_bytes(whole[:4] + b"\xf0\xff\xff\xff" + whole[8:])
    (CORPUS / "root-beyond-the-end").write_bytes(whole[:8] + b"\xff\xff\xff\x7f" + whole[12:])
    (CORPUS / "lz4").write_bytes((HERE / "lz4.arrow").read_bytes())
    (CORPUS / "two-schemas").write_bytes(whole[: 8 + int.from_bytes(whole[4:8], "little")] + whole)


if __name__ == "__main__":
    main()
