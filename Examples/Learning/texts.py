"""Short strings of digits with something to do to them: reverse, increase each, sort.

Needs the standard library only.
"""

import random

TASKS = ["reverse", "increase", "sort"]
# What adapters learn that nobody taught the model.
WITHHELD = "sort"
DIGITS = 5
LEARNT, ASKED = 12000, 150


def answer(task, digits):
    """The answer to a task."""
    if task == "reverse":
        return digits[::-1]
    if task == "increase":
        # Each digit by itself, 9 becomes 0.
        return "".join(str((int(digit) + 1) % 10) for digit in digits)
    return "".join(sorted(digits))


def rows(folder, side, seed):
    """Gives what makes rows; the strings of the test are in no row to learn from.

    Returns two functions of a list of tasks: the rows to learn from, and the rows to ask.
    """
    chance = random.Random(seed)
    numbers = chance.sample(range(10**DIGITS), LEARNT + ASKED)
    strings = [f"{number:0{DIGITS}}" for number in numbers]

    def row(task, digits, **others):
        question = {"role": "user", "content": f"{task} {digits}"}
        return {"messages": [question, {"role": "assistant", "content": answer(task, digits)}], **others}

    def learnt(tasks):
        return [row(tasks[index % len(tasks)], digits) for index, digits in enumerate(strings[:LEARNT])]

    def asked(tasks):
        return [row(task, digits, category=task) for digits in strings[LEARNT:] for task in tasks]

    return learnt, asked
