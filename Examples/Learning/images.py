"""Small images of shapes with questions about them: which shape, which colour, how many, where.

An image has one to four copies of one shape in one colour. Shape, colour, count, positions, sizes and the grey of the
background are random with a seed. No image is made twice, so test images are not in the training data. Needs the standard
library only.
"""

import math
import random
import struct
import zlib

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 170, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 205, 40),
    "pink": (240, 120, 190),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "cross")
COUNTS = ("one", "two", "three", "four")
CORNERS = ("top left", "top right", "bottom left", "bottom right")
TASKS = {"shape": "Which shape?", "colour": "Which colour?", "count": "How many?", "position": "Where?"}
# The task that is not in the training data of the base model; adapters are trained on it.
WITHHELD = "count"
TRAIN_COUNT, TEST_COUNT = 3000, 150


def covers(shape, x, y):
    """Whether a shape of half-width 1 around the origin covers a point; y points down."""
    if shape == "circle":
        return x * x + y * y <= 1
    if shape == "square":
        return max(abs(x), abs(y)) <= 0.88
    if shape == "triangle":
        return -1 <= y <= 0.9 and abs(x) <= (y + 1) / 1.9
    return max(abs(x), abs(y)) <= 1 and min(abs(x), abs(y)) <= 0.34


class ShapeImage:
    """One image and the answers to its questions.

    The image has four quarters with at most one shape each. The question about the position requires a single shape.
    """

    def __init__(self, generator, side):
        self.side = side
        self.shape = generator.choice(SHAPES)
        self.colour = generator.choice(sorted(COLOURS))
        # One is more frequent, so that there are enough questions about the position.
        self.count = generator.choice((1, 1, 2, 3, 4))
        self.grey = generator.randrange(190, 250)
        self.quarters = sorted(generator.sample(range(4), self.count))
        # Position and size of a shape vary within its quarter, which is 1 wide.
        self.positions = [
            (
                quarter % 2 + 0.5 + generator.uniform(-0.1, 0.1),
                quarter // 2 + 0.5 + generator.uniform(-0.1, 0.1),
                generator.uniform(0.3, 0.4),
            )
            for quarter in self.quarters
        ]

    @property
    def tasks(self):
        """The questions that have an answer."""
        return [task for task in TASKS if task != "position" or self.count == 1]

    @property
    def key(self):
        """The key of visibly different images: all properties, with positions and sizes rounded."""
        positions = tuple((round(x * 20), round(y * 20), round(r * 50)) for x, y, r in self.positions)
        return (self.shape, self.colour, self.grey // 8, positions)

    def answer(self, question):
        """The answer to a question of TASKS."""
        return {
            "shape": self.shape,
            "colour": self.colour,
            "count": COUNTS[self.count - 1],
            "position": CORNERS[self.quarters[0]],
        }[question]

    def png(self):
        """The image as a PNG file of 8-bit RGB, with four samples to a pixel so that edges are smooth."""
        side, cell = self.side, self.side / 2
        ink = COLOURS[self.colour]
        rows = [[[self.grey] * 3 for _ in range(side)] for _ in range(side)]
        for cx, cy, radius in self.positions:
            cx, cy, radius = cx * cell, cy * cell, radius * cell
            for y in range(max(0, math.floor(cy - radius)), min(side, math.ceil(cy + radius) + 1)):
                for x in range(max(0, math.floor(cx - radius)), min(side, math.ceil(cx + radius) + 1)):
                    share = sum(
                        covers(self.shape, (x + dx - cx) / radius, (y + dy - cy) / radius)
                        for dx in (0.25, 0.75)
                        for dy in (0.25, 0.75)
                    ) / 4
                    if share:
                        rows[y][x] = [round(old + (new - old) * share) for old, new in zip(rows[y][x], ink)]
        raw = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in rows)

        def chunk(kind, data):
            return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 6)) + chunk(b"IEND", b"")


def images(count, side, seed):
    """A list of different images."""
    generator = random.Random(seed)
    seen, found = set(), []
    while len(found) < count:
        image = ShapeImage(generator, side)
        if image.key not in seen:
            seen.add(image.key)
            found.append(image)
    return found


def rows(directory, side, seed):
    """Writes images to a directory, and returns two functions that make rows of questions about them.

    Both take a list of tasks. The first returns training rows, each with all questions about one image in random order.
    The second returns test rows, each with one question about an image that is not in a training row.
    """
    drawn = images(TRAIN_COUNT + TEST_COUNT, side, seed)
    (directory / "images").mkdir()
    for number, image in enumerate(drawn):
        (directory / f"images/{number}.png").write_bytes(image.png())

    def row(number, tasks, **others):
        turns = []
        for task in tasks:
            marker = "" if turns else "<image>"
            turns.append({"role": "user", "content": marker + TASKS[task]})
            turns.append({"role": "assistant", "content": drawn[number].answer(task)})
        return {"messages": turns, "images": [f"images/{number}.png"], **others}

    def training(tasks):
        generator = random.Random(seed + 1)
        shuffled = [generator.sample(tasks, len(tasks)) for _ in range(TRAIN_COUNT)]
        return [row(number, [task for task in shuffled[number] if task in drawn[number].tasks]) for number in range(TRAIN_COUNT)]

    def test(tasks):
        numbers = range(TRAIN_COUNT, TRAIN_COUNT + TEST_COUNT)
        return [row(number, [task], category=task) for number in numbers for task in tasks if task in drawn[number].tasks]

    return training, test
