#!/usr/bin/env python3
"""Records what mistral-common makes of conversations for each version of a tekken.json.

    python3 -m venv .build/mistral-common
    .build/mistral-common/bin/pip install mistral-common==1.13.1
    .build/mistral-common/bin/python Tests/Fixtures/make_instruct_fixtures.py

In a venv of its own, because transformers takes other tokenizers where it finds mistral-common. Writes
tokenizers/instruct-chats.json: the control tokens; conversations in OpenAI's form; and for each version the token ids, or null
where it refuses the conversation. The vocabulary is that of tokenizers/tekken.
"""

import json
import random
import tempfile
import warnings
from pathlib import Path

from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer

HERE = Path(__file__).resolve().parent
VERSIONS = ["v3", "v7", "v11", "v13"]
SPECIAL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
           "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]",
           "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"]  # fmt: skip
TEXTS = ["Hello", "Hi there ", "  two  spaces  ", "", "é👍 안녕", "[INST] not a token [/INST]</s>", "a\n\nb", "x = {'k': 1}", "[IMG]", "The end.  ",
         "\ttab", "It's 3.14"]  # fmt: skip
RESULTS = ['{"a": 1, "b": [1.0, 1e5, null]}', "plain text", "[1, 2", "", "12", '"quoted"', " {} ", "é: ü", '{"z":{"y":"ß"}}']
ARGUMENTS = [{"x": 1}, '{"x":1.50,"é":"ü"}', "", "not json", {}, {"n": {"m": [True, None, "a\"b"]}}, "[1,2]"]
NAMES = ["get", "set_it", "a-b", "f2", "bad name", "x" * 65]
IDS = ["abcdefghi", "A1b2C3d4E", "000000001", "short", "null", ""]
TOOLS = [
    {"type": "function", "function": {"name": "get", "description": "Gets é.", "parameters": {"type": "object", "properties": {"x": {"type": "integer", "default": 1.0}}}}},
    {"type": "function", "function": {"name": "set_it", "parameters": {"type": "object", "properties": {}}, "strict": True, "other": 1}},
    {"function": {"name": "f2", "description": None, "parameters": None}},
]  # fmt: skip


def parts(draw, role):
    found = []
    for _ in range(draw.randint(1, 3)):
        kind = draw.random()
        if role == "assistant" and kind < 0.2:
            found.append({"type": "thinking", "thinking": draw.choice(TEXTS)} | ({"closed": False} if kind < 0.05 else {}))
        elif role == "system" and kind < 0.1:
            found.append({"type": "thinking", "thinking": draw.choice(TEXTS)})
        else:
            found.append({"type": "text", "text": draw.choice(TEXTS)})
    return found


def content(draw, role):
    return draw.choice(TEXTS) if draw.random() < 0.75 else parts(draw, role)


def calls(draw, wild):
    ids = draw.sample(IDS[:3], draw.randint(1, 2))
    return [
        {"id": draw.choice(IDS) if wild and draw.random() < 0.3 else one, "type": "function",
         "function": {"name": draw.choice(NAMES if wild else NAMES[:4]), "arguments": draw.choice(ARGUMENTS)}}
        for one in ids
    ]  # fmt: skip


def conversation(draw):
    """Mostly as people talk, and now and then in an order that no version allows."""
    wild = draw.random() < 0.25
    messages = []
    for _ in range(draw.choice([0, 0, 1, 1, 2])):
        messages.append({"role": draw.choice(["system", "system", "developer"]), "content": content(draw, "system")})
    for _ in range(draw.randint(1, 3)):
        for _ in range(draw.choice([1, 1, 1, 2])):
            messages.append({"role": "user", "content": content(draw, "user")})
        if draw.random() < 0.3:
            made = calls(draw, wild)
            messages.append({"role": "assistant", "tool_calls": made} | ({"content": draw.choice(TEXTS)} if draw.random() < 0.3 else {}))
            order = draw.sample(made, len(made))
            for call in order[: len(order) - (wild and draw.random() < 0.3)]:
                messages.append({"role": "tool", "tool_call_id": call["id"], "content": draw.choice(RESULTS)} | ({"name": "get"} if draw.random() < 0.4 else {}))
        if draw.random() < 0.8:
            messages.append({"role": "assistant", "content": content(draw, "assistant")})
            if draw.random() < 0.1:
                messages[-1]["reasoning_content"] = draw.choice(TEXTS)
            if draw.random() < 0.1:
                messages.append({"role": "assistant", "content": content(draw, "assistant")})
    if messages[-1]["role"] == "assistant" and draw.random() < 0.75:
        messages.append({"role": "user", "content": content(draw, "user")})
    if wild and draw.random() < 0.5:
        draw.shuffle(messages)
    continues = messages[-1]["role"] == "assistant" and draw.random() < 0.5
    tools = draw.sample(TOOLS, draw.randint(1, 3)) if draw.random() < 0.4 else None
    return {"messages": messages, "tools": tools, "continues": continues}


def tokenizer(version, folder):
    file = json.loads((HERE / "tokenizers" / "tekken" / "tekken.json").read_text(encoding="utf-8"))
    file["config"]["version"] = version
    file["special_tokens"] = [{"rank": rank, "token_str": token, "is_control": True} for rank, token in enumerate(SPECIAL)]
    path = Path(folder) / "tekken.json"
    path.write_text(json.dumps(file), encoding="utf-8")
    return MistralTokenizer.from_file(str(path))


def encode(tokenizer, one):
    """The ids; None where mistral-common refuses, by an exception of its own or by an assertion."""
    try:
        request = ChatCompletionRequest.from_openai(
            messages=json.loads(json.dumps(one["messages"])),
            tools=one["tools"],
            continue_final_message=one["continues"],
        )
        return tokenizer.encode_chat_completion(request).tokens
    except Exception:
        return None


def main():
    warnings.simplefilter("ignore")
    draw = random.Random(11)
    chats = [conversation(draw) for _ in range(160)]
    with tempfile.TemporaryDirectory() as folder:
        for version in VERSIONS:
            made = tokenizer(version, folder)
            for one in chats:
                one.setdefault("ids", {})[version] = encode(made, one)
    path = HERE / "tokenizers" / "instruct-chats.json"
    path.write_text(json.dumps({"special": SPECIAL, "chats": chats}, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
