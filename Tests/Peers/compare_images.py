"""Reads random images of every format and kind by Pillow and transformers and by Bridge, and compares every pixel.

    python compare_images.py BRIDGE [--images N] [--seed N]

What reads is the tool ImageDump, which is built beside the program. Half of the files are damaged afterwards: the reader has
to give an image or an error. Where Pillow refuses a file Bridge may do either.
"""

import argparse
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "Fixtures"))
import image_formats as formats  # noqa: E402

warnings.simplefilter("ignore")


def pillow(data):
    """The pixels with alpha, and those that a model gets; None where Pillow refuses the file."""
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except Exception:
        return None
    alpha = "A" in image.getbands() or image.info.get("transparency") is not None
    upright = ImageOps.exif_transpose(image)
    pixels = np.array(upright.convert("RGBA" if alpha else "RGB"))
    loaded = convert_to_rgb(upright.convert("RGB"), return_numpy=True)
    return {
        "size": [upright.width, upright.height, pixels.shape[-1]], "pixels": pixels.tobytes().hex(),
        "loaded": loaded.tobytes().hex(),
    }  # fmt: skip


def noise(generator, height, width, channels, top=256, kind=np.uint8):
    values = [generator.randrange(top) for _ in range(height * width * channels)]
    array = np.array(values, kind).reshape(height, width, channels)
    return array[..., 0] if channels == 1 else array


def few(generator, height, width, count):
    """Indices with runs."""
    row, out = [], []
    while len(out) < height * width:
        out += [generator.randrange(count)] * generator.choice([1, 1, 2, 5, 30])
    row = np.array(out[: height * width], np.uint8)
    return row.reshape(height, width)


def random_png(g, h, w):
    kind = g.choice(["grey", "grey16", "rgb", "rgb16", "palette"])
    if kind == "grey":
        bits = g.choice([1, 2, 4, 8])
        array = few(g, h, w, 1 << bits)
        keys = g.choice([None, g.randrange(1 << bits), int(array[0, 0]), g.randrange(65536)])
        return formats.png(array, bits, 0, b"" if keys is None else formats.key(keys))
    if kind == "grey16":
        array = (few(g, h, w, 256).astype(np.uint16) * g.choice([1, 2, 257])).astype(">u2")
        return formats.png(array, 16, 0, formats.key(g.choice([0, int(array[0, 0]), g.randrange(65536)])))
    if kind == "rgb":
        array = np.stack([few(g, h, w, 3)] * 3, -1)
        return formats.png(array, 8, 2, formats.key(*g.choice([[int(v) for v in array[0, 0]], [1, 1, 1], [257, 1, 1]])))
    if kind == "rgb16":
        array = np.stack([few(g, h, w, 3)] * 3, -1).astype(">u2") * 257
        return formats.png(array.astype(">u2"), 16, 2, formats.key(*g.choice([[257, 257, 257], [1, 1, 1], [0, 0, 0]])))
    bits = g.choice([1, 2, 4, 8])
    count = g.randint(1, 1 << bits)
    table = formats.chunk(b"PLTE", bytes(g.choice([0, 10, 200, 255]) for _ in range(3 * count)))
    alphas = bytes(g.choice([[0], [255], [0, 255], [0, 255, 255, 255], [0, 7, 255]])[0 if g.random() < 0.3 else -1] for _ in range(g.randint(1, count)))
    if g.random() < 0.5:
        alphas = bytearray(b"\xff" * g.randint(1, count))
        alphas[g.randrange(len(alphas))] = 0
    return formats.png(few(g, h, w, 1 << bits), bits, 3, table + (formats.chunk(b"tRNS", bytes(alphas)) if g.random() < 0.8 else b""))


def random_gif(g, h, w):
    count = g.choice([2, 3, 16, 200, 256])
    image = Image.fromarray(few(g, h, w, count), "P" if g.random() < 0.8 else "L")
    if image.mode == "P":
        image.putpalette([g.choice([0, 5, 100, 255]) for _ in range(3 * count)])
    options = {"interlace": g.randrange(2)}
    if g.random() < 0.6:
        options["transparency"] = g.randrange(count)
    if g.random() < 0.3:
        options.update(save_all=True, append_images=[image.rotate(180)])
    data = bytearray(formats.saved(image, "GIF", **options))
    if g.random() < 0.4:
        data[6] = min(255, data[6] + g.randrange(-3, 9) % 256)
        start = data.find(b",\0\0\0\0")
        if start > 0:
            data[start + 1], data[start + 3] = g.randrange(9), g.randrange(9)
    return bytes(data)


