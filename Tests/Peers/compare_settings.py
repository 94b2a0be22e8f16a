#!/usr/bin/env python3
"""Accounts for every setting: keys of transformers' classes have a verdict, and changed settings give transformers' logits.

    compare_settings.py [BRIDGE] [--seed N] [--only TEXT ...]

Verdicts: the keys that the installed classes of configurations, of generation and of processors can hold are looked up
in 'bridge plugins describe FAMILY --settings'. A key that has none fails.

Values: a setting of a toy's configuration is changed, transformers loads the changed folder as AutoModel does, and the
float32 logits must agree to 1e-4 of the largest. Where the second column says a word instead, the bridge must refuse the
folder with an error that names it, because it would compute something else; a third answer fails in either case.

Choices: greedy tokens of 'bridge generate' with a generation_config.json must be those of transformers' generate.
"""

import dataclasses
import importlib
import json

import torch
import transformers
from checkpoints import read_json, write_json
from random_models import text_inputs
from runner import Failure, Runner, main
from safetensors.torch import load_file, save_file

BOUND = 1e-4
SAME = ""

#: What transformers' classes hold, by family, file and the key before theirs.
CONFIGURATIONS = {
    "mistral": {"": ["MistralConfig", "MinistralConfig"]},
    "ministral3": {
        "": ["Mistral3Config"],
        "text_config.": ["MistralConfig", "MinistralConfig", "Ministral3Config"],
        "vision_config.": ["PixtralVisionConfig"],
    },
    "gemma3": {
        "": ["Gemma3Config"],
        "text_config.": ["Gemma3TextConfig"],
        "vision_config.": ["SiglipVisionConfig"],
    },
    "gemma3_text": {"": ["Gemma3TextConfig"]},
}
#: Objects whose keys are looked at one by one.
OBJECTS = {"rope_parameters", "text_config", "vision_config"}
PROCESSORS = {
    "ministral3": ("PixtralProcessor", "transformers.models.pixtral.image_processing_pil_pixtral"),
    "gemma3": ("Gemma3Processor", "transformers.models.gemma3.image_processing_pil_gemma3"),
}

YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 32, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "factor": 3.0}
TYPES = ["full_attention", "sliding_attention"]


def types(count):
    return (TYPES * count)[:count]


