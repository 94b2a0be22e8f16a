"""Makes expected.json and roles.json in Tests/Fixtures/training-data: tokens and labels of conversations, as transformers sees them.

    scripts/setup-peers
    .venv-peers/bin/python Tests/Fixtures/make_training_data_fixtures.py            # writes the files
    .venv-peers/bin/python Tests/Fixtures/make_training_data_fixtures.py --check    # compares with what is committed

Versions in Tests/Peers/requirements.txt. The models are those of `checkpoints`. Their templates mark nothing, so transformers
is given a copy of each that says the same and marks the assistant's turns, end token included, with {% generation %}; that
both say the same is checked for every case. Labels are the tokens where `return_assistant_tokens_mask` is 1, and -100
elsewhere. roles.json has the same for the turns of the user and of the system prompt: their contents, with the token that the
template puts behind. `json2token` is the function of Megatron Bridge, written down anew from its description.
"""

import datetime
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Peers"))
from make_processor_fixtures import picture  # noqa: E402
from processors import load_processor, set_clock  # noqa: E402

TARGET = HERE / "training-data" / "expected.json"
ROLES = HERE / "training-data" / "roles.json"
DATE = "2025-03-09"

# For each model what its template says for the assistant, and the same with marks.
MARKS = {
    "mistral": ("{{- ' ' + message['content'] + eos_token }}",
                "{%- generation %}{{- ' ' + message['content'] + eos_token }}{%- endgeneration %}"),
    "ministral3": ("{{- message['content'] + eos_token }}",
                   "{%- generation %}{{- message['content'] + eos_token }}{%- endgeneration %}"),
    "gemma3": ("{{ message['content'] | trim }}",
               "{% if role == 'model' %}{% generation %}{{ message['content'] | trim }}{{ '<end_of_turn>' }}{% endgeneration %}"
               "{{ '\\n' }}{% else %}{{ message['content'] | trim }}{% endif %}"),
}  # fmt: skip
# For each model and role what its template says, and the same with marks around the contents and the end of the turn.
ROLE_MARKS = {
    ("mistral", "user"): [
        ("{{- '[INST] ' + message['content'] + ' [/INST]' }}",
         "{{- '[INST] ' }}{%- generation %}{{- message['content'] + ' [/INST]' }}{%- endgeneration %}"),
    ],
    ("ministral3", "user"): [
        ("{{- message['content'] }}", "{%- generation %}{{- message['content'] }}{%- endgeneration %}"),
        ("{{- block['text'] }}", "{%- generation %}{{- block['text'] }}{%- endgeneration %}"),
        ("{{- '[/INST]' }}", "{%- generation %}{{- '[/INST]' }}{%- endgeneration %}"),
    ],
    ("ministral3", "system"): [
        ("{{- '[SYSTEM_PROMPT]' + system_message + '[/SYSTEM_PROMPT]' }}",
         "{{- '[SYSTEM_PROMPT]' }}{%- generation %}{{- system_message + '[/SYSTEM_PROMPT]' }}{%- endgeneration %}"),
    ],
    ("gemma3", "user"): [
        ("{{ message['content'] | trim }}",
         "{%- if role == 'user' -%}{% generation %}{{ message['content'] | trim }}{% endgeneration %}"
         "{%- else -%}{{ message['content'] | trim }}{%- endif -%}"),
        ("{{ item['text'] | trim }}", "{% generation %}{{ item['text'] | trim }}{% endgeneration %}"),
        ("{{ '<end_of_turn>\\n' }}",
         "{%- if role == 'user' -%}{% generation %}{{ '<end_of_turn>' }}{% endgeneration %}{{ '\\n' }}"
         "{%- else -%}{{ '<end_of_turn>\\n' }}{%- endif -%}"),
    ],
    ("gemma3", "system"): [
        ("{{ '<start_of_turn>' + role + '\\n' + (first_user_prefix if loop.first else '') }}",
         "{{ '<start_of_turn>' + role + '\\n' }}{%- if loop.first -%}{% generation %}{{ first_user_prefix[:-2] }}{% endgeneration %}"
         "{{ first_user_prefix[-2:] }}{%- endif -%}"),
    ],
}  # fmt: skip
# The system prompt stands in the last message of the user only, and only where that ends the conversation: a beginning of
# the conversation is rendered otherwise than the whole.
LAST_USER = (
    "{{- bos_token }}{%- set ns = namespace(system='') %}{%- for m in messages %}{%- if m.role == 'system' %}"
    "{%- set ns.system = m.content %}{%- elif m.role == 'user' %}{{- '[INST] ' }}{%- if loop.last %}{{- ns.system + '\n\n' }}"
    "{%- endif %}{{- m.content + ' [/INST]' }}{%- else %}GEN{{- ' ' + m.content + eos_token }}END{%- endif %}{%- endfor %}"
)


