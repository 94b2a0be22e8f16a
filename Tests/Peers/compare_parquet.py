"""Reads random Parquet and Arrow files by pyarrow and by Bridge and compares every value; then damages them.

    python compare_parquet.py BRIDGE [--files N] [--seed N]

What reads is the tool ParquetDump, which is built beside the program.
"""

import argparse
import importlib.util
import json
import pathlib
import random
import subprocess
import tempfile

import pyarrow as pa
import pyarrow.parquet as pq

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "Fixtures" / "parquet" / "make.py"
SPEC = importlib.util.spec_from_file_location("parquet_fixtures", FIXTURES)
MAKE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MAKE)


def dump(tool, paths):
    found = subprocess.run([tool, *map(str, paths)], capture_output=True, text=True)
    if found.returncode != 0:
        raise SystemExit(f"the reader ended with {found.returncode} on one of {paths}: {found.stderr[-400:]}")
    return [json.loads(line) for line in found.stdout.splitlines()]


def write_arrow(generator, table, path):
    """Writes a table as a stream or for random access; returns how."""
    is_file, compression = generator.random() < 0.3, generator.choice([None, "zstd"])
    new = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with pa.OSFile(str(path), "wb") as out:
        with new(out, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
            writer.write_table(table, max_chunksize=generator.choice([3, 50, 1000]))
    return {"arrow": "file" if is_file else "stream", "compression": compression}


def damage(generator, data):
    data = bytearray(data)
    if generator.random() < 0.3:
        return bytes(data[: generator.randrange(len(data))])
    for _ in range(generator.choice([1, 3, 20])):
        # The footer at the end says what everything else means, so half of the damage is done there.
        start = max(0, len(data) - 600) if generator.random() < 0.5 else 0
        data[generator.randrange(start, len(data))] = generator.randrange(256)
    return bytes(data)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=pathlib.Path)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--seed", type=int, default=20260)
    options = parser.parse_args()
    tool, count, seed = options.bridge.parent / "ParquetDump", options.files, options.seed
    generator = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        paths, tables, settings = [], [], []
        for index in range(count):
            table = MAKE.random_table(generator, generator.choice([0, 1, 5, 60, 200]))
            chosen = MAKE.random_options(generator, table)
            paths.append(folder / f"{index}.parquet")
            if generator.random() < 0.4:
                paths[-1] = paths[-1].with_suffix(".arrow")
                chosen = write_arrow(generator, table, paths[-1])
            else:
                pq.write_table(table, paths[-1], **chosen)
            tables.append(table)
            settings.append(chosen)
        values = 0
        for path, table, chosen, found in zip(paths, tables, settings, dump(tool, paths), strict=True):
            expected = MAKE.rows(table)
            if found != expected:
                row = next((r for r, pair in enumerate(zip(found, expected)) if pair[0] != pair[1]), None)
                detail = found if row is None else f"row {row}: {found[row]} instead of {expected[row]}"
                raise SystemExit(f"{path.name} of seed {seed} differs: {chosen}\n{table.schema}\n{str(detail)[:2000]}")
            values += table.num_rows * table.num_columns
        damaged = []
        for path in paths:
            for copy in range(5):
                damaged.append(folder / f"damaged-{path.stem}-{copy}{path.suffix}")
                damaged[-1].write_bytes(damage(generator, path.read_bytes()))
        refused = sum(isinstance(found, dict) for found in dump(tool, damaged))
        print(f"parquet and arrow: {count} files, {values} values equal; {len(damaged)} damaged files, {refused} refused, no crash")


if __name__ == "__main__":
    main()
