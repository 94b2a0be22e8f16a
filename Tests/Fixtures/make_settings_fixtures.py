"""Records what transformers computes from settings: rotary frequencies, and logits that settings of generation change.

    ATEN_CPU_CAPABILITY=default python Tests/Fixtures/make_settings_fixtures.py

(transformers and torch as in Tests/Peers/requirements.txt.) Writes reference/rotary.json and reference/logits.json. The
environment variable makes torch take its scalar code, which rounds powers correctly; its vector code differs from that
in the last bit of about one power in a hundred, and AVX2 and AVX-512 differ from each other.
"""

import json
import os
from pathlib import Path

import torch
import transformers
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS
from transformers.models.mistral.modeling_mistral import MistralRotaryEmbedding

HERE = Path(__file__).parent
VOCABULARY, PROMPT = 24, 5

SCALINGS = [
    None,
    {"rope_type": "linear", "factor": 3.7},
    {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 16384, "beta_fast": 32.0, "beta_slow": 1.0,
     "mscale": 1.0, "mscale_all_dim": 1.0},
    {"rope_type": "yarn", "factor": 5.0, "original_max_position_embeddings": 96, "beta_fast": 7.0, "beta_slow": 0.6,
     "mscale": 0.9, "mscale_all_dim": 0.7},
    {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048, "truncate": False},
    {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 512, "low_freq_factor": 1.0,
     "high_freq_factor": 4.0},
]  # fmt: skip


def rotary():
    cases = []
    for base in [10_000.0, 1_000_000.0, 90_000.0]:
        for width in [10, 64, 128]:
            for scaling in SCALINGS:
                rope = dict(scaling or {"rope_type": "default"}, rope_theta=base)
                config = transformers.MistralConfig(
                    head_dim=width, num_attention_heads=4, hidden_size=64, rope_parameters=rope, num_hidden_layers=1
                )
                kind = config.rope_parameters["rope_type"]
                make = ROPE_INIT_FUNCTIONS.get(kind, MistralRotaryEmbedding.compute_default_rope_parameters)
                frequencies, factor = make(config)
                cases.append({
                    "rope_scaling": {key: value for key, value in rope.items()},
                    "width": width,
                    "frequencies": frequencies.view(torch.int32).tolist(),
                    "factor": factor,
                })  # fmt: skip
    return cases


#: Settings, and how many tokens have been generated.
SETTINGS = [
    ({"repetition_penalty": 1.7}, 3),
    ({"no_repeat_ngram_size": 1}, 3),
    ({"no_repeat_ngram_size": 2}, 3),
    ({"suppress_tokens": [3, 9, 400]}, 2),
    ({"begin_suppress_tokens": [3, 9]}, 0),
    ({"begin_suppress_tokens": [3, 9]}, 1),
    ({"bad_words_ids": [[4], [2, 7, 11], [7, 5], [1]], "eos_token_id": [1]}, 3),
    ({"min_new_tokens": 3, "eos_token_id": [1, 6]}, 2),
    ({"min_new_tokens": 3, "eos_token_id": [1, 6]}, 3),
    ({"min_length": 9, "eos_token_id": 1}, 3),
    ({"min_length": 9, "eos_token_id": 1}, 4),
    ({"forced_eos_token_id": [7, 8]}, 7),
    ({"forced_eos_token_id": [7, 8]}, 6),
    ({"remove_invalid_values": True, "suppress_tokens": [2]}, 1),
    ({"exponential_decay_length_penalty": [2, 1.5], "eos_token_id": [1, 6]}, 5),
    ({"exponential_decay_length_penalty": [2, 1.5], "eos_token_id": [1, 6]}, 2),
    ({"sequence_bias": [[[4], 2.5], [[2, 7, 11], -3.0], [[7, 5], 4.0]]}, 3),
    ({"repetition_penalty": 0.8, "sequence_bias": [[[7], 9.0]], "no_repeat_ngram_size": 3, "suppress_tokens": [11]}, 4),
]
MAX_NEW_TOKENS = 8


def logits():
    from transformers import MistralConfig, MistralForCausalLM

    config = MistralConfig(
        vocab_size=VOCABULARY, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1,
    )  # fmt: skip
    model = MistralForCausalLM(config)
    generator = torch.Generator().manual_seed(11)
    cases = []
    for settings, generated in SETTINGS:
        sequence = torch.tensor([[5, 2, 7, 5, 2] + [7, 5, 2, 7, 5, 2, 7][:generated]])
        scores = torch.randn(1, VOCABULARY, generator=generator) * 3
        meant = transformers.GenerationConfig(**settings)
        meant.max_length = PROMPT + MAX_NEW_TOKENS
        eos = settings.get("eos_token_id")
        meant._eos_token_tensor = None if eos is None else torch.tensor([eos] if isinstance(eos, int) else eos)
        processors = model._get_logits_processor(meant, input_ids_seq_length=PROMPT)
        cases.append({
            "settings": settings,
            "sequence": sequence[0].tolist(),
            "scores": scores[0].tolist(),
            # JSON has no infinity: null stands for the one below zero.
            "expected": [None if v == float("-inf") else v for v in processors(sequence, scores)[0].tolist()],
        })  # fmt: skip
    return {"prompt_length": PROMPT, "max_new_tokens": MAX_NEW_TOKENS, "cases": cases}


if __name__ == "__main__":
    assert os.environ.get("ATEN_CPU_CAPABILITY") == "default", __doc__
    for name, value in [("rotary", rotary()), ("logits", logits())]:
        (HERE / "reference" / f"{name}.json").write_text(json.dumps(value) + "\n")
