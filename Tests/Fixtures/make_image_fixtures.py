"""Makes Tests/Fixtures/images: small files of each kind and what Pillow and transformers make of them.

    scripts/setup-peers
    .venv-peers/bin/python Tests/Fixtures/make_image_fixtures.py            # writes the folder
    .venv-peers/bin/python Tests/Fixtures/make_image_fixtures.py --check    # compares with what is committed

Versions in Tests/Peers/requirements.txt. Every expected value comes from Pillow or transformers, never from Bridge.
Pixels and float planes are kept as 32-bit hashes of their bytes (FNV-1a of 64 bits, both halves xored).
"""

import io
import json
import pathlib
import struct
import sys
import warnings
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps
from transformers.image_transforms import convert_to_rgb
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import image_formats  # noqa: E402

warnings.simplefilter("ignore")
FOLDER = pathlib.Path(__file__).parent / "images"
FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def fixture_hash(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return (value ^ value >> 32) & 0xFFFFFFFF


def generated(width, height, channels, seed):
    """Noise from a linear congruential generator that the Swift test repeats: the worst case for every rounding."""
    state, out = seed, bytearray()
    for _ in range(width * height * channels):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        out.append(state >> 24)
    return np.frombuffer(bytes(out), np.uint8).reshape(height, width, channels)


def picture(width, height, channels=3):
    """Waves and edges: something that a codec can compress, with no symmetry that would hide a wrong turn."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [
        127 + 120 * np.sin(x / 3.1 + y / 7.3), 255 * x / width, 255 * (y / height) ** 2, 255 * (x + y) / (width + height),
    ]  # fmt: skip
    pixels = np.stack(planes[:channels], -1)
    pixels[height // 5 : height // 3, width // 2 : width // 2 + 4, :3] = [250, 10, 30]
    if channels == 4:
        pixels[: height // 4, : width // 3, 3] = 0
        pixels[-3:, :, 3] = 255
    return np.clip(pixels, 0, 255).astype(np.uint8)


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, colour, rows, interlaced=False, extra=b""):
    """A PNG that Pillow does not write: 16-bit colours, interlacing, unusual depths. `rows` makes one row of bytes."""
    if not interlaced:
        passes = [(0, 0, 1, 1)]
    else:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    data = b""
    for x0, y0, dx, dy in passes:
        for y in range(y0, height, dy):
            if x0 < width:
                data += b"\0" + rows(y, range(x0, width, dx))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    )


def array_rows(array):
    return lambda y, columns: array[y, list(columns)].tobytes()


def packed_rows(array, depth):
    """Samples of less than a byte, the first in the high bits."""

    def rows(y, columns):
        bits = "".join(format(int(array[y, x]), f"0{depth}b") for x in columns)
        bits += "0" * (-len(bits) % 8)
        return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))

    return rows


def orientation_block(value, order="<", kind=3):
    mark = b"II" if order == "<" else b"MM"
    data = struct.pack(order + {1: "B3x", 3: "H2x", 4: "I"}[kind], value)
    return mark + struct.pack(order + "HIH", 42, 8, 1) + struct.pack(order + "HHI", 0x0112, kind, 1) + data + b"\0" * 4


def files():
    rgb, rgba = Image.fromarray(picture(37, 29)), Image.fromarray(picture(37, 29, 4))
    grey = rgb.convert("L")
    made = {
        "rgb.png": saved(rgb, "PNG"),
        "rgba.png": saved(rgba, "PNG"),
        "grey.png": saved(grey, "PNG"),
        "grey-alpha.png": saved(rgba.convert("LA"), "PNG"),
        "palette.png": saved(rgb.quantize(50), "PNG"),
        "palette-2bit.png": saved(rgb.quantize(4), "PNG", bits=2),
        "bilevel.png": saved(rgb.convert("1"), "PNG"),
        "palette-transparent.png": saved(rgb.quantize(30), "PNG", transparency=bytes(range(0, 240, 8))),
        "rgb-transparent.png": saved(rgb, "PNG", transparency=(250, 10, 30)),
        "grey-transparent.png": saved(grey, "PNG", transparency=int(np.array(grey)[3, 3])),
        "orientation.png": saved(rgb, "PNG", exif=orientation_block(6)),
        "webp-orientation-5.webp": saved(rgb, "WEBP", quality=60, exif=b"Exif\0\0" + orientation_block(5, ">")),
        "lossy.webp": saved(rgb, "WEBP", quality=75),
        "lossless.webp": saved(rgb, "WEBP", lossless=True),
        "alpha.webp": saved(rgba, "WEBP", quality=80),
        "alpha-lossless.webp": saved(rgba, "WEBP", lossless=True, exact=True),
        "animated.webp": saved(
            rgba, "WEBP", save_all=True, append_images=[Image.fromarray(picture(37, 29, 4)[::-1])], duration=50, lossless=True
        ),
        "grey.jpg": saved(grey, "JPEG", quality=85),
        "cmyk.jpg": saved(rgb.convert("CMYK"), "JPEG", quality=90),
        "progressive.jpg": saved(rgb, "JPEG", quality=80, progressive=True),
        "restart.jpg": saved(rgb, "JPEG", quality=80, restart_marker_rows=1),
        "rgb-stored.jpg": saved(rgb, "JPEG", quality=80, keep_rgb=True),
    }
    for name, sampling in {"444": 0, "422": 1, "420": 2}.items():
        made[f"baseline-{name}.jpg"] = saved(rgb, "JPEG", quality=85, subsampling=sampling)
    for value in range(1, 10):
        block = orientation_block(value, "<>"[value % 2], [3, 4, 3][value % 3])
        made[f"orientation-{value}.jpg"] = saved(rgb, "JPEG", quality=50, exif=b"Exif\0\0" + block)
    # Pillow takes a byte for text, not for a number.
    made["orientation-byte.jpg"] = saved(rgb, "JPEG", quality=50, exif=b"Exif\0\0" + orientation_block(6, "<", 1))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
    made["xmp-orientation.jpg"] = saved(rgb, "JPEG", quality=50, xmp=xmp)
    made["xmp-orientation.webp"] = saved(rgb, "WEBP", quality=50, xmp=xmp.replace(b'="8"', b">3"))

    # What Pillow cannot write.
    wide = generated(19, 13, 8, 5).copy().view(">u2")
    made["rgb-16bit.png"] = png(19, 13, 16, 2, array_rows(np.ascontiguousarray(wide[:, :, :3])))
    made["rgba-16bit.png"] = png(19, 13, 16, 6, array_rows(wide))
    made["grey-alpha-16bit.png"] = png(19, 13, 16, 4, array_rows(np.ascontiguousarray(wide[:, :, :2])))
    steps = (np.arange(19 * 13) * 3 % 700).astype(">u2").reshape(13, 19)
    made["grey-16bit.png"] = png(19, 13, 16, 0, array_rows(steps))
    made["interlaced.png"] = png(37, 29, 8, 2, array_rows(np.array(rgb)), interlaced=True)
    made["interlaced-alpha.png"] = png(37, 29, 8, 6, array_rows(np.array(rgba)), interlaced=True)
    made["grey-2bit-interlaced.png"] = png(37, 29, 2, 0, packed_rows(np.array(grey) >> 6, 2), interlaced=True)
    made["grey-4bit.png"] = png(37, 29, 4, 0, packed_rows(np.array(grey) >> 4, 4))
    made["one-pixel.png"] = png(1, 1, 8, 2, lambda y, columns: bytes([1, 2, 3]))
    made["tall.png"] = png(1, 61, 8, 0, lambda y, columns: bytes([y * 4]), interlaced=True)
    late = made["rgb.png"]
    made["orientation-after-pixels.png"] = late[:-12] + chunk(b"eXIf", orientation_block(7, ">")) + late[-12:]
    return made | image_formats.files(picture)


def decoded(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    alpha = "A" in image.getbands() or image.info.get("transparency") is not None
    upright = ImageOps.exif_transpose(image)
    pixels = np.array(upright.convert("RGBA" if alpha else "RGB"))
    return {
        "width": upright.width,
        "height": upright.height,
        "channels": pixels.shape[-1],
        "pixels": fixture_hash(pixels.tobytes()),
        "plain": fixture_hash(np.array(upright.convert("RGB")).tobytes()),
        "white": fixture_hash(convert_to_rgb(upright, return_numpy=True).tobytes()),
        # What load_image gives, and the processor makes of it.
        "loaded": fixture_hash(convert_to_rgb(upright.convert("RGB"), return_numpy=True).tobytes()),
    }


def resizes():
    cases = []
    sources = [(37, 29, 3), (1, 1, 3), (2, 3, 3), (64, 5, 3), (7, 120, 3), (100, 75, 3), (23, 17, 4), (50, 41, 4)]
    targets = [
        (1, 1), (2, 2), (3, 7), (13, 11), (28, 28), (36, 29), (37, 30), (37, 29), (64, 64), (75, 100), (113, 84), (5, 140),
    ]  # fmt: skip
    # Pillow 13 begins with the columns when height - to_height > 2 * (width - to_width): both sides of that line.
    edges = [(40, 60, 3), (61, 90, 4), (90, 44, 3), (701, 333, 3), (250, 640, 3)]
    around = {(40, 60, 3): [(30, 40), (30, 39), (30, 41)], (61, 90, 4): [(41, 50), (41, 49)], (90, 44, 3): [(85, 34), (85, 33)],
              # The sizes that the models take.
              (701, 333, 3): [(532, 252), (448, 448)], (250, 640, 3): [(252, 644), (448, 448)]}
    for number, (width, height, channels) in enumerate(sources + edges):
        seed = 100 + number
        image = Image.fromarray(generated(width, height, channels, seed))
        for to_width, to_height in around.get((width, height, channels), targets + [(width, 19), (31, height)]):
            for name, method in FILTERS.items():
                out = np.array(image.resize((to_width, to_height), method))
                cases.append([width, height, channels, seed, to_width, to_height, name, fixture_hash(out.tobytes())])
    return cases


def planes():
    """The whole of both processors on images that need no policy but a size."""
    cases = []
    for width, height, to_width, to_height, seed in [(61, 47, 56, 84, 1), (30, 90, 28, 28, 2), (56, 28, 56, 28, 3)]:
        image = Image.fromarray(generated(width, height, 3, seed))
        for name, processor in {"bicubic": PixtralImageProcessorPil(), "bilinear": Gemma3ImageProcessorPil()}.items():
            resized = image.resize((to_width, to_height), FILTERS[name])
            # Both processors resize by policies of their own; here the size is given, and the rest is theirs.
            options = dict(do_resize=False, return_tensors="np")
            values = np.ascontiguousarray(processor(resized, **options)["pixel_values"][0], dtype=np.float32)
            assert values.shape == (3, to_height, to_width)
            padded = np.pad(values, ((0, 0), (0, 5), (0, 9)))
            cases.append({
                "width": width, "height": height, "seed": seed, "toWidth": to_width, "toHeight": to_height, "filter": name,
                "rescale": processor.rescale_factor, "mean": list(processor.image_mean),
                "deviation": list(processor.image_std), "values": fixture_hash(values.tobytes()),
                "padded": fixture_hash(padded.tobytes()), "first": [float(v) for v in values[:, 0, 0]],
            })  # fmt: skip
    return cases


def composited():
    """Every alpha over every value, composited on white."""
    value, alpha = np.meshgrid(np.arange(256), np.arange(256))
    pixels = np.stack([value, 255 - value, value ^ 0x5A, alpha], -1).astype(np.uint8)
    return fixture_hash(convert_to_rgb(Image.fromarray(pixels), return_numpy=True).tobytes())


def main():
    made = files()
    expected = {
        "made with": {"Pillow": PIL.__version__, "numpy": np.__version__},
        "files": {name: decoded(data) for name, data in sorted(made.items())},
        "resizes": resizes(),
        "planes": planes(),
        "composited": composited(),
    }
    lines = json.dumps(expected, indent=1, sort_keys=True).replace("\n   ", " ").replace("\n  ]", "]").replace("\n  }", "}")
    made["expected.json"] = (lines + "\n").encode()
    if "--check" in sys.argv:
        different = [name for name, data in made.items() if (FOLDER / name).read_bytes() != data]
        print(f"{len(made)} files, {len(different)} different", *different)
        return 1 if different else 0
    FOLDER.mkdir(exist_ok=True)
    for name, data in made.items():
        (FOLDER / name).write_bytes(data)
    print(f"{len(made)} files, {sum(map(len, made.values()))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
