"""Small pictures of shapes with questions about them: which shape, which colour, how many, where.

A picture holds one to four copies of one shape in one colour. What tells pictures apart (shape, colour, count, places,
sizes, the grey behind them) is drawn from a seed, and no picture is made twice, so that pictures kept for the test were
never seen. Needs the standard library only.
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
# What adapters learn that nobody taught the model.
WITHHELD = "count"
LEARNT, ASKED = 3000, 150


def covers(shape, x, y):
    """Whether a shape of half-width 1 around the origin covers a point; y points down."""
    if shape == "circle":
        return x * x + y * y <= 1
    if shape == "square":
        return max(abs(x), abs(y)) <= 0.88
    if shape == "triangle":
        return -1 <= y <= 0.9 and abs(x) <= (y + 1) / 1.9
    return max(abs(x), abs(y)) <= 1 and min(abs(x), abs(y)) <= 0.34


class Picture:
    """One picture and the answers to its questions.

    The picture has four quarters with at most one shape each. Where the shape is can be asked when there is only one.
    """

    def __init__(self, chance, side):
        self.side = side
        self.shape = chance.choice(SHAPES)
        self.colour = chance.choice(sorted(COLOURS))
        # One more often than others, so that there are enough places to ask for.
        self.count = chance.choice((1, 1, 2, 3, 4))
        self.grey = chance.randrange(190, 250)
        self.quarters = sorted(chance.sample(range(4), self.count))
        # A shape wanders and changes its size a little within its quarter, which is 1 wide.
        self.places = [
            (
                quarter % 2 + 0.5 + chance.uniform(-0.1, 0.1),
                quarter // 2 + 0.5 + chance.uniform(-0.1, 0.1),
                chance.uniform(0.3, 0.4),
            )
            for quarter in self.quarters
        ]

    @property
    def tasks(self):
        """The questions that have an answer."""
        return [task for task in TASKS if task != "position" or self.count == 1]

    @property
    def key(self):
        """What makes it another picture than others, to the eye: everything but small differences of place and size."""
        places = tuple((round(x * 20), round(y * 20), round(r * 50)) for x, y, r in self.places)
        return (self.shape, self.colour, self.grey // 8, places)

    def answer(self, question):
        """The answer to a question of TASKS."""
        return {
            "shape": self.shape,
            "colour": self.colour,
            "count": COUNTS[self.count - 1],
            "position": CORNERS[self.quarters[0]],
        }[question]

    def png(self):
        """The picture as a PNG file of 8-bit RGB, with four samples to a pixel so that edges are smooth."""
        side, cell = self.side, self.side / 2
        ink = COLOURS[self.colour]
        rows = [[[self.grey] * 3 for _ in range(side)] for _ in range(side)]
        for cx, cy, radius in self.places:
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


def pictures(count, side, seed):
    """So many pictures, no two of them alike."""
    chance = random.Random(seed)
    seen, found = set(), []
    while len(found) < count:
        picture = Picture(chance, side)
        if picture.key not in seen:
            seen.add(picture.key)
            found.append(picture)
    return found


def rows(folder, side, seed):
    """Draws pictures into a folder, and gives what makes rows of questions about them.

    Returns two functions of a list of tasks. The first gives rows to learn from, each with all its questions in some order
    about one picture. The second gives rows to ask, each with one question about a picture that is in no row to learn from.
    """
    drawn = pictures(LEARNT + ASKED, side, seed)
    (folder / "pictures").mkdir()
    for number, picture in enumerate(drawn):
        (folder / f"pictures/{number}.png").write_bytes(picture.png())

    def row(number, tasks, **others):
        turns = []
        for task in tasks:
            image = "" if turns else "<image>"
            turns.append({"role": "user", "content": image + TASKS[task]})
            turns.append({"role": "assistant", "content": drawn[number].answer(task)})
        return {"messages": turns, "images": [f"pictures/{number}.png"], **others}

    def learnt(tasks):
        chance = random.Random(seed + 1)
        shuffled = [chance.sample(tasks, len(tasks)) for _ in range(LEARNT)]
        return [row(number, [task for task in shuffled[number] if task in drawn[number].tasks]) for number in range(LEARNT)]

    def asked(tasks):
        numbers = range(LEARNT, LEARNT + ASKED)
        return [row(number, [task], category=task) for number in numbers for task in tasks if task in drawn[number].tasks]

    return learnt, asked
