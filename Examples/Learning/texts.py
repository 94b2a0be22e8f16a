"""Short strings of digits with tasks: reverse, increase each, sort.

Needs the standard library only.
"""

import random

TASKS = ["reverse", "increase", "sort"]
# The task that is not in the training data of the base model; adapters are trained on it.
WITHHELD = "sort"
DIGITS = 5
TRAIN_COUNT, TEST_COUNT = 12000, 150


def answer(task, digits):
    """The answer to a task."""
    if task == "reverse":
        return digits[::-1]
    if task == "increase":
        # Each digit separately, 9 becomes 0.
        return "".join(str((int(digit) + 1) % 10) for digit in digits)
    return "".join(sorted(digits))


def rows(directory, side, seed):
    """Returns two functions of a list of tasks, for training rows and for test rows.

    The strings of test rows are not in training rows.
    """
    generator = random.Random(seed)
    numbers = generator.sample(range(10**DIGITS), TRAIN_COUNT + TEST_COUNT)
    strings = [f"{number:0{DIGITS}}" for number in numbers]

    def row(task, digits, **others):
        question = {"role": "user", "content": f"{task} {digits}"}
        return {"messages": [question, {"role": "assistant", "content": answer(task, digits)}], **others}

    def training(tasks):
        return [row(tasks[index % len(tasks)], digits) for index, digits in enumerate(strings[:TRAIN_COUNT])]

    def test(tasks):
        return [row(task, digits, category=task) for digits in strings[TRAIN_COUNT:] for task in tasks]

    return training, test