def marked(name, template):
    plain, with_marks = MARKS[name]
    assert template.count(plain) == 1, name
    template = template.replace(plain, with_marks)
    if name == "gemma3":
        end = "{{ '<end_of_turn>\\n' }}"
        assert template.count(end) == 1
        template = template.replace(end, "{%- if role != 'model' or message['content'] is not string -%}" + end + "{%- endif -%}")
    return template


def turn(role, content):
    return {"role": role, "content": content}


def user(*parts):
    return turn("user", [{"type": "image"} if p is None else {"type": "text", "text": p} for p in parts])


def cases():
    for model in ["mistral", "ministral3", "gemma3"]:
        yield model, "one answer", [turn("user", "What is a bridge?"), turn("assistant", "A road over water.")], []
        yield model, "the question says the answer", [
            turn("user", "Say: A road over water. A road over water."), turn("assistant", "A road over water."),
            turn("user", "A road over water."), turn("assistant", "A road over water."),
        ], []
        yield model, "several answers", [
            turn("user", "One"), turn("assistant", "two"), turn("user", "three"), turn("assistant", "four, é and 橋"),
            turn("user", "five"), turn("assistant", "x"),
        ], []
        yield model, "white space around an answer", [
            turn("user", " Hi \n"), turn("assistant", "  spaced out \n\n"), turn("user", "So?"), turn("assistant", "\tyes"),
        ], []
        yield model, "an end token within", [
            turn("user", "End </s><end_of_turn> it"), turn("assistant", "no </s> end <end_of_turn> here"),
        ], []
        yield model, "a question at the end", [turn("user", "a"), turn("assistant", "b"), turn("user", "c")], []
    for model in ["ministral3", "gemma3"]:
        yield model, "a system prompt", [
            turn("system", "Be brief."), turn("user", "Why?"), turn("assistant", "Because. Be brief."),
        ], []
        yield model, "images where they stand", [
            user("Before ", None, " between ", None, " behind"), turn("assistant", "Two pictures."),
            user(None, "And this?"), turn("assistant", "One more."),
        ], [{"noise": [61, 47, 1]}, {"noise": [30, 20, 2]}, {"noise": [24, 50, 3]}]
    words = ["two", "  spaced \n", "[INST] no [/INST]", "</s>", "same", "same", "é 橋", "a\n\nb", "[/INST] x </s>[INST]", "end", "<end_of_turn>\n", "z"]
    for model in ["mistral", "ministral3", "gemma3"]:
        yield model, "many answers", [
            turn(role, text) for number, word in enumerate(words)
            for role, text in (("user", f"Say {word}" if number % 3 else "same"), ("assistant", word))
        ], []
    yield "mistral", "a system prompt that wanders", [
        turn("system", "Be brief."), turn("user", "Why?"), turn("assistant", "So."), turn("user", "How?"), turn("assistant", "Thus."),
    ], []  # fmt: skip


def templates(model, name):
    """The template without marks and the one with them; whether the case brings its own."""
    if name == "a system prompt that wanders":
        marks = LAST_USER.replace("GEN", "{%- generation %}").replace("END", "{%- endgeneration %}")
        return LAST_USER.replace("GEN", "").replace("END", ""), marks, True
    plain = (HERE / "checkpoints" / model / "chat_template.jinja").read_text()
    return plain, marked(model, plain), False


