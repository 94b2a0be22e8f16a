"""That compare_models sees what it is there to see. Run: python -m unittest discover Tests/Peers"""

import random
import unittest

import torch
from compare_models import bfloat16_problems, float32_problems, pooled_problems, real, token_problems
from random_models import CONFIGURATIONS, text_inputs

from fixture_cases import padded  # isort: skip


class Float32(unittest.TestCase):
    def setUp(self):
        generator = torch.Generator().manual_seed(5)
        self.inputs = {"input_ids": torch.tensor([[1, 7, 8]])}
        self.logits = torch.randn(1, 3, 11, generator=generator)

    def problems(self, found, inputs=None):
        return float32_problems(inputs or self.inputs, {"logits": self.logits}, found)

    def test_what_is_equal_passes(self):
        self.assertEqual(self.problems({"logits": self.logits.clone()}), [])

    def test_rounding_passes_and_ten_times_as_much_does_not(self):
        largest = self.logits.abs().max()
        self.assertEqual(self.problems({"logits": self.logits + 5e-5 * largest}), [])
        self.assertIn("differs by 0.0005", self.problems({"logits": self.logits + 5e-4 * largest})[0])

    def test_one_wrong_number_is_seen(self):
        self.logits[0, 1, 3] = 2.0
        wrong = self.logits.clone()
        wrong[0, 1, 3] = 2.01
        self.assertEqual(len(self.problems({"logits": wrong})), 1)

    def test_nan_and_infinity_are_seen(self):
        for bad in (float("nan"), float("inf")):
            wrong = self.logits.clone()
            wrong[0, 2, 4] = bad
            self.assertEqual(len(self.problems({"logits": wrong})), 1)

    def test_a_missing_output_and_a_wrong_shape_are_seen(self):
        self.assertIn("there is no logits", self.problems({})[0])
        self.assertIn("has the shape [1, 2, 11]", self.problems({"logits": self.logits[:, 1:]})[0])

    def test_padding_is_not_compared_and_everything_else_is(self):
        masked = self.inputs | {"attention_mask": torch.tensor([[0, 1, 1]])}
        for position, count in ((0, 0), (1, 1), (2, 1)):
            wrong = self.logits.clone()
            wrong[0, position] += 1
            self.assertEqual(len(self.problems({"logits": wrong}, masked)), count)


class Bfloat16(unittest.TestCase):
    def setUp(self):
        generator = torch.Generator().manual_seed(6)
        self.exact = torch.randn(200, 500, generator=generator)
        self.noise = [0.01 * torch.randn(200, 500, generator=generator) for _ in range(2)]

    def problems(self, ours):
        return bfloat16_problems(self.exact, self.exact + self.noise[0], ours)[0]

    def test_noise_of_the_same_size_passes(self):
        self.assertEqual(self.problems(self.exact + self.noise[1]), [])

    def test_noise_that_is_a_third_larger_is_seen(self):
        self.assertEqual(len(self.problems(self.exact + 1.33 * self.noise[1])), 2)

    def test_a_little_more_in_every_model_is_seen(self):
        self.assertEqual(pooled_problems([0.9, 1.2, 1.05, 1.1, 1.0, 1.1])[1], [])
        self.assertEqual(len(pooled_problems([1.12, 1.2, 1.05, 1.15, 1.1, 1.1])[1]), 1)

    def test_one_wrong_number_among_many_is_seen(self):
        wrong = self.exact + self.noise[1]
        wrong[100, 250] += 1
        self.assertEqual(len(self.problems(wrong)), 1)

    def test_nan_is_seen(self):
        wrong = self.exact + self.noise[1]
        wrong[100, 250] = float("nan")
        self.assertEqual(len(self.problems(wrong)), 3)


class Tokens(unittest.TestCase):
    def test_the_first_difference_is_named(self):
        self.assertEqual(token_problems([4, 5, 6], [4, 5, 6]), [])
        self.assertEqual(token_problems([4, 5, 6], [4, 7, 6]), ["greedy token 1 of 3 is [7], expected [5]"])
        self.assertEqual(token_problems([4, 5, 6], [4, 5]), ["greedy token 2 of 2 is [], expected [6]"])


class Inputs(unittest.TestCase):
    def test_padding_keeps_the_rows_and_their_positions(self):
        rows = [{"input_ids": torch.tensor([[1, 30, 31]])}, {"input_ids": torch.tensor([[1]])}]
        for side, mask in (("left", [[1, 1, 1], [0, 0, 1]]), ("right", [[1, 1, 1], [1, 0, 0]])):
            batch = padded(rows, side)
            self.assertEqual(batch["attention_mask"].tolist(), mask)
            self.assertEqual(real(batch, batch["input_ids"]).tolist(), [1, 30, 31, 1])
            self.assertEqual(real(batch, batch["position_ids"]).tolist(), [0, 1, 2, 0])

    def test_one_seed_draws_one_model(self):
        for family, make in CONFIGURATIONS.items():
            one, same, other = (make(random.Random(seed)) for seed in (3, 3, 4))
            self.assertEqual(one, same, family)
            self.assertNotEqual(one, other, family)
            inputs = [text_inputs(random.Random(seed), one)["input_ids"].tolist() for seed in (3, 3, 4)]
            self.assertEqual(inputs[0], inputs[1])
            self.assertNotEqual(inputs[0], inputs[2])


if __name__ == "__main__":
    unittest.main()