#: (family, changes of config.json by key path, what must come of it). DROP removes a key.
DROP = object()
CHANGES = [
    ("mistral", {"sliding_window": 8, "layer_types": types(5)}, SAME),
    ("mistral", {"sliding_window": 8, "layer_types": None}, SAME),
    ("mistral", {"sliding_window": 8, "layer_types": ["attention", "sliding_attention"] * 2 + ["attention"]}, SAME),
    ("mistral", {"layer_types": ["chunked_attention"] * 5}, "layer_types"),
    ("mistral", {"architectures": ["MinistralForCausalLM"], "model_type": "ministral", "layer_types": types(5)}, SAME),
    ("mistral", {"architectures": ["MinistralForCausalLM"], "model_type": "ministral", "head_dim": DROP,
                 "hidden_size": 48, "num_attention_heads": 12, "num_key_value_heads": 4}, "shape"),
    ("mistral", {"model_type": "llama"}, "model_type"),
    ("mistral", {"rope_scaling": {**LINEAR, "rope_theta": 500.0}}, SAME),
    ("mistral", {"rope_parameters": {**LINEAR, "rope_theta": 500.0}}, SAME),
    ("mistral", {"rope_parameters": {**LINEAR, "rope_theta": 500.0}, "rope_scaling": YARN}, SAME),
    ("mistral", {"rope_parameters": {**LINEAR, "rope_theta": 500.0}, "rope_scaling": {}}, SAME),
    ("mistral", {"rope_scaling": {"type": "linear", "factor": 3.0}}, SAME),
    ("mistral", {"rope_scaling": None}, SAME),
    ("mistral", {"rope_theta": DROP}, SAME),
    ("mistral", {"rope_scaling": YARN}, SAME),
    ("mistral", {"rope_scaling": YARN, "original_max_position_embeddings": 64}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "truncate": None}}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "truncate": False}}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "beta_fast": 0, "beta_slow": 0}}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "beta_fast": 3, "beta_slow": None}}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "mscale": 0, "mscale_all_dim": 0.7}}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "mscale": 0.5, "mscale_all_dim": 0.7}}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "attention_factor": 0.6}}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "attention_factor": None}}, SAME),
    ("mistral", {"rope_scaling": {**YARN, "factor": None}}, SAME),
    ("mistral", {"rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "max_position_embeddings": 128}, SAME),
    ("mistral", {"rope_scaling": LLAMA3}, SAME),
    ("mistral", {"rope_scaling": {**LLAMA3, "original_max_position_embeddings": 64}}, SAME),
    ("mistral", {"rope_scaling": {**LLAMA3, "factor": 2.0, "high_freq_factor": 16.0}}, SAME),
    ("mistral", {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, "dynamic"),
    ("mistral", {"rope_scaling": {**LINEAR, "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    ("mistral", {"partial_rotary_factor": 0.5}, SAME),
    ("mistral", {"is_causal": False}, "is_causal"),
    ("mistral", {"is_causal": True}, SAME),
    ("mistral", {"per_layer_config": {"1": {"sliding_window": 4}}}, "per_layer_config"),
    ("mistral", {"num_key_value_heads": None}, "shape"),
    ("mistral", {"hidden_act": "gelu"}, SAME),
    ("mistral", {"hidden_act": "gelu_new"}, SAME),
    ("mistral", {"hidden_act": "gelu_pytorch_tanh"}, SAME),
    ("mistral", {"hidden_act": "relu"}, SAME),
    ("mistral", {"hidden_act": "swish"}, SAME),
    ("mistral", {"hidden_act": "quick_gelu"}, "quick_gelu"),
    ("mistral", {"sliding_window": None}, SAME),
    ("mistral", {"attention_bias": True, "is_encoder_decoder": False, "chunk_size_feed_forward": 4}, SAME),
    ("mistral", {"rms_norm_eps": 0.3}, SAME),
    ("ministral3", {"text_config.model_type": "llama"}, "model_type"),
    ("ministral3", {"text_config.model_type": "mistral", "text_config.sliding_window": 9}, SAME),
    ("ministral3", {"text_config.model_type": "mistral", "text_config.sliding_window": 9,
                    "text_config.layer_types": types(6)}, SAME),
    ("ministral3", {"text_config.model_type": "ministral", "text_config.sliding_window": 9,
                    "text_config.layer_types": types(6)}, SAME),
    ("ministral3", {"text_config.layer_types": types(6)}, SAME),
    ("ministral3", {"text_config.rope_parameters": DROP}, SAME),
    ("ministral3", {"text_config.rope_parameters": DROP, "text_config.rope_theta": 500.0}, SAME),
    ("ministral3", {"text_config.rope_parameters": DROP, "text_config.model_type": "mistral"}, SAME),
    ("ministral3", {"text_config.rope_parameters.truncate": None}, SAME),
    ("ministral3", {"text_config.original_max_position_embeddings": 7}, SAME),
    ("ministral3", {"text_config.rope_theta": 123.0}, SAME),
    ("ministral3", {"text_config.rope_scaling": {**YARN, "llama_4_scaling_beta": 0.4, "rope_theta": 800.0}}, SAME),
    ("ministral3", {"text_config.hidden_act": "gelu"}, SAME),
    ("ministral3", {"vision_config.hidden_act": "quick_gelu"}, "quick_gelu"),
    ("ministral3", {"projector_hidden_act": "mish"}, "mish"),
    ("ministral3", {"vision_config.head_dim": 4}, "head_dim"),
    ("ministral3", {"vision_config.rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 4000.0}},
     "rope_type"),
    ("ministral3", {"text_config.is_causal": False}, "is_causal"),
    ("gemma3", {"text_config.sliding_window_pattern": 3}, SAME),
    ("gemma3", {"text_config._sliding_window_pattern": 3}, SAME),
    ("gemma3", {"text_config.rope_scaling": {"type": "linear", "factor": 8.0}}, SAME),
    ("gemma3", {"text_config.rope_scaling": DROP}, SAME),
    ("gemma3", {"text_config.rope_parameters": {
        "full_attention": {"type": "linear", "factor": 8.0}, "sliding_attention": {}}}, SAME),
    ("gemma3", {"text_config.rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 700.0},
        "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 300.0}}}, SAME),
    ("gemma3", {"text_config.rope_parameters": {"full_attention": YARN, "sliding_attention": {"rope_type": "default"},
                                                "truncate": None}, "text_config.rope_scaling": DROP}, SAME),
    ("gemma3", {"text_config.rope_scaling": {**YARN, "truncate": False}}, SAME),
    ("gemma3", {"text_config.rope_scaling": YARN, "text_config.original_max_position_embeddings": 64}, SAME),
    ("gemma3", {"text_config.rope_theta": DROP, "text_config.rope_local_base_freq": DROP}, SAME),
    ("gemma3", {"text_config.layer_types": types(7)}, SAME),
    ("gemma3", {"text_config.hidden_activation": "silu"}, SAME),
    ("gemma3", {"text_config.hidden_act": "silu"}, SAME),
    ("gemma3", {"text_config.final_logit_softcapping": 30.0}, "final_logit_softcapping"),
    ("gemma3", {"text_config.attn_logit_softcapping": 30.0}, "attn_logit_softcapping"),
    ("gemma3", {"text_config.use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ("gemma3", {"text_config.is_causal": False}, "is_causal"),
    ("gemma3", {"vision_config.hidden_act": "quick_gelu"}, "quick_gelu"),
    ("gemma3", {"vision_config.vision_use_head": True}, SAME),
    ("gemma3_text", {}, SAME),
    ("gemma3_text", {"sliding_window_pattern": 2, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, SAME),
    ("gemma3_text", {"layer_types": types(7), "query_pre_attn_scalar": 33}, SAME),
    ("gemma3_text", {"model_type": "gemma2"}, "model_type"),
]  # fmt: skip

#: generation_config.json; END stands for the token that would come first.
GENERATIONS = [
    {"repetition_penalty": 1.7},
    {"no_repeat_ngram_size": 1},
    {"no_repeat_ngram_size": 3},
    {"suppress_tokens": "END"},
    {"begin_suppress_tokens": "END"},
    {"bad_words_ids": "END"},
    {"bad_words_ids": "PAIR"},
    {"eos_token_id": "END", "min_new_tokens": 4},
    {"eos_token_id": "END", "min_length": 30},
    {"eos_token_id": "END", "bad_words_ids": "END"},
    {"forced_eos_token_id": [7]},
    {"sequence_bias": "END"},
    {"exponential_decay_length_penalty": [3, 1.5], "eos_token_id": 7},
    {"remove_invalid_values": True, "suppress_tokens": "END"},
    {"do_sample": False, "temperature": 0.2, "top_k": 3, "top_p": 0.5, "repetition_penalty": 1.3},
    {"max_new_tokens": 3},
]
TOKENS = 12


def keys_of(name):
    """The keys that a configuration of a class can hold, those of the rotary parameters among them."""
    kind = getattr(transformers, name)
    keys = {field.name for field in dataclasses.fields(kind)} | set(kind().to_dict()) | set(kind.attribute_map)
    found = keys - OBJECTS
    if "rope_parameters" in keys:
        rope = set(transformers.modeling_rope_utils.RopeParameters.__annotations__)
        layered = name == "Gemma3TextConfig"
        homes = [f"rope_parameters.{layer}." for layer in reversed(TYPES)] if layered else ["rope_parameters."]
        found |= {home + key for home in [*homes, "rope_scaling."] for key in rope}
    return found


def processor_keys(processor, module):
    """The keys of processor_config.json and of preprocessor_config.json."""
    import inspect

    arguments = inspect.signature(getattr(transformers, processor).__init__).parameters
    own = set(arguments) - {"self", "image_processor", "tokenizer", "kwargs", "args"} | {"processor_class"}
    found = importlib.import_module(module)
    kind = next(value for key, value in vars(found).items() if key.endswith("ImageProcessorPil"))
    image = set(kind.valid_kwargs.__annotations__) | set(kind().to_dict())
    for base in kind.valid_kwargs.__orig_bases__ if hasattr(kind.valid_kwargs, "__orig_bases__") else []:
        image |= set(getattr(base, "__annotations__", {}))
    return own, image


def tokenizer_keys(family):
    """The keys that tokenizer_config.json can hold: what the classes read, and what they are saved with."""
    import inspect
    import re

    base, backend = transformers.PreTrainedTokenizerBase, transformers.TokenizersBackend
    found = set(base.SPECIAL_TOKENS_ATTRIBUTES) | {"tokenizer_class", "auto_map", "init_inputs", "extra_special_tokens"}
    for function in [base.__init__, backend.__init__]:
        found |= set(re.findall(r'kwargs\.(?:pop|get|setdefault)\(\s*"(\w+)"', inspect.getsource(function)))
    for kind in [transformers.GemmaTokenizer, transformers.LlamaTokenizer]:
        found |= set(inspect.signature(kind.__init__).parameters) - {"self", "kwargs"}
    if family.startswith("gemma3"):
        found.discard("fix_mistral_regex")
    # Names with an underscore are between the classes.
    return {key for key in found if not key.startswith("_")}


class Settings(Runner):
    def verdicts(self, family):
        return json.loads(self.call("plugins", "describe", family, "--settings", "--json"))

    def complete(self, family):
        def body():
            known = self.verdicts(family)
            expected = {
                "config.json": {
                    part + key
                    for part, classes in CONFIGURATIONS[family].items()
                    for name in classes
                    for key in keys_of(name)
                },
                "generation_config.json": set(transformers.GenerationConfig().to_dict()),
                "tokenizer_config.json": tokenizer_keys(family),
            }
            if family in PROCESSORS:
                own, image = processor_keys(*PROCESSORS[family])
                expected["processor_config.json"] = own | {f"image_processor.{key}" for key in image}
                expected["preprocessor_config.json"] = image
            missing = [
                f"{file}: {key} has no verdict"
                for file, keys in expected.items()
                for key in sorted(keys - set(known.get(file, {})))
            ]
            return f"{sum(map(len, expected.values()))} keys", missing

        self.judge(f"verdicts {family}", body)

    def toy(self, family, title):
        folder = self.work / title.replace(" ", "-")
        self.call("toy", "--family", family, "--output", folder, "--dtype", "float32", "--seed", self.seed % 1000)
        return folder

    def change(self, number, family, changes, outcome):
        title = f"setting {number} {family} {describe(changes)}"

        def body():
            folder = self.toy(family, f"setting {number}")
            config = read_json(folder / "config.json")
            if changes.get("vision_config.vision_use_head"):
                # A toy with the pooling head, which the class then has.
                config["vision_config"]["vision_use_head"] = True
                write_json(folder / "config.json", config)
                model = load(folder)
                for file in folder.glob("model*"):
                    file.unlink()
                model.save_pretrained(folder)
                self.round_trip(folder)
                config = read_json(folder / "config.json")
            else:
                for path, value in changes.items():
                    put(config, path.split("."), value)
                write_json(folder / "config.json", config)
            inputs = text_inputs(self.draw(title), config, 40, 60)
            files = folder.parent / f"in-{number}.safetensors", folder.parent / f"out-{number}.safetensors"
            save_file(inputs, files[0])
            try:
                self.call(
                    "forward", "--hf-model", folder, "--inputs", files[0], "--output", files[1], "--dtype", "float32"
                )  # fmt: skip
            except Failure as failure:
                if outcome and outcome in str(failure):
                    return "refused", []
                raise
            if outcome:
                return "", [f"it is not refused; the error should name {outcome}"]
            model = load(folder)
            with torch.no_grad():
                theirs = model(**inputs, use_cache=False).logits
            far = (load_file(files[1])["logits"] - theirs).abs().max().item() / theirs.abs().max().item()
            return f"{far:.1e}", [] if far <= BOUND else [f"logits differ by {far:.2g} of the largest"]

        self.judge(title, body)

    def round_trip(self, folder):
        """A folder that comes back from Megatron byte by byte."""
        native, back = folder.parent / f"{folder.name}-m", folder.parent / f"{folder.name}-b"
        self.call("convert", "--hf-model", folder, "--megatron-path", native)
        self.call("convert", "export", "--megatron-path", native, "--hf-path", back)
        for file in sorted(folder.iterdir()):
            if file.read_bytes() != (back / file.name).read_bytes():
                raise Failure(f"{file.name} comes back changed")

    def generation(self, number, settings):
        title = f"generation {number} {json.dumps(settings)}"

        def body():
            folder = self.toy("mistral", f"generation {number}")
            model = load(folder)
            inputs = text_inputs(self.draw(title), read_json(folder / "config.json"), 12, 20)
            plain = transformers.GenerationConfig(max_new_tokens=2, do_sample=False)
            first = model.generate(**inputs, generation_config=plain)[0, -2:].tolist()
            meant = dict(settings)
            for key, value in settings.items():
                if value == "END":
                    one = {"bad_words_ids": [first[:1]], "eos_token_id": first[0],
                           "sequence_bias": [[first[:1], -5.0], [first, -6.5]]}  # fmt: skip
                    meant[key] = one.get(key, first[:1])
                if value == "PAIR":
                    meant[key] = [first]
            write_json(folder / "generation_config.json", meant)
            limit = {} if "max_new_tokens" in meant else {"max_new_tokens": TOKENS}
            if "eos_token_id" not in meant:
                model.generation_config.eos_token_id = None  # What a call does not name is taken from here.
            theirs = transformers.GenerationConfig(**meant, **limit)
            expected = model.generate(**inputs, generation_config=theirs)[0, inputs["input_ids"].shape[1] :].tolist()
            file = folder.parent / f"prompt-{number}.safetensors"
            save_file(inputs, file)
            ends = [] if "eos_token_id" in meant else ["--ignore-eos"]
            limit = [] if "max_new_tokens" in meant else ["--max-new-tokens", TOKENS]
            said = self.call(
                "generate", "--hf-model", folder, "--inputs", file, "--dtype", "float32", "--json", *limit, *ends
            )  # fmt: skip
            found = json.loads(said)["token_ids"]
            return "", [] if found == expected else [f"tokens {found}, expected {expected}"]

        self.judge(title, body)


def load(folder):
    """The model as AutoModel takes it, which may be of another class than the one that the configuration names."""
    vision = "vision_config" in read_json(folder / "config.json")
    kind = transformers.AutoModelForImageTextToText if vision else transformers.AutoModelForCausalLM
    return kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()


def put(config, path, value):
    *homes, last = path
    for home in homes:
        config = config[home]
    if value is DROP:
        config.pop(last, None)
    else:
        config[last] = value


def describe(changes):
    return json.dumps({key: "(removed)" if value is DROP else value for key, value in changes.items()})


def settings(run, _):
    for family in CONFIGURATIONS:
        run.complete(family)
    for number, (family, changes, outcome) in enumerate(CHANGES):
        run.change(number, family, changes, outcome)
    for number, meant in enumerate(GENERATIONS):
        run.generation(number, meant)


if __name__ == "__main__":
    main(__doc__, settings, make=Settings)
