"""Small files in the formats that one program writes and another does not: GIF, BMP, TIFF, and PNG with a transparent colour.

`make_image_fixtures.py` keeps the ones of `files`; `Tests/Peers/compare_images.py` reads random ones by Pillow and by Bridge.
"""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(array, bits):
    """Rows of samples of less than a byte, the first in the high bits."""
    rows = []
    for row in array.reshape(array.shape[0], -1):
        text = "".join(format(int(v), f"0{bits}b") for v in row)
        text += "0" * (-len(text) % 8)
        rows.append(bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8)))
    return rows


def png(array, depth, colour, extra=b"", interlaced=False):
    """A PNG of samples as they are, with chunks before the pixels."""
    height, width = array.shape[:2]
    rows = packed(array, depth) if depth < 8 else [row.tobytes() for row in array]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def key(*values):
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def tiff(array, photometric, bits=8, order="<", extra=(), kind=1, planar=1, tile=None, rows=None, tags=(), compress=None, big=False):
    """A TIFF file, compressed or not, in strips or tiles."""
    if array.ndim == 2:
        array = array[..., None]
    height, width, samples = array.shape
    planes = [array] if planar == 1 else [array[..., c : c + 1] for c in range(samples)]
    pieces = []
    for plane in planes:
        if tile:
            for y in range(0, height, tile):
                for x in range(0, width, tile):
                    part = np.zeros((tile, tile, plane.shape[2]), plane.dtype)
                    cut = plane[y : y + tile, x : x + tile]
                    part[: cut.shape[0], : cut.shape[1]] = cut
                    pieces.append(part)
        else:
            pieces += [plane[y : y + (rows or height)] for y in range(0, height, rows or height)]
    swapped = array.dtype.newbyteorder(order)
    blobs = [b"".join(packed(p, bits)) if bits < 8 else np.ascontiguousarray(p).astype(swapped).tobytes() for p in pieces]
    if compress == 8:
        blobs = [zlib.compress(blob) for blob in blobs]
    entries = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [bits] * samples), (259, 3, [compress or 1]), (262, 3, [photometric]),
        (277, 3, [samples]), (284, 3, [planar]), (339, 3, [kind] * samples), *tags,
    ]  # fmt: skip
    if extra:
        entries.append((338, 3, list(extra)))
    where = [(322, 4, [tile]), (323, 4, [tile])] if tile else [(278, 4, [rows or height])]
    numbers = (324, 325) if tile else (273, 279)
    entries += where + [(numbers[0], 4, [0] * len(blobs)), (numbers[1], 4, [len(b) for b in blobs])]
    entries.sort()
    size = {1: 1, 3: 2, 4: 4, 16: 8}
    code = {1: "B", 3: "H", 4: "I", 16: "Q"}
    start, width_of_entry, inline = (16, 20, 8) if big else (8, 12, 4)
    directory = (8 if big else 2) + width_of_entry * len(entries) + (8 if big else 4)
    place, outside = start + directory, {}
    for tag, kind_of, values in entries:
        if len(values) * size[kind_of] > inline:
            outside[tag] = place
            place += len(values) * size[kind_of] + len(values) * size[kind_of] % 2
    offsets = []
    for blob in blobs:
        offsets.append(place)
        place += len(blob) + len(blob) % 2
    mark = b"II" if order == "<" else b"MM"
    out = mark + (struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8))
    out += struct.pack(order + ("Q" if big else "H"), len(entries))
    rest = b""
    for tag, kind_of, values in entries:
        values = offsets if tag == numbers[0] else values
        data = struct.pack(order + code[kind_of] * len(values), *values)
        out += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind_of, len(values))
        if tag in outside:
            out += struct.pack(order + ("Q" if big else "I"), outside[tag])
            rest += data + b"\0" * (len(data) % 2)
        else:
            out += data.ljust(inline, b"\0")
    out += struct.pack(order + ("Q" if big else "I"), 0) + rest
    return out + b"".join(blob + b"\0" * (len(blob) % 2) for blob in blobs)