def rendered(work, model, name, messages, images, plain, marks):
    """The tokens of a conversation, and those where the template has marks."""
    folder = Path(tempfile.mkdtemp(dir=work)) / model
    shutil.copytree(HERE / "checkpoints" / model, folder)
    (folder / "chat_template.jinja").write_text(marks)
    processor = load_processor(folder)
    set_clock(datetime.datetime.fromisoformat(DATE))
    texts = [processor.apply_chat_template(messages, chat_template=t, tokenize=False) for t in (plain, marks)]
    assert texts[0] == texts[1], (model, name, texts)
    more = {"processor_kwargs": {"images": [picture(i) for i in images]}} if images else {}
    out = processor.apply_chat_template(
        messages, tokenize=True, return_dict=True, return_assistant_tokens_mask=True, **more
    )  # fmt: skip
    ids = np.asarray(out["input_ids"]).reshape(-1).tolist()
    mask = np.asarray(out["assistant_masks"]).reshape(-1).tolist()
    assert any(mask), (model, name)
    return ids, [t if m else -100 for t, m in zip(ids, mask)]


def recorded(work, model, name, messages, images):
    plain, marks, is_own = templates(model, name)
    ids, labels = rendered(work, model, name, messages, images, plain, marks)
    case = {"model": model, "name": name, "messages": messages, "images": images}
    if is_own:
        case["template"] = plain
    return case | {"marked": marks, "input_ids": ids, "labels": labels}


def of_roles(work, model, name, messages, images):
    """The labels of each role of a conversation."""
    plain, marks, _ = templates(model, name)
    labels = {}
    for role in sorted({message["role"] for message in messages}):
        if role != "assistant":
            marks = plain
            for text, with_marks in ROLE_MARKS[model, role]:
                assert marks.count(text) == 1, (model, role, text)
                marks = marks.replace(text, with_marks)
        ids, labels[role] = rendered(work, model, name, messages, images, plain, marks)
    return {"model": model, "name": name, "messages": messages, "images": images, "input_ids": ids, "labels": labels}


def json2token(value):
    if isinstance(value, dict):
        if list(value) == ["text_sequence"]:
            return value["text_sequence"]
        return "".join(f"<s_{k}>{json2token(value[k])}</s_{k}>" for k in sorted(value, reverse=True))
    if isinstance(value, list):
        return "<sep/>".join(json2token(v) for v in value)
    return str(value)


VALUES = [
    {"menu": [{"nm": "Tea", "cnt": 2, "price": 1.5}, {"nm": "Né", "cnt": 1}], "total": {"cash": None, "paid": True}},
    {"text_sequence": "as it is"}, {"text_sequence": "a", "b": "c"}, [], {}, [[1, 2], [3]], 1e16, 1e-05, 100000.0, -0.0, 12345678901234567890,
    {"é": 1, "e\u0301": 2, "z": 3, "Z": 4, "": 5, "a_b": [False, "x"]}, "plain", 0.1,
]  # fmt: skip


def main():
    with tempfile.TemporaryDirectory() as work:
        made = {
            "samples": [recorded(work, *case) for case in cases()],
            "json2token": [{"value": v, "text": json2token(v)} for v in VALUES],
        }
        roles = {"samples": [of_roles(work, *case) for case in cases() if not templates(*case[:2])[2]]}
    texts = {}
    for target, content in ((TARGET, made), (ROLES, roles)):
        rows = {key: ",\n".join(json.dumps(row, ensure_ascii=False) for row in value) for key, value in content.items()}
        texts[target] = "{\n" + ",\n".join(f'"{key}": [\n{value}\n]' for key, value in rows.items()) + "\n}\n"
    if "--check" in sys.argv:
        same = all(target.read_text() == text for target, text in texts.items())
        print("as committed" if same else "different from what is committed")
        return 0 if same else 1
    TARGET.parent.mkdir(exist_ok=True)
    for target, text in texts.items():
        target.write_text(text)
    print(f"{len(made['samples'])} samples, {len(roles['samples'])} of roles, {sum(map(len, texts.values()))} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
