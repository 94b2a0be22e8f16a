"""The files around the weights: tokenizer, processor, chat template, generation settings, a README."""

import json

import fixture_tokenizers as tokenizers
from checkpoints import write_json

MISTRAL_TEMPLATE = """{{- bos_token }}
{%- for message in messages %}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
        {{- raise_exception('After the optional system message, roles must alternate user/assistant.') }}
    {%- endif %}
    {%- if message['role'] == 'user' %}
        {{- '[INST] ' + message['content'] + ' [/INST]' }}
    {%- else %}
        {{- ' ' + message['content'] + eos_token }}
    {%- endif %}
{%- endfor %}
"""

MINISTRAL3_TEMPLATE = """{%- set today = strftime_now('%Y-%m-%d') if strftime_now is defined else '2026-01-02' %}
{%- set default_system_message = 'You are a careful assistant. Today is ' + today + '.' %}
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- if messages[0]['content'] is string %}
        {%- set system_message = messages[0]['content'] %}
    {%- else %}
        {%- set system_message = messages[0]['content'][0]['text'] %}
    {%- endif %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set system_message = default_system_message %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- '[SYSTEM_PROMPT]' + system_message + '[/SYSTEM_PROMPT]' }}
{%- for message in loop_messages %}
    {%- if message['role'] == 'user' %}
        {{- '[INST]' }}
        {%- if message['content'] is string %}
            {{- message['content'] }}
        {%- else %}
            {%- for block in message['content'] %}
                {%- if block['type'] == 'text' %}
                    {{- block['text'] }}
                {%- elif block['type'] in ['image', 'image_url'] %}
                    {{- '[IMG]' }}
                {%- else %}
                    {{- raise_exception('Only text and image blocks are supported.') }}
                {%- endif %}
            {%- endfor %}
        {%- endif %}
        {{- '[/INST]' }}
    {%- elif message['role'] == 'assistant' %}
        {{- message['content'] + eos_token }}
    {%- else %}
        {{- raise_exception('Only user and assistant roles are supported here, got ' + message['role'] + '.') }}
    {%- endif %}
{%- endfor %}
"""

