"""That check_export sees what it is there to see. Run: python -m unittest discover Tests/Peers"""

import shutil
import tempfile
import unittest
from pathlib import Path

import torch
from check_export import check, expected_tensors
from checkpoints import dequantise, read_json, read_tensors, weight_files, write_json
from safetensors.torch import load_file, save_file

FIXTURES = Path(__file__).resolve().parent.parent / "Fixtures" / "checkpoints"


class CheckExport(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)

    def problems(self, name, edit=None, dtype=None):
        """What check says about a copy of a fixture after `edit` had its first shard with an up_proj."""
        copy = Path(self.scratch.name) / name
        shutil.copytree(FIXTURES / name, copy)
        for file in weight_files(copy):
            tensors = load_file(file)
            names = [key for key in tensors if key.endswith("up_proj.weight")]
            if edit and names:
                edit(tensors, names[0])
                save_file(tensors, file, metadata={"format": "pt"})
                break
        return check(FIXTURES / name, copy, dtype)

    def test_a_copy_is_its_source(self):
        for name in ("mistral-tied", "ministral3-untied", "gemma3-452-names"):
            self.assertEqual(self.problems(name), [])

    def test_one_wrong_bit_is_seen(self):
        def flip(tensors, name):
            tensors[name].view(torch.uint8)[0, 0] ^= 1

        problems = self.problems("mistral", flip)
        self.assertIn("1 of 2448 values differ", problems[0])
        self.assertEqual(len(problems), 2)

    def test_a_missing_tensor_is_seen(self):
        problems = self.problems("mistral", lambda tensors, name: tensors.pop(name))
        self.assertTrue(any("missing key" in problem for problem in problems))

    def test_an_extra_tensor_is_seen(self):
        problems = self.problems("gemma3", lambda tensors, name: tensors.update({"spare": torch.ones(3)}))
        self.assertTrue(any("unexpected key: spare" in problem for problem in problems))

    def test_a_wrong_shape_is_seen(self):
        def cut(tensors, name):
            tensors[name] = tensors[name][:-1].contiguous()

        problems = self.problems("mistral", cut)
        self.assertTrue(any("on disk" in problem and "shape" in problem for problem in problems))
        self.assertTrue(any("refuses" in problem for problem in problems))

    def test_a_wider_type_is_seen(self):
        problems = self.problems("mistral", lambda tensors, name: tensors.update({name: tensors[name].float()}))
        self.assertTrue(any("dtype torch.float32, expected torch.bfloat16" in problem for problem in problems))

    def test_weights_left_in_float8_are_seen(self):
        problems = self.problems("ministral3-fp8")
        self.assertTrue(any("quantization_config" in problem for problem in problems))
        self.assertTrue(any("weight_scale_inv is unexpected" in problem for problem in problems))

    def test_a_dequantised_export_passes(self):
        for name in ("ministral3-fp8", "ministral3-fp8-row", "ministral3-fp8-block"):
            export = Path(self.scratch.name) / name
            export.mkdir()
            config = read_json(FIXTURES / name / "config.json")
            del config["quantization_config"]
            write_json(export / "config.json", config)
            save_file(expected_tensors(FIXTURES / name), export / "model.safetensors", metadata={"format": "pt"})
            self.assertEqual(check(FIXTURES / name, export), [])

    def test_a_cut_block_keeps_the_size_of_a_whole_one(self):
        weight = torch.ones(130, 3).to(torch.float8_e4m3fn)
        wide = dequantise(weight, torch.tensor([[2.0], [3.0]]), [128, 128])
        self.assertEqual(wide[:, 0].tolist(), [2.0] * 128 + [3.0] * 2)

    def test_the_recorded_dequantised_rows_are_those_of_the_fixture(self):
        for name in ("ministral3-fp8", "ministral3-fp8-row", "ministral3-fp8-block"):
            record = load_file(FIXTURES.parent / "reference" / f"{name}.safetensors")
            expected = expected_tensors(FIXTURES / name)
            for key in [key for key in record if key.startswith("dequantised.")]:
                whole = expected[key.removeprefix("dequantised.")]
                self.assertTrue(torch.equal(whole[-record[key].shape[0] :], record[key]))

    def test_stored_scales_are_not_counted_as_weights(self):
        tensors = read_tensors(FIXTURES / "ministral3-fp8")
        self.assertEqual(len(tensors) - len(expected_tensors(FIXTURES / "ministral3-fp8")), 2 * 7 * 5)


if __name__ == "__main__":
    unittest.main()
