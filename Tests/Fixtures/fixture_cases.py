"""The further cases of a reference: what transformers computes for text, for one image, for padded rows, and for 24
greedy tokens after a prompt. Every key starts with the case's name; README.md lists them."""

import torch

GREEDY_TOKENS = 24
# Nearer than this to the largest |logit|, rounding could turn two tokens around.
MARGIN = 1e-3
# Random models like to say one token for ever, which would hide a decode step that sees the wrong cache. Gemma's tied
# ones with a large embedding do hardly anything else; there the fixture asks for less and the logits must do.
DISTINCT = 8


def special_ids(config):
    """Tokens that mean something else than text: they may not be generated."""
    names = [f"{token}_token_id" for token in ("bos", "eos", "pad")]
    names += [f"{token}_token_index" for token in ("boi", "eoi", "image")]
    found = set()
    for part in (config, config.get("text_config", {})):
        for name in names:
            value = part.get(name)
            found |= set(value) if isinstance(value, list) else {value}
    return (found - {None}) | {0, 1, 2, 12, 13}


def greedy(model, inputs, forbidden, distinct):
    """24 tokens of transformers' generate and the logits that chose them, or None where the choice is no good test.

    The end of the text is ignored (`min_new_tokens`); a prompt after which it would have been chosen is no good, so a
    program that ends and one that does not must both give these ids.
    """
    with torch.no_grad():
        output = model.generate(
            **inputs, do_sample=False, min_new_tokens=GREEDY_TOKENS, max_new_tokens=GREEDY_TOKENS, pad_token_id=0,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    chosen = output.sequences[0, -GREEDY_TOKENS:]
    logits = torch.cat(output.logits).float()
    tokens = set(chosen.tolist())
    if not torch.isfinite(logits).all() or tokens & forbidden or len(tokens) < distinct:
        return None
    best = logits.topk(2)
    margin = ((best.values[:, 0] - best.values[:, 1]) / logits.abs().amax(1)).min()
    if margin <= MARGIN or not torch.equal(best.indices[:, 0], chosen):
        return None
    require_same_without_cache(model, inputs, chosen, logits)
    return chosen, logits, margin


def require_same_without_cache(model, inputs, chosen, logits):
    """One forward over the prompt and all tokens must give what the steps with a cache gave."""
    tail = chosen[:-1].unsqueeze(0)
    whole = inputs | {"input_ids": torch.cat([inputs["input_ids"], tail], 1)}
    if "token_type_ids" in whole:
        whole["token_type_ids"] = torch.cat([whole["token_type_ids"], torch.zeros_like(tail)], 1)
    with torch.no_grad():
        plain = model(**whole, use_cache=False, logits_to_keep=GREEDY_TOKENS).logits[0].float()
    if (plain - logits).abs().max() > 1e-4 * logits.abs().max():
        raise SystemExit("transformers computes something else with its cache than without")


def search(model, make_inputs, *limits):
    """The first prompt of a row of seeds whose greedy tokens are a good test: (inputs, chosen, logits, margin)."""
    for attempt in range(200):
        inputs = make_inputs(attempt)
        if found := greedy(model, inputs, *limits):
            return inputs, *found
    raise SystemExit("no prompt has clear greedy tokens")


def greedy_case(name, model, make_inputs, limits, steps):
    """A prompt, its tokens, and the logits of the first and of the last `steps` choices."""
    inputs, chosen, logits, margin = search(model, make_inputs, *limits)
    result = {f"{name}.{key}": value for key, value in inputs.items()}
    result[f"{name}.logits"] = logits[:1].unsqueeze(0)
    result[f"{name}.greedy_ids"] = chosen
    result[f"{name}.greedy_logits"] = logits[-steps:]
    result[f"{name}.greedy_margin"] = margin.reshape(1)
    return inputs, result


def padded(rows, side):
    """Two prompts of unequal length as one batch, with the mask and the positions that generate makes of it."""
    width = max(row["input_ids"].shape[1] for row in rows)

    def fill(values):
        missing = torch.zeros(1, width - values.shape[1], dtype=values.dtype)
        return torch.cat([missing, values] if side == "left" else [values, missing], 1)

    result = {"input_ids": torch.cat([fill(row["input_ids"]) for row in rows])}
    mask = torch.cat([fill(torch.ones_like(row["input_ids"])) for row in rows])
    result["attention_mask"] = mask
    result["position_ids"] = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)
    if any("token_type_ids" in row for row in rows):
        kinds = [row.get("token_type_ids", torch.zeros_like(row["input_ids"])) for row in rows]
        result["token_type_ids"] = torch.cat([fill(kind) for kind in kinds])
    return result


def padded_case(name, model, rows, side):
    """The logits of each row's last real position; the images are those of the first row."""
    inputs = padded(rows, side)
    images = {key: rows[0][key] for key in ("pixel_values", "image_sizes") if key in rows[0]}
    with torch.no_grad():
        logits = model(**inputs, **images, use_cache=False).logits.float()
    lengths = torch.tensor([row["input_ids"].shape[1] for row in rows])
    last = lengths - 1 if side == "right" else torch.full_like(lengths, logits.shape[1] - 1)
    # What fills the gap may not matter to the rows themselves.
    for i, row in enumerate(rows):
        own = images if i == 0 else {}
        with torch.no_grad():
            alone = model(**row | own, use_cache=False, logits_to_keep=1).logits[0, -1].float()
        if (alone - logits[i, last[i]]).abs().max() > 1e-4 * alone.abs().max():
            raise SystemExit(f"{name}: transformers computes something else for a row in a batch than alone")
    result = {f"{name}.{key}": value for key, value in inputs.items()}
    result[f"{name}.last"] = last
    result[f"{name}.logits"] = logits[torch.arange(len(rows)), last]
    return result


def hidden_states(name, model, inputs):
    with torch.no_grad():
        states = model(**inputs, use_cache=False, output_hidden_states=True).hidden_states
    return {f"{name}.hidden_states.{i}": state.float().contiguous() for i, state in enumerate(states)}


def window_of(config):
    """The sliding window where a prompt of these tests can pass it."""
    window = config.get("text_config", config).get("sliding_window")
    return window if window and window < 32 else None


def further(config, fixture, model, text, one_image):
    """All further cases of a fixture. `text(count, attempt)` and `one_image(attempt)` make inputs."""
    forbidden = special_ids(config)
    vocabulary = config.get("text_config", config)["vocab_size"]
    if fixture.get("edge_values"):
        forbidden |= {vocabulary - 1, vocabulary - 2}  # their embeddings are infinite
    limits = forbidden, fixture.get("distinct", DISTINCT)
    count = fixture.get("text_prompt", 19)
    base, result = greedy_case("text", model, lambda attempt: text(count, attempt), limits, 2)
    if window := window_of(config):
        # The ring buffer of the window: filled while decoding, and exactly full after the prompt.
        for name, length in (("short", 3), ("exact", window)):
            result |= greedy_case(name, model, lambda attempt: text(length, attempt), limits, 1)[1]
    # The shorter row, and in the family with images the one without: the other row's padding must not reach it.
    rows = [base, text(6, 500)]
    if one_image:
        image, found = greedy_case("one_image", model, one_image, limits, 2)
        result |= found
        rows[0] = image
    result |= padded_case("padded_left", model, rows, "left")
    result |= padded_case("padded_right", model, rows, "right")
    if fixture.get("hidden_states"):
        name = "one_image" if one_image else "text"
        result |= hidden_states(name, model, rows[0])
    return result