def colour_map(bits, seed=3):
    generator = random.Random(seed)
    return (320, 3, [generator.randrange(65536) for _ in range(3 << bits)])


def bmp(array, bits, palette=(), header=40, masks=None, top_down=False, compression=None, data=None, colours=0):
    """A bitmap of samples, or of data that is packed already."""
    height, width = array.shape[:2]
    if data is None:
        rows = packed(array, bits) if bits < 8 else [row.tobytes() for row in array]
        rows = [row + b"\0" * (-len(row) % 4) for row in rows]
        data = b"".join(rows if top_down else rows[::-1])
    entry = 3 if header == 12 else 4
    table = b"".join(bytes(c[::-1]) + b"\0" * (entry - 3) for c in palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        kind = 3 if masks and compression is None else compression or 0
        signed = -height if top_down else height
        info = struct.pack("<IiiHHIIiiII", header, width, signed, 1, bits, kind, len(data), 0, 0, colours, 0)
        if masks:
            table = struct.pack("<" + "I" * len(masks), *masks)[: max(12, header - 40)] + table
        if header > 40:
            info += table[: header - 40].ljust(header - 40, b"\0") if masks else b"\0" * (header - 40)
            table = b"" if masks else table
    offset = 14 + len(info) + len(table)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + info + table + data


def runs(array, half=False):
    """Indices as runs, of which some are written out, with a jump and an early end of a row."""
    out = b""
    for number, row in enumerate(array[::-1]):
        x = 0
        while x < len(row):
            length = 1
            while x + length < len(row) and row[x + length] == row[x] and length < 200:
                length += 1
            if half:
                out += bytes([length, int(row[x]) << 4 | int(row[x])])
            elif length < 3 and x + 4 <= len(row):
                length = 4
                out += bytes([0, 4]) + bytes(int(v) for v in row[x : x + 4])
            else:
                out += bytes([length, int(row[x])])
            x += length
        out += b"\0\0"
    return out + b"\0\1"


def files(picture):
    """One file of each kind."""
    rgb, rgba = Image.fromarray(picture(37, 29)), Image.fromarray(picture(37, 29, 4))
    grey, few = rgb.convert("L"), rgb.quantize(12)
    indices, levels = np.array(few), np.array(grey)
    made = {}
    # A transparent colour in a PNG.
    made["key-grey.png"] = png(levels, 8, 0, key(int(levels[3, 3])))
    made["key-grey-300.png"] = png(np.maximum(levels, 250), 8, 0, key(300))
    made["key-grey-2bit.png"] = png(levels >> 6, 2, 0, key(2))
    made["key-grey-2bit-85.png"] = png(levels >> 6, 2, 0, key(85))
    made["key-grey-4bit-0.png"] = png(levels >> 4, 4, 0, key(0))
    made["key-bit-0.png"] = png(levels >> 7, 1, 0, key(0))
    made["key-bit-1.png"] = png(levels >> 7, 1, 0, key(1))
    deep = (levels.astype(">u2") * 3 - 40).astype(">u2")
    made["key-grey-16bit.png"] = png(deep, 16, 0, key(256))
    made["key-grey-16bit-5.png"] = png(np.minimum(deep, 9).astype(">u2"), 16, 0, key(5))
    wide = np.repeat(picture(37, 29).astype(">u2") * 257, 1, 2)
    made["key-rgb-16bit.png"] = png(wide.astype(">u2"), 16, 2, key(250, 10 * 257, 30))
    made["key-rgb-16bit-low.png"] = png(wide.astype(">u2"), 16, 2, key(5 << 8 | 250, 7 << 8 | 10, 30))
    table = chunk(b"PLTE", bytes(few.getpalette()[:36]))
    made["key-palette.png"] = png(indices, 8, 3, table + chunk(b"tRNS", b"\xff\xff\0\xff"))
    same = bytearray(few.getpalette()[:36])
    same[15:18] = same[6:9]
    made["key-palette-twice.png"] = png(indices, 8, 3, chunk(b"PLTE", bytes(same)) + chunk(b"tRNS", b"\xff\xff\0"))
    made["key-palette-two.png"] = png(indices, 8, 3, table + chunk(b"tRNS", b"\xff\0\0"))
    made["palette-too-short.png"] = png(indices, 8, 3, chunk(b"PLTE", bytes(same[:15])))
    made["palette-opaque.png"] = png(indices, 8, 3, table + chunk(b"tRNS", b"\xff\xff"))
    # GIF.
    made["palette.gif"] = saved(few, "GIF", interlace=0)
    made["interlaced.gif"] = saved(rgb.quantize(200), "GIF", interlace=1)
    made["grey.gif"] = saved(grey, "GIF")
    made["grey-key.gif"] = saved(grey, "GIF", transparency=int(levels[3, 3]))
    made["key.gif"] = saved(few, "GIF", transparency=2)
    made["animated.gif"] = saved(few, "GIF", save_all=True, append_images=[few.transpose(Image.Transpose.FLIP_TOP_BOTTOM)], duration=50)
    for name, transparent in [("offset.gif", False), ("offset-key.gif", True)]:
        data = bytearray(saved(few, "GIF", **({"transparency": 2} if transparent else {})))
        start = data.index(b"," + struct.pack("<HHHH", 0, 0, 37, 29))
        data[start + 1 : start + 5] = struct.pack("<HH", 3, 5)
        if transparent:
            data[6:10] = struct.pack("<HH", 50, 20)
        made[name] = bytes(data)
    made["no-end.gif"] = made["palette.gif"][:-1]
    # BMP.
    table = [tuple(few.getpalette()[3 * i : 3 * i + 3]) for i in range(12)]
    made["rgb.bmp"] = saved(rgb, "BMP")
    made["grey.bmp"] = saved(grey, "BMP")
    made["palette.bmp"] = saved(few, "BMP")
    made["bilevel.bmp"] = saved(rgb.convert("1"), "BMP")
    made["rgba.bmp"] = saved(rgba, "BMP")
    made["palette-4bit.bmp"] = bmp(indices, 4, table + [(1, 2, 3)] * 4)
    made["palette-1bit.bmp"] = bmp(levels >> 7, 1, [(200, 10, 20), (5, 100, 250)])
    made["few-colours.bmp"] = bmp(indices, 8, table, colours=12)
    made["os2.bmp"] = bmp(indices, 4, table + [(1, 2, 3)] * 4, header=12)
    bgr = np.ascontiguousarray(np.array(rgb)[..., ::-1])
    made["os2-rgb.bmp"] = bmp(bgr, 24, header=12)
    made["top-down.bmp"] = bmp(bgr, 24, top_down=True)
    five = (np.arange(37 * 29) * 97 % 65536).astype("<u2").reshape(29, 37)
    made["555.bmp"] = bmp(five, 16)
    made["565.bmp"] = bmp(five, 16, masks=(0xF800, 0x7E0, 0x1F))
    made["555-masks.bmp"] = bmp(five, 16, masks=(0x7C00, 0x3E0, 0x1F))
    four = np.array(rgba)
    made["bgrx.bmp"] = bmp(four, 32)
    for name, masks in {
        "bgra": (0xFF0000, 0xFF00, 0xFF, 0xFF000000), "rgba": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        "abgr": (0xFF000000, 0xFF0000, 0xFF00, 0xFF), "bgar": (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        "xbgr": (0xFF000000, 0xFF0000, 0xFF00, 0), "bgxr": (0xFF000000, 0xFF00, 0xFF, 0), "no": (0, 0, 0, 0),
    }.items():  # fmt: skip
        made[f"{name}-masks.bmp"] = bmp(four, 32, masks=masks, header=56 if name != "rgba" else 124)
    made["masks-behind.bmp"] = bmp(four, 32, masks=(0xFF0000, 0xFF00, 0xFF))
    made["runs.bmp"] = bmp(indices, 8, table, compression=1, data=runs(indices), colours=12)
    made["half-runs.bmp"] = bmp(indices, 4, table, compression=2, data=runs(indices, half=True), colours=12)
    jump = b"\5\3\0\0" + b"\0\2\4\1" + b"\6\2\0\0" + b"\x0c\4" + b"\0\1"
    made["jump.bmp"] = bmp(np.zeros((4, 12)), 8, table, compression=1, data=jump, colours=12)
    # TIFF.
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK"):
        image = {"P": few, "RGBA": rgba, "LA": rgba.convert("LA")}.get(mode) or rgb.convert(mode)
        made[f"{mode.lower()}.tif"] = saved(image, "TIFF")
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        made[f"{compression}.tif"] = saved(rgb, "TIFF", compression=compression)
    for compression in ("group3", "group4", "tiff_ccitt"):
        made[f"{compression}.tif"] = saved(rgb.convert("1"), "TIFF", compression=compression)
    made["orientation-6.tif"] = saved(rgb, "TIFF", tiffinfo={274: 6})
    three, alpha = np.array(rgb), np.array(rgba)
    for order, name in (("<", "little"), (">", "big")):
        made[f"grey-16bit-{name}.tif"] = tiff(deep.astype(np.uint16), 1, 16, order)
        made[f"rgb-16bit-{name}.tif"] = tiff(three.astype(np.uint16) * 251, 2, 16, order)
        made[f"rgba-16bit-{name}.tif"] = tiff(alpha.astype(np.uint16) * 251, 2, 16, order, extra=(2,))
        made[f"signed-16bit-{name}.tif"] = tiff(levels.astype(np.int16) * 3 - 200, 1, 16, order, kind=2)
        made[f"float-{name}.tif"] = tiff(levels.astype(np.float32) * 1.7 - 60.5, 1, 32, order, kind=3)
        made[f"signed-32bit-{name}.tif"] = tiff(levels.astype(np.int32) * 3 - 200, 1, 32, order, kind=2)
    for bits in (1, 2, 4):
        made[f"black-{bits}bit.tif"] = tiff(levels >> 8 - bits, 1, bits)
        made[f"white-{bits}bit.tif"] = tiff(levels >> 8 - bits, 0, bits, ">")
        made[f"palette-{bits}bit.tif"] = tiff(levels >> 8 - bits, 3, bits, tags=(colour_map(bits),))
    made["white-8bit.tif"] = tiff(levels, 0)
    made["palette-8bit.tif"] = tiff(levels, 3, tags=(colour_map(8),), rows=5)
    made["rgbx.tif"] = tiff(alpha, 2, extra=(0,))
    made["rgba-unsaid.tif"] = tiff(alpha, 2)
    made["multiplied.tif"] = tiff(alpha, 2, extra=(1,))
    made["multiplied-16bit.tif"] = tiff(alpha.astype(np.uint16) * 251, 2, 16, extra=(1,))
    made["grey-and-more.tif"] = tiff(np.array(rgba.convert("LA")), 1, extra=(0,))
    made["planes.tif"] = tiff(three, 2, planar=2, rows=7, compress=8)
    made["tiles.tif"] = tiff(three, 2, tile=16, compress=8)
    made["tiles-grey.tif"] = tiff(levels, 1, tile=16)
    made["big.tif"] = tiff(three, 2, big=True, rows=4)
    made["deflate-strips.tif"] = tiff(three, 2, rows=3, compress=8)
    made["two-pages.tif"] = saved(rgb, "TIFF", save_all=True, append_images=[grey])
    return made
