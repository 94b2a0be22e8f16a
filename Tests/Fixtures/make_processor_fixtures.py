"""Makes Tests/Fixtures/processing/expected.json: what transformers' processors make of conversations with images.

    scripts/setup-peers
    .venv-peers/bin/python Tests/Fixtures/make_processor_fixtures.py            # writes the file
    .venv-peers/bin/python Tests/Fixtures/make_processor_fixtures.py --check    # compares with what is committed

Versions in Tests/Peers/requirements.txt. The models are those of `checkpoints`, with other files in their place where a case
says so; the pictures are those of `images`, given by path, and noise from a generator that the Swift test repeats. Token
ids are kept whole, pixels as 32-bit hashes of their float32 bytes (see make_image_fixtures.py), one for each pass through the
vision tower and without the padding that makes them a batch.
"""

import base64
import datetime
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "Peers"))
from make_image_fixtures import fixture_hash, generated  # noqa: E402
from processors import load_processor, set_clock  # noqa: E402

TARGET = HERE / "processing" / "expected.json"
DATE = "2025-03-09"


def noise(width, height, seed):
    return {"noise": [width, height, seed]}


def user(*parts):
    """A turn; a tuple or dict is a picture, a string is text."""
    return {"role": "user", "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts]}


PICTURE = {"type": "image"}
PLAIN = {"role": "user", "content": "What is a bridge?"}
SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "A road over water."}
TOOL = {"type": "function", "function": {"name": "look", "description": "Look at <it>.", "parameters": {"type": "object"}}}
PIXTRAL = {"image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]", "image_token": "[IMG]", "patch_size": 6,
           "processor_class": "PixtralProcessor", "spatial_merge_size": 2}  # fmt: skip
# Tools, a place for the answer that is marked, and no token that begins the sequence.
TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for message in messages %}{% if message['content'] is string %}"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}!{% endgeneration %}"
    "{% else %}{{ message['content'] }}{% endif %}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}MARK{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}\n{% endfor %}"
)
PAN = {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 8, "pan_and_scan_max_num_crops": 4,
       "pan_and_scan_min_ratio_to_activate": 1.2}  # fmt: skip


def shared(checkpoint, marker, second):
    """Cases that every family that sees images has."""

    def case(name, messages, images=(), **more):
        return {"name": name, "checkpoint": checkpoint, "messages": messages, "images": list(images), **more}

    def raw(name, text, *images):
        return {"name": name, "checkpoint": checkpoint, "text": text, "images": list(images)}

    rgba = str(Path("images") / "rgba.png")
    marked = {"chat_template.jinja": TEMPLATE.replace("MARK", marker)}
    return [
        case("text", [SYSTEM, PLAIN]),
        case("text that asks for no answer", [SYSTEM, PLAIN, ANSWER], prompt=False),
        case("one image", [SYSTEM, user(PICTURE, "What is it?")], [noise(61, 47, 1)]),
        case("two images of different sizes", [SYSTEM, user(PICTURE, "and", PICTURE)], [noise(70, 31, 2), noise(25, 90, 3)]),
        case("an image in the middle", [SYSTEM, user("Before", PICTURE, "behind.")], [noise(40, 41, 4)]),
        case("several turns", [SYSTEM, user(PICTURE, "One?"), ANSWER, user("And this?", PICTURE), ANSWER, PLAIN],
             [noise(33, 44, 5), noise(97, 13, 6)]),
        case("system prompt as parts", [{"role": "system", "content": [{"type": "text", "text": "Look well."}]},
                                        user(PICTURE, "?")], [noise(12, 12, 7)]),
        case("very wide", [SYSTEM, user(PICTURE)], [noise(900, 11, 8)]),
        case("very tall", [SYSTEM, user(PICTURE)], [noise(11, 900, 9)]),
        case("one pixel", [SYSTEM, user(PICTURE)], [noise(1, 1, 10)]),
        case("large", [SYSTEM, user(PICTURE)], [noise(301, 257, 11)]),
        case("alpha by path", [SYSTEM, user({"type": "image", "path": rgba}, "Clear?")]),
        case("palette with transparency by path",
             [SYSTEM, user({"type": "image", "url": "images/palette-transparent.png"})]),
        case("turned by its orientation", [SYSTEM, user({"type": "image", "image": "images/orientation-6.jpg"})]),
        case("OpenAI's parts", [SYSTEM, user({"type": "image_url", "image_url": {"url": "images/lossy.webp"}}, "Here.")]),
        case("a data URL", [SYSTEM, user({"type": "image_url", "image_url": {"url": "DATA:grey-alpha.png"}})]),
        case("one pixel by path", [SYSTEM, user({"type": "image", "path": "images/one-pixel.png"})]),
        case("tools", [SYSTEM, user(PICTURE, "Look.")], [noise(20, 30, 12)], tools=[TOOL], files=marked, prompt=False),
        case("the answers marked", [user("é", PICTURE, "?"), ANSWER, user(PICTURE, PICTURE), {"role": "assistant", "content": ""},
                                    user("So?"), {"role": "assistant", "content": "Née."}],
             [noise(20, 30, 13), noise(14, 9, 14), noise(50, 50, 15)], files=marked, prompt=False, masks=True),
        case("an answer to continue", [SYSTEM, user(PICTURE, "?"), {"role": "assistant", "content": "It is  \n "}],
             [noise(20, 30, 19)], prompt=False, continued=True),
        case("a question to continue", [SYSTEM, user(PICTURE, "It is ")], [noise(20, 30, 19)], prompt=False, continued=True),
        raw("raw text", "Once upon a time"),
        raw("raw text that begins itself", second + "Once"),
        raw("raw text with images", f"x {marker} y{marker}", noise(30, 20, 16), noise(80, 81, 17)),
        raw("raw, an image alone", marker, noise(30, 20, 18)),
    ]  # fmt: skip


