#!/usr/bin/env python3
"""Records the order in which the package datasets joins several data sets.

    make_blend_fixtures.py

Writes training-data/blends.json: the numbers of samples, the weights, the seed and the stopping strategy of interleave_datasets,
and the resulting order as pairs of source and row; and random numbers of numpy's default_rng for some seeds.
"""

import json
from pathlib import Path

import numpy
from datasets import Dataset, concatenate_datasets, interleave_datasets

HERE = Path(__file__).resolve().parent
STRATEGIES = ["first_exhausted", "all_exhausted", "all_exhausted_without_replacement"]
CASES = [
    ([3, 4, 5], []), ([4, 3, 3], []), ([5, 5], []), ([1, 9], []), ([7], []), ([3, 4, 5], [0.2, 0.3, 0.5]), ([40, 30], [0.9, 0.1]),
    ([5, 2, 2, 8], [4, 1, 1, 2]), ([600, 700], [0.5, 0.5]), ([3, 3], [1e-2, 1 - 1e-2]),
]  # fmt: skip
SEEDS = [0, 42, 2**32 + 5, 2**64 - 1]


def order(counts, weights, seed, strategy):
    parts = [Dataset.from_dict({"source": [source] * count, "row": list(range(count))}) for source, count in enumerate(counts)]
    if strategy == "concatenate":
        joined = concatenate_datasets(parts)
    else:
        total = sum(weights)
        shares = [weight / total for weight in weights] or None
        joined = interleave_datasets(parts, probabilities=shares, seed=seed, stopping_strategy=strategy)
    return [[row["source"], row["row"]] for row in joined]


def main():
    blends = []
    for counts, weights in CASES:
        for strategy in STRATEGIES + ([] if weights else ["concatenate"]):
            for seed in SEEDS if weights and max(counts) < 100 else SEEDS[1:2]:
                blends.append({
                    "counts": counts, "weights": weights, "seed": str(seed), "blend": strategy,
                    "order": order(counts, weights, seed, strategy),
                })  # fmt: skip
    numbers = [{"seed": str(seed), "values": numpy.random.default_rng(seed).random(5).tolist()} for seed in SEEDS]
    text = json.dumps({"blends": blends, "numbers": numbers})
    (HERE / "training-data" / "blends.json").write_text(text + "\n")
    print(len(blends), "blends")


if __name__ == "__main__":
    main()
