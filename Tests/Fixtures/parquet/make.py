"""Writes the Parquet files of this folder, each with its rows as JSON beside it, with pyarrow 26.0.1.

    python make.py [FOLDER]

A number that JSON would round or change stands as {"int": text} or {"double": bits}, bytes as {"hex": digits}.
"""

import decimal
import json
import pathlib
import random
import struct
import sys

import pyarrow as pa
import pyarrow.parquet as pq


def plain(value, kind):
    """The value as JSON, in the order of the schema."""
    if value is None:
        return None
    if pa.types.is_struct(kind):
        return {"struct": [[field.name, plain(value[field.name], field.type)] for field in kind]}
    if pa.types.is_map(kind):
        entry = pa.struct([("key", kind.key_type), ("value", kind.item_type)])
        return [plain({"key": key, "value": item}, entry) for key, item in value]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [plain(item, kind.value_type) for item in value]
    if pa.types.is_floating(kind):
        return {"double": str(struct.unpack("<Q", struct.pack("<d", float(value)))[0])}
    if isinstance(value, bool) or isinstance(value, str):
        return value
    if isinstance(value, int):
        return {"int": str(value)}
    return {"hex": bytes(value).hex()}


def rows(table):
    return [
        {"struct": [[field.name, plain(row[field.name], field.type)] for field in table.schema]}
        for row in table.to_pylist()
    ]


def words(random, count):
    return "".join(random.choice(["a", "é", "lamp ", "日本", "stone", " "]) for _ in range(count))