def cases():
    ministral = shared("ministral3", "[IMG]", "<s>") + [
        {"name": "the date", "checkpoint": "ministral3", "messages": [PLAIN], "images": [], "date": DATE},
        *(
            {"name": f"{width}x{height} {checkpoint}", "checkpoint": checkpoint, "messages": [SYSTEM, user(PICTURE)],
             "images": [noise(width, height, 20)]}
            for checkpoint in ["ministral3", "ministral3-new-names"]
            # Around multiples of 12, the unit of both, and of 96, the longest edge.
            for width, height in [(12, 12), (13, 11), (96, 96), (97, 96), (96, 97), (191, 97), (193, 48), (95, 2)]
        ),
        {"name": "settings in two files, the rest from the class", "checkpoint": "ministral3",
         "messages": [SYSTEM, user(PICTURE)], "images": [noise(61, 47, 21)],
         "files": {"processor_config.json": PIXTRAL, "preprocessor_config.json": {
             "image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 60}}}},
        {"name": "a size of two sides, another filter and other numbers", "checkpoint": "ministral3",
         "messages": [SYSTEM, user(PICTURE)], "images": [noise(150, 160, 22)],
         "files": {"processor_config.json": PIXTRAL, "preprocessor_config.json": {
             "image_processor_type": "PixtralImageProcessor", "size": {"height": 60, "width": 80}, "resample": 2,
             "rescale_factor": 0.01, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.25, 2.0]}}},
    ]  # fmt: skip
    preprocessor = {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 32, "width": 32}}
    gemma = shared("gemma3", "<start_of_image>", "<bos>") + [
        {"name": "other sizes", "checkpoint": "gemma3-452-names", "messages": [SYSTEM, user(PICTURE, PICTURE)],
         "images": [noise(37, 35, 23), noise(36, 36, 24)]},
        *(
            {"name": f"pan and scan {width}x{height}", "checkpoint": "gemma3", "messages": [SYSTEM, user("a", PICTURE)],
             "images": [noise(width, height, 25)], "options": PAN}
            for width, height in [(100, 30), (30, 100), (40, 34), (40, 33), (33, 40), (34, 40), (15, 7), (17, 9), (200, 20),
                                  (50, 20), (40, 40), (23, 9)]
        ),
        {"name": "pan and scan with the processor's own numbers", "checkpoint": "gemma3",
         "messages": [SYSTEM, user(PICTURE, PICTURE)], "images": [noise(600, 300, 26), noise(300, 500, 27)],
         "options": {"do_pan_and_scan": True}},
        {"name": "pan and scan in the files", "checkpoint": "gemma3", "messages": [SYSTEM, user(PICTURE)],
         "images": [noise(600, 300, 28)], "files": {"preprocessor_config.json": preprocessor | PAN}},
        {"name": "settings from the class", "checkpoint": "gemma3", "messages": [SYSTEM, user(PICTURE)],
         "images": [noise(50, 60, 29)], "files": {"preprocessor_config.json": preprocessor}},
        {"name": "another filter and other numbers", "checkpoint": "gemma3", "messages": [SYSTEM, user(PICTURE)],
         "images": [noise(50, 60, 30)], "files": {"preprocessor_config.json": preprocessor | {
             "resample": 3, "rescale_factor": 0.02, "image_mean": 0.25, "image_std": [0.5, 0.3, 0.2]}}},
    ]  # fmt: skip
    mistral = [
        {"name": "an answer to continue", "checkpoint": "mistral", "messages": [PLAIN, {"role": "assistant", "content": " A road"}],
         "images": [], "prompt": False, "continued": True},
        {"name": "one of several templates", "checkpoint": "mistral", "messages": [PLAIN], "images": [], "tools": [TOOL],
         "files": {"additional_chat_templates/tool_use.jinja": "{{ tools | tojson }}{{ messages[0]['content'] }}",
                   "additional_chat_templates/other.jinja": "other"}},
        {"name": "a model that reads text", "checkpoint": "mistral", "messages": [PLAIN, ANSWER, PLAIN], "images": []},
        {"name": "raw text for it", "checkpoint": "mistral", "text": "Once upon a time", "images": []},
        {"name": "a template without a beginning", "checkpoint": "mistral", "messages": [PLAIN], "images": [],
         "files": {"chat_template.jinja": "{{ messages[0]['content'] }}"}},
    ]  # fmt: skip
    return ministral + gemma + mistral


def picture(image):
    width, height, seed = image["noise"]
    return Image.fromarray(generated(width, height, 3, seed))


def resolved(value):
    """Paths below Tests/Fixtures and the data URLs of their files."""
    if isinstance(value, list):
        return [resolved(item) for item in value]
    if isinstance(value, dict):
        return {key: resolved(item) for key, item in value.items()}
    if isinstance(value, str) and value.startswith("images/"):
        return str(HERE / value)
    if isinstance(value, str) and value.startswith("DATA:"):
        return "data:image/png;base64," + base64.b64encode((HERE / "images" / value[5:]).read_bytes()).decode()
    return value


def folder(case, work):
    source = HERE / "checkpoints" / case["checkpoint"]
    if "files" not in case:
        return source
    copy = Path(tempfile.mkdtemp(dir=work)) / case["checkpoint"]
    shutil.copytree(source, copy)
    for name, content in case["files"].items():
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text(content if isinstance(content, str) else json.dumps(content))
    return copy


def recorded(case, work):
    processor = load_processor(folder(case, work))
    set_clock(datetime.datetime.fromisoformat(case.get("date", DATE)))
    images = [picture(image) for image in case["images"]]
    options = dict(case.get("options", {}))
    if "text" in case:
        options |= {"images": images} if images else {}
        out = processor(text=case["text"], **options)
    else:
        if images:
            options["images"] = images
        if options:
            options = {"processor_kwargs": options}
        out = processor.apply_chat_template(
            resolved(case["messages"]), tools=case.get("tools"), add_generation_prompt=case.get("prompt", True),
            continue_final_message=case.get("continued", False), tokenize=True, return_dict=True, return_assistant_tokens_mask=case.get("masks", False), **options,
        )  # fmt: skip
    ids = np.asarray(out["input_ids"]).reshape(-1)
    result = {"ids": ids.tolist(), "images": [planes(p, out, i) for i, p in enumerate(out.get("pixel_values", []))]}
    if case.get("masks"):
        result["masks"] = np.asarray(out["assistant_masks"]).reshape(-1).tolist()
    # Only on the way to tokens a processor makes an empty list of an empty text.
    if all(message["content"] for message in case.get("messages", [{"content": ""}])):
        result["rendered"] = processor.apply_chat_template(
            resolved(case["messages"]), tools=case.get("tools"), add_generation_prompt=case.get("prompt", True),
            continue_final_message=case.get("continued", False), tokenize=False,
        )  # fmt: skip
    return result


def planes(values, out, index):
    values = np.asarray(values, dtype=np.float32)
    height, width = values.shape[1:]
    if "image_sizes" in out:
        height, width = (int(n) for n in out["image_sizes"][index])
        assert not values[:, height:].any() and not values[:, :, width:].any()
    values = np.ascontiguousarray(values[:, :height, :width])
    return {"height": height, "width": width, "values": fixture_hash(values.tobytes())}


def main():
    with tempfile.TemporaryDirectory() as work:
        made = [case | {"expected": recorded(case, work)} for case in cases()]
    text = "[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in made) + "\n]\n"
    if "--check" in sys.argv:
        old = json.loads(TARGET.read_text())
        names = [case["name"] for case in made if case not in old]
        print(f"{len(made)} cases, {len(names)} different", *names)
        return 1 if names or len(old) != len(made) else 0
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(text)
    print(f"{len(made)} cases, {len(text)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
