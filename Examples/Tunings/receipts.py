"""Draws receipts, and makes rows for training of them.

    receipts.py draw DIRECTORY [--count N] [--seed N]     # NNNN.png, and NNNN.json with what is on it
    receipts.py rows DIRECTORY --test N                   # train.jsonl, and test.jsonl with the last N receipts

`draw` stands for the scans and annotations that a data set has; `rows` is what such a data set needs to be trained on. Needs the
standard library of Python 3.9 or later.
"""

import argparse
import json
import pathlib
import random
import struct
import zlib

# Letters of three by five points, a row a digit of five bits.
GLYPHS = {
    "A": "25755", "B": "65656", "C": "34443", "D": "65556", "E": "74647", "F": "74644", "G": "34553", "H": "55755",
    "I": "72227", "J": "11152", "K": "55655", "L": "44447", "M": "57755", "N": "65555", "O": "25552", "P": "65644",
    "Q": "25573", "R": "65655", "S": "34216", "T": "72222", "U": "55557", "V": "55552", "W": "55775", "X": "55255",
    "Y": "55222", "Z": "71247", "0": "75557", "1": "26227", "2": "71747", "3": "71717", "4": "55711", "5": "74717",
    "6": "74757", "7": "71122", "8": "75757", "9": "75717", ".": "00002", " ": "00000",
}  # fmt: skip
SIDE = 96
COMPANIES = ("CORNER CAFE", "BOOK NOOK", "GREEN MARKET", "CITY TOOLS")
ITEMS = ("TEA", "BREAD", "SOUP", "PENCIL", "LAMP", "ROPE", "MAP", "APPLE")
QUESTION = "<image>What is on this receipt? Answer in JSON."


def png(lines):
    """An image with lines of text in two sizes of dots: the first line is on top, the others follow with a gap."""
    pixels = [[250] * SIDE for _ in range(SIDE)]
    for number, line in enumerate(lines):
        top = 5 + number * 15
        for column, letter in enumerate(line):
            for y, bits in enumerate(GLYPHS[letter]):
                for x in range(3):
                    if int(bits) >> (2 - x) & 1:
                        for down in (0, 1):
                            pixels[top + 2 * y + down][4 + column * 7 + 2 * x] = 20
                            pixels[top + 2 * y + down][5 + column * 7 + 2 * x] = 20
    raw = b"".join(b"\0" + bytes(row) for row in pixels)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def draw(directory, count, seed):
    """Writes images and their annotations."""
    directory.mkdir(parents=True, exist_ok=True)
    generator = random.Random(seed)
    for number in range(count):
        items = [(name, generator.randrange(100, 2000)) for name in generator.sample(ITEMS, generator.randint(1, 3))]
        company, total = generator.choice(COMPANIES), sum(price for _, price in items)
        amount = "{0:d}.{1:02d}".format
        lines = [company, *(f"{name[:6]:6} {amount(*divmod(price, 100)):>5}" for name, price in items)]
        lines.append(f"TOTAL  {amount(*divmod(total, 100)):>5}")
        (directory / f"{number:04}.png").write_bytes(png(lines))
        annotation = {
            "company": company,
            "items": [{"name": name, "price": amount(*divmod(price, 100))} for name, price in items],
            "total": amount(*divmod(total, 100)),
        }
        (directory / f"{number:04}.json").write_text(json.dumps(annotation) + "\n")


def rows(directory, test):
    """Writes a row for each image; its answer is the annotation as JSON without spaces."""
    made = []
    for path in sorted(directory.glob("*.json")):
        answer = json.dumps(json.loads(path.read_text()), separators=(",", ":"))
        image = f"{directory.name}/{path.stem}.png"
        messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": answer}]
        made.append(json.dumps({"messages": messages, "images": [image]}) + "\n")
    (directory.parent / "train.jsonl").write_text("".join(made[:-test]))
    (directory.parent / "test.jsonl").write_text("".join(made[-test:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["draw", "rows"])
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--test", type=int, default=20)
    options = parser.parse_args()
    if options.step == "draw":
        draw(options.directory, options.count, options.seed)
    else:
        rows(options.directory, options.test)


if __name__ == "__main__":
    main()