def sample(random, kind, nulls):
    """A random value of a type."""
    if nulls and random.random() < 0.2:
        return None
    if pa.types.is_struct(kind):
        return {field.name: sample(random, field.type, field.nullable) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [sample(random, kind.value_type, kind.value_field.nullable) for _ in range(random.choice([0, 1, 2, 5]))]
    if pa.types.is_boolean(kind):
        return random.random() < 0.5
    if pa.types.is_unsigned_integer(kind):
        return random.choice([0, 1, 2**kind.bit_width - 1, random.getrandbits(kind.bit_width)])
    if pa.types.is_integer(kind):
        return random.choice([0, -1, 7, random.getrandbits(kind.bit_width) - 2 ** (kind.bit_width - 1)])
    if pa.types.is_float16(kind):
        return random.choice([0.0, -1.5, 65504.0, 6e-8, random.gauss(0, 1)])
    if pa.types.is_float32(kind):
        return struct.unpack("<f", struct.pack("<f", random.gauss(0, 1e3)))[0]
    if pa.types.is_floating(kind):
        return random.gauss(0, 1e9)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return words(random, random.choice([0, 1, 3, 8]))
    if pa.types.is_fixed_size_binary(kind):
        return random.randbytes(kind.byte_width)
    return random.randbytes(random.choice([0, 1, 9, 40]))


LEAVES = [
    pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(),
    pa.float16(), pa.float32(), pa.float64(), pa.string(), pa.large_string(), pa.binary(), pa.binary(5),
]


def random_type(random, depth):
    choice = random.random()
    if depth > 0 and choice < 0.25:
        return pa.list_(pa.field("element", random_type(random, depth - 1), nullable=random.random() < 0.7))
    if depth > 0 and choice < 0.5:
        fields = [
            pa.field(name, random_type(random, depth - 1), nullable=random.random() < 0.6)
            for name in "xyz"[: random.randint(1, 3)]
        ]
        return pa.struct(fields)
    return random.choice(LEAVES)


def random_table(random, count, depth=3):
    fields = [
        pa.field(f"c{index}", random_type(random, depth), nullable=random.random() < 0.7)
        for index in range(random.randint(1, 6))
    ]
    arrays = [pa.array([sample(random, field.type, field.nullable) for _ in range(count)], field.type) for field in fields]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def random_options(random, table):
    options = {
        "compression": random.choice(["none", "snappy", "gzip", "zstd"]),
        "data_page_version": random.choice(["1.0", "2.0"]),
        "use_dictionary": random.random() < 0.5,
        "data_page_size": random.choice([64, 1000, 1 << 20]),
        "write_batch_size": random.choice([3, 16, 1024]),
        "row_group_size": random.choice([7, 50, 1 << 20]),
        "write_page_checksum": random.random() < 0.5,
        "version": random.choice(["1.0", "2.4", "2.6"]),
    }
    if not options["use_dictionary"] and random.random() < 0.8:
        fitting = {
            "BOOLEAN": ["PLAIN", "RLE"],
            "INT32": ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
            "INT64": ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT"],
            "FLOAT": ["PLAIN", "BYTE_STREAM_SPLIT"],
            "DOUBLE": ["PLAIN", "BYTE_STREAM_SPLIT"],
            "BYTE_ARRAY": ["PLAIN", "DELTA_LENGTH_BYTE_ARRAY", "DELTA_BYTE_ARRAY"],
            "FIXED_LEN_BYTE_ARRAY": ["PLAIN", "DELTA_BYTE_ARRAY", "BYTE_STREAM_SPLIT"],
        }
        sink = pa.BufferOutputStream()
        pq.write_table(table.slice(0, 0), sink)
        schema = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
        options["column_encoding"] = {
            schema.column(index).path: random.choice(fitting[schema.column(index).physical_type])
            for index in range(len(schema))
        }
    return options


def write(folder, name, table, **options):
    pq.write_table(table, folder / f"{name}.parquet", **options)
    text = json.dumps(rows(table), ensure_ascii=False, separators=(",", ":"))
    (folder / f"{name}.json").write_text(text + "\n")


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    generator = random.Random(4711)
    flat = pa.table({
        "flag": [True, None, False, True, True, None, False] * 9,
        "small": pa.array([generator.randint(-9, 9) for _ in range(63)], pa.int32()),
        "large": pa.array([generator.getrandbits(63) for _ in range(63)], pa.int64()),
        "text": [generator.choice(["stone", "lamp", None, "日本", "a longer text"]) for _ in range(63)],
        "ratio": [generator.gauss(0, 3) for _ in range(63)],
    })
    for codec in ["none", "snappy", "gzip", "zstd"]:
        for version in ["1.0", "2.0"]:
            write(folder, f"flat-{codec}-v{version[0]}", flat, compression=codec, data_page_version=version,
                  use_dictionary=codec in ["snappy", "gzip"], row_group_size=25, data_page_size=64, write_batch_size=8,
                  write_page_checksum=codec == "zstd")
    write(folder, "delta", flat, use_dictionary=False, column_encoding={
        "flag": "RLE", "small": "DELTA_BINARY_PACKED", "large": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY",
        "ratio": "BYTE_STREAM_SPLIT"})
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    shots = [{"bytes": generator.randbytes(200 + 31 * index), "path": None if index % 3 else f"{index}.png"}
             for index in range(9)]
    images = pa.table({"image": pa.array(shots, image), "question": [f"what is {index}?" for index in range(9)]})
    write(folder, "images", images, row_group_size=4, data_page_size=300, write_batch_size=1)
    turn = pa.struct([("from", pa.string()), ("value", pa.string()), ("tags", pa.list_(pa.int16()))])
    talk = [None, [], [{"from": "human", "value": "hi", "tags": [3, None]}, None, {"from": None, "value": "", "tags": []}],
            [{"from": "gpt", "value": "yes", "tags": None}]] * 5
    grid = [[[1, 2], [], None], [], None, [[3]]] * 5
    names = [[("a", 1), ("b", None)], [], None, [("c", 7)]] * 5
    nested = pa.table({
        "talk": pa.array(talk, pa.list_(turn)), "grid": pa.array(grid, pa.list_(pa.list_(pa.int64()))),
        "names": pa.array(names, pa.map_(pa.string(), pa.int32())),
        "half": pa.array([0.5, None, -65504.0, 6e-8] * 5, pa.float16()), "code": pa.array([b"abcde", None] * 10, pa.binary(5)),
        "big": pa.array([2**64 - 1, 5, None, 0] * 5, pa.uint64()),
    })
    for version in ["1.0", "2.0"]:
        write(folder, f"nested-v{version[0]}", nested, data_page_version=version, row_group_size=7, data_page_size=40,
              write_batch_size=3, compression="zstd")
    refused = pa.table({"price": pa.array([decimal.Decimal("1.25")], pa.decimal128(9, 2)), "kept": [5]})
    pq.write_table(refused, folder / "decimal.parquet")
    pq.write_table(pa.table({"kept": [5]}), folder / "brotli.parquet", compression="brotli")
    pq.write_table(pa.table({"when": pa.array([5], pa.timestamp("ns"))}), folder / "int96.parquet",
                   use_deprecated_int96_timestamps=True)
    grown(folder)


def grown(folder):
    """Files that are small and hold much: a page that unpacks to thousands of times its size, and rows that are all alike."""
    options = {"compression": "zstd", "use_dictionary": False}
    pq.write_table(pa.table({"text": ["a" * 80_000_000]}), folder / "grown.parquet", **options)
    flags = pa.array([None if row % 7 == 3 else row % 3 == 0 for row in range(420)] * 5000, pa.bool_())
    alike = pa.table({"text": pa.array(["same"] * len(flags)).dictionary_encode(), "flag": flags})
    pq.write_table(alike, folder / "alike.parquet", compression="zstd", row_group_size=len(flags), data_page_size=1 << 30)


if __name__ == "__main__":
    main()