def random_bmp(g, h, w):
    bits = g.choice([1, 4, 8, 16, 24, 32])
    options = {"header": g.choice([12, 40, 40, 56, 108, 124]), "top_down": False}
    if options["header"] != 12:
        options["top_down"] = g.random() < 0.3
    if bits <= 8:
        count = 1 << bits if options["header"] == 12 or g.random() < 0.5 else g.randint(2, 1 << bits)
        table = [tuple(g.choice([0, 9, 255]) for _ in range(3)) for _ in range(count)]
        # Of four bits with a palette of greys Pillow reads bytes.
        if g.random() < 0.3 and (bits != 4 or count == 2):
            table = [(i * (255 if count == 2 else 1),) * 3 for i in range(count)]
        indices = few(g, h, w, count)
        if bits >= 4 and options["header"] == 40 and not options["top_down"] and g.random() < 0.5:
            half = bits == 4
            return formats.bmp(indices, bits, table, compression=2 if half else 1, data=formats.runs(indices, half), colours=count)
        return formats.bmp(indices, bits, table, colours=0 if options["header"] == 12 else count, **options)
    if bits == 16:
        masks = g.choice([None, (0xF800, 0x7E0, 0x1F), (0x7C00, 0x3E0, 0x1F)]) if options["header"] == 40 else None
        return formats.bmp(noise(g, h, w, 1, 65536, np.uint16).astype("<u2"), 16, masks=masks, **options)
    if bits == 24:
        return formats.bmp(noise(g, h, w, 3), 24, **options)
    masks = g.choice([None, (0xFF0000, 0xFF00, 0xFF, 0xFF000000), (0xFF, 0xFF00, 0xFF0000, 0xFF000000), (0, 0, 0, 0)])
    if options["header"] < 56:
        options["header"], masks = 40, masks and masks[:3]
    return formats.bmp(noise(g, h, w, 4), 32, masks=masks, **options)


def random_tiff(g, h, w):
    if g.random() < 0.4:
        mode = g.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
        image = Image.fromarray(noise(g, h, w, 4)).convert("RGBA")
        image = image.convert(mode) if mode != "P" else image.convert("RGB").quantize(9)
        compression = g.choice([None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
        if mode == "1" and g.random() < 0.5:
            compression = g.choice(["group3", "group4"])
        if mode in ("L", "RGB") and g.random() < 0.2:
            compression = "jpeg"
        return formats.saved(image, "TIFF", compression=compression, tiffinfo={274: g.choice([1, 1, 3, 6, 8])})
    options = {"order": g.choice("<>"), "compress": g.choice([None, 8]), "big": g.random() < 0.2}
    options.update({"tile": 16} if g.random() < 0.3 else {"rows": g.choice([None, 1, 3, 8])})
    kind = g.choice(["grey", "grey16", "float", "palette", "rgb", "rgba", "rgb16", "cmyk"])
    if kind == "grey":
        bits = g.choice([1, 2, 4, 8])
        return formats.tiff(few(g, h, w, 1 << bits), g.randrange(2), bits, **options)
    if kind == "grey16":
        return formats.tiff(noise(g, h, w, 1, g.choice([300, 65536]), np.uint16), 1, 16, **options)
    if kind == "float":
        # Pillow swaps the bytes of compressed floats twice.
        options["order"] = "<" if options["compress"] else options["order"]
        return formats.tiff(noise(g, h, w, 1, 900, np.float32) * np.float32(0.7) - 100, 1, 32, kind=3, **options)
    if kind == "palette":
        bits = g.choice([1, 2, 4, 8])
        return formats.tiff(few(g, h, w, 1 << bits), 3, bits, tags=(formats.colour_map(bits, g.random()),), **options)
    if kind == "cmyk":
        return formats.tiff(noise(g, h, w, 4), 5, **options)
    if kind == "rgb16":
        alpha = g.random() < 0.5
        return formats.tiff(noise(g, h, w, 3 + alpha, 65536, np.uint16), 2, 16, extra=(g.choice([0, 1, 2]),) if alpha else (), **options)
    if kind == "rgba":
        return formats.tiff(noise(g, h, w, 4), 2, extra=g.choice([(), (0,), (1,), (2,)]), **options)
    return formats.tiff(noise(g, h, w, 3), 2, planar=g.choice([1, 1, 2]), **options)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bridge", type=pathlib.Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--seed", type=int, default=20261)
    options = parser.parse_args()
    tool, g = options.bridge.parent / "ImageDump", random.Random(options.seed)
    makers = {"png": random_png, "gif": random_gif, "bmp": random_bmp, "tif": random_tiff}
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(options.images):
            kind = g.choice(list(makers))
            paths.append(pathlib.Path(folder, f"{number}.{kind}"))
            paths[-1].write_bytes(makers[kind](g, g.randint(1, 40), g.randint(1, 40)))
        equal = refused = 0
        for path, found in zip(paths, dump(tool, paths), strict=True):
            expected = pillow(path.read_bytes())
            if expected is None:
                refused += 1
            elif found != expected:
                kept = pathlib.Path(tempfile.gettempdir(), f"differs{path.suffix}")
                kept.write_bytes(path.read_bytes())
                raise SystemExit(f"{path.name} of seed {options.seed} differs, see {kept}: {str(found)[:200]} instead of {str(expected)[:200]}")
            else:
                equal += 1
        damaged = []
        for path in paths[::2]:
            data = bytearray(path.read_bytes())
            for _ in range(g.choice([1, 3, 9])):
                data[g.randrange(len(data))] = g.randrange(256)
            damaged.append(path.with_name("damaged-" + path.name))
            damaged[-1].write_bytes(data if g.random() < 0.7 else data[: g.randrange(len(data))])
        errors = sum("error" in found for found in dump(tool, damaged))
        print(f"images: {equal} equal, {refused} that Pillow refuses; {len(damaged)} damaged, {errors} refused, no crash")


def dump(tool, paths):
    found = subprocess.run([tool, *map(str, paths)], capture_output=True, text=True)
    if found.returncode != 0:
        raise SystemExit(f"the reader ended with {found.returncode} on one of {paths}: {found.stderr[-400:]}")
    return [json.loads(line) for line in found.stdout.splitlines()]


if __name__ == "__main__":
    main()
