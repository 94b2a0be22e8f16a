"""Reads GGUF files with the gguf package and runs them in llama.cpp; runs in the environment .venv-llama.

    llama_peer.py tensors FILE OUT.npz [EXPECTED.npz]   names, types and dequantised values; with the expected float32 tensors also
                                                        whether gguf's own quantisation of them gives the bytes of the file
    llama_peer.py names ARCHITECTURE BLOCKS NAMES.json  what gguf's own table makes of Hugging Face's names, as JSON
    llama_peer.py keys FILE                             the metadata as JSON
    llama_peer.py logits FILE IDS.json OUT.npy          llama.cpp's logits of a sequence of token ids, at every position
    llama_peer.py tokens FILE TEXTS.json                llama.cpp's token ids of texts as JSON
"""

import json
import os
import sys
from pathlib import Path

import numpy as np


def tensors(file, out, expected=None):
    import gguf

    wanted = np.load(expected) if expected else {}
    found, types, problems = {}, {}, []
    for tensor in gguf.GGUFReader(file).tensors:
        kind = gguf.GGMLQuantizationType(tensor.tensor_type)
        types[tensor.name] = kind.name
        shape = tuple(int(size) for size in reversed(tensor.shape))
        found[tensor.name] = gguf.quants.dequantize(tensor.data, kind).reshape(shape)
        if tensor.name in wanted:
            bits = gguf.quants.quantize(wanted[tensor.name].reshape(-1, wanted[tensor.name].shape[-1]), kind)
            if wanted[tensor.name].shape != shape:
                problems.append(f"{tensor.name} has the shape {shape}, expected {wanted[tensor.name].shape}")
            elif bits.tobytes() != tensor.data.tobytes():
                problems.append(f"{tensor.name}: the bytes differ from gguf's {kind.name}")
    if expected:
        problems += [f"{name} is missing" for name in wanted if name not in found]
        problems += [f"{name} is unexpected" for name in found if name not in wanted]
    np.savez(out, **found)
    print(json.dumps({"types": types, "problems": problems}))


def names(architecture, blocks, names):
    import gguf

    language = gguf.get_tensor_name_map(gguf.MODEL_ARCH[architecture.upper()], int(blocks))
    tower = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, 128)
    found = {}
    for name in json.load(open(names, encoding="utf-8")):
        # As llama.cpp's converter changes them before it asks the table.
        own = name.removeprefix("language_model.").replace("projection_weight", "projection.weight")
        table = tower if own.startswith(("vision_tower.", "multi_modal_projector.")) else language
        found[name] = table.get_name(own, try_suffixes=(".weight", ".bias"))
    print(json.dumps(found))


def keys(file):
    import gguf

    found = {}
    for name, field in gguf.GGUFReader(file).fields.items():
        value = field.contents()
        found[name] = value if not isinstance(value, list) or len(value) < 200 else value[:200]
    print(json.dumps(found, default=str))


def model(file, **options):
    import llama_cpp

    # The settings of the file, instead of those that the package has by itself.
    options |= {"yarn_beta_fast": -1.0, "yarn_beta_slow": -1.0, "yarn_attn_factor": -1.0}
    return llama_cpp.Llama(file, n_ctx=256, n_batch=256, n_ubatch=256, n_threads=1, verbose=False, **options)


def logits(file, ids, out):
    # Keys and values in float32, so that only the matrices round.
    llama = model(file, logits_all=True, type_k=0, type_v=0, flash_attn=False)
    llama.eval(json.load(open(ids, encoding="utf-8")))
    np.save(out, np.array(llama.scores[: llama.n_tokens], dtype=np.float32))


def tokens(file, texts):
    llama = model(file, vocab_only=True)
    texts = json.load(open(texts, encoding="utf-8"))
    print(json.dumps([llama.tokenize(text.encode(), add_bos=True, special=True) for text in texts]))


def main():
    # The library that scripts/setup-llama has made.
    os.environ.setdefault("LLAMA_CPP_LIB_PATH", str(Path(sys.prefix) / "llama"))
    {"tensors": tensors, "names": names, "keys": keys, "logits": logits, "tokens": tokens}[sys.argv[1]](*sys.argv[2:])


main()