GEMMA3_TEMPLATE = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\\n\\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\\n\\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = '' -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception('Conversation roles must alternate user/assistant') }}
    {%- endif -%}
    {%- set role = 'model' if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else '') }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- else -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{ '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\\n' }}
{%- endif -%}
"""

SYSTEM_PROMPT = "You are a careful assistant.\nThe current date is {today}; yesterday was {yesterday}.\n"

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def write_compact(folder, name, value):
    (folder / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def readme(folder, licence, title):
    head = f"---\nlicense: {licence}\nlibrary_name: transformers\n---\n\n"
    text = f"{head}# {title}\n\nA tiny checkpoint with made-up weights, for tests.\n"
    (folder / "README.md").write_text(text, encoding="utf-8")


def write(folder, config, fixture):
    {"mistral": mistral, "ministral3": ministral3, "gemma3": gemma3}[fixture["kind"]](folder, config, fixture)


def write_native(folder, config):
    """What a native folder has: the tokenizer as tekken.json."""
    text = config.get("text_config", config)
    tekken = tokenizers.tekken(text["vocab_size"])[1]
    if "vision_config" in config:
        tekken["image"] = {
            "image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]",
            "image_patch_size": config["vision_config"]["patch_size"],
            "max_image_size": config["vision_config"]["image_size"],
            "spatial_merge_size": config["spatial_merge_size"],
        }  # fmt: skip
        (folder / "SYSTEM_PROMPT.txt").write_text(SYSTEM_PROMPT, encoding="utf-8")
    write_compact(folder, "tekken.json", tekken)
    readme(folder, "apache-2.0", folder.name)


def mistral_tokenizer(folder, size, template):
    write_compact(folder, "tokenizer.json", tokenizers.tekken(size)[0])
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(folder / "special_tokens_map.json", special)
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": True, "add_eos_token": False, "clean_up_tokenization_spaces": False, **special,
            "legacy": False, "model_max_length": 1000000000000000019884624838656,
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    )  # fmt: skip
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def mistral(folder, config, fixture):
    mistral_tokenizer(folder, config["vocab_size"], MISTRAL_TEMPLATE)
    generation = {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2}
    write_json(folder / "generation_config.json", generation | {"transformers_version": config["transformers_version"]})
    readme(folder, "apache-2.0", folder.name)


def ministral3(folder, config, fixture):
    text, vision = config["text_config"], config["vision_config"]
    mistral_tokenizer(folder, text["vocab_size"], MINISTRAL3_TEMPLATE)
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": 1, "eos_token_id": 2, "max_length": text["max_position_embeddings"], "pad_token_id": 11,
            "transformers_version": config["transformers_version"],
        },
    )  # fmt: skip
    write_json(
        folder / "processor_config.json",
        {
            "image_break_token": "[IMG_BREAK]",
            "image_end_token": "[IMG_END]",
            "image_processor": {
                "data_format": "channels_first", "do_convert_rgb": True, "do_normalize": True, "do_rescale": True,
                "do_resize": True, "image_mean": CLIP_MEAN, "image_processor_type": "PixtralImageProcessorFast",
                "image_std": CLIP_STD, "patch_size": vision["patch_size"], "resample": 3,
                "rescale_factor": 0.00392156862745098, "size": {"longest_edge": vision["image_size"]},
            },
            "image_token": "[IMG]",
            "patch_size": vision["patch_size"],
            "processor_class": "PixtralProcessor",
            "spatial_merge_size": config["spatial_merge_size"],
        },
    )  # fmt: skip
    if fixture.get("system_prompt"):
        (folder / "SYSTEM_PROMPT.txt").write_text(SYSTEM_PROMPT, encoding="utf-8")
    readme(folder, "apache-2.0", folder.name)


def gemma3(folder, config, fixture):
    write_compact(folder, "tokenizer.json", tokenizers.gemma(config["image_token_index"]))
    special = {
        "boi_token": "<start_of_image>", "bos_token": "<bos>", "eoi_token": "<end_of_image>", "eos_token": "<eos>",
        "image_token": "<image_soft_token>", "pad_token": "<pad>", "unk_token": "<unk>",
    }  # fmt: skip
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "added_tokens.json", {"<image_soft_token>": config["image_token_index"]})
    write_json(
        folder / "tokenizer_config.json",
        {
            "add_bos_token": True, "add_eos_token": False, **special, "clean_up_tokenization_spaces": False,
            "extra_special_tokens": {
                "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>",
            },
            "model_max_length": 1000000000000000019884624838656, "processor_class": "Gemma3Processor",
            "tokenizer_class": "GemmaTokenizer",
        },
    )  # fmt: skip
    (folder / "chat_template.jinja").write_text(GEMMA3_TEMPLATE, encoding="utf-8")
    size = config["vision_config"]["image_size"]
    write_json(
        folder / "preprocessor_config.json",
        {
            "do_convert_rgb": None, "do_normalize": True, "do_pan_and_scan": None, "do_rescale": True,
            "do_resize": True, "image_mean": [0.5, 0.5, 0.5], "image_processor_type": "Gemma3ImageProcessor",
            "image_seq_length": config["mm_tokens_per_image"], "image_std": [0.5, 0.5, 0.5],
            "pan_and_scan_max_num_crops": None, "pan_and_scan_min_crop_size": None,
            "pan_and_scan_min_ratio_to_activate": None, "processor_class": "Gemma3Processor", "resample": 2,
            "rescale_factor": 0.00392156862745098, "size": {"height": size, "width": size},
        },
    )  # fmt: skip
    write_json(
        folder / "processor_config.json",
        {"image_seq_length": config["mm_tokens_per_image"], "processor_class": "Gemma3Processor"},
    )
    write_json(
        folder / "generation_config.json",
        {
            "bos_token_id": 2, "cache_implementation": "hybrid", "do_sample": True, "eos_token_id": [1, 6],
            "pad_token_id": 0, "top_k": 64, "top_p": 0.95, "transformers_version": config["transformers_version"],
        },
    )  # fmt: skip
    readme(folder, "gemma", folder.name)
