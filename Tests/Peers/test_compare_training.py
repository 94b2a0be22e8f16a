"""What the comparison of training runs lets pass and what it does not."""

import unittest

import torch
from compare_training import far, step_problems
from training_peer import learning_rate


def run(**changes):
    steps = []
    for number in range(1, 4):
        steps.append({"lm_loss": 6.0 / number, "grad_norm": 2.0, "learning_rate": 1e-3, "trained_tokens": 40})
        steps[-1] |= {"iteration": number}
    for key, value in changes.items():
        steps[1][key] = value
    return steps


class StepTests(unittest.TestCase):
    def test_the_same_run_passes(self):
        self.assertEqual(step_problems(run(), run(lm_loss=3.0 * (1 + 9e-5), grad_norm=2.0038)), [])

    def test_each_number_is_looked_at(self):
        for key, value in (
            ("lm_loss", 3.0 * (1 + 2e-4)), ("lm_loss", float("nan")), ("grad_norm", 2.005), ("learning_rate", 1.01e-3),
            ("trained_tokens", 41),
        ):  # fmt: skip
            problems = step_problems(run(), run(**{key: value}))
            self.assertEqual(len(problems), 1, key)
            self.assertIn(f"{key} of step 2", problems[0])

    def test_a_missing_step_is_a_problem(self):
        self.assertEqual(len(step_problems(run(), run()[:2])), 1)
        self.assertEqual(len(step_problems(run(), [*run()[:2], run()[1]])), 1)


class GradientTests(unittest.TestCase):
    def test_a_gradient_is_measured_by_its_own_largest_element(self):
        expected = torch.tensor([1e-3, -4e-3])
        self.assertAlmostEqual(far(expected, expected + 4e-7), 1e-4, places=6)

    def test_what_is_zero_but_for_rounding_is_measured_by_the_floor(self):
        self.assertLess(far(torch.tensor([1e-12]), torch.tensor([-3e-12]), floor=1e-5), 1e-5)

    def test_a_nan_is_far(self):
        self.assertFalse(far(torch.tensor([1.0]), torch.tensor([float("nan")])) <= 1)


class ScheduleTests(unittest.TestCase):
    def test_the_rate_rises_to_the_highest_and_falls_to_a_tenth(self):
        rates = [learning_rate(step, 10, 2e-3) for step in range(1, 11)]
        self.assertEqual(rates[:2], [1e-3, 2e-3])
        self.assertAlmostEqual(rates[-1], 2e-4, places=15)
        self.assertEqual(sorted(rates[1:], reverse=True), rates[1:])


if __name__ == "__main__":
    unittest.main()
