"""Small trained models, for benchmarks whose result depends on the weights: speculative.py and qlora.py.

The text is a `Language` of sentences "The ADJECTIVE SUBJECT VERB the OBJECT PLACE." in synthetic words. Each word follows by a
table from words of the same sentence and of the one before it; in one of ten cases it is a random one. `train` makes a model of
Mistral's architecture with a tokenizer for these words, and trains it from random weights with `bridge train`. A language with
the same words and other tables is what a trained model can be fine-tuned on. Nothing is downloaded.
"""

import itertools
import json
import os
import random
import shutil
import subprocess
from pathlib import Path

CACHE = Path(os.environ.get("BRIDGE_BENCHMARKS_CACHE", Path.home() / ".cache" / "bridge-benchmarks"))
LENGTH, BATCH = 256, 8
CHANCE = 0.1
COUNTS = {"adjective": 32, "subject": 48, "verb": 32, "object": 48, "place": 32}


class Language:
    """Sentences of synthetic words. The seed makes the tables, the words are those of every seed."""

    def __init__(self, seed):
        syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
        words = [first + second for first, second in itertools.product(syllables, repeat=2)]
        random.Random(0).shuffle(words)
        drawn = iter(words)
        self.words = {kind: [next(drawn) for _ in range(count)] for kind, count in COUNTS.items()}
        self.seed, self.table = seed, {}
        # All subjects come before one returns, so that a greedy text does not repeat itself early.
        order = random.Random(seed).sample(self.words["subject"], COUNTS["subject"])
        self.table |= {("subject", word): after for word, after in zip(order, order[1:] + order[:1])}

    def following(self, kind, *causes):
        """The word of a kind that follows from others."""
        key = (kind, *causes)
        if key not in self.table:
            self.table[key] = random.Random(f"{self.seed} {key}").choice(self.words[kind])
        return self.table[key]

    def text(self, sentences, seed):
        """So that texts of different seeds differ, they begin with other words and have other random ones."""
        generator = random.Random(seed)
        words = {kind: generator.choice(self.words[kind]) for kind in COUNTS}

        def next_word(kind, *causes):
            expected = self.following(kind, *causes)
            words[kind] = generator.choice(self.words[kind]) if generator.random() < CHANCE else expected
            return words[kind]

        lines = []
        for _ in range(sentences):
            before = words["object"]
            subject = next_word("subject", words["subject"])
            adjective = next_word("adjective", subject)
            verb = next_word("verb", subject, before)
            thing = next_word("object", verb)
            place = next_word("place", thing, adjective)
            lines.append(f"The {adjective} {subject} {verb} the {thing} {place}.")
        return " ".join(lines)


def _run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}:\n{done.stderr}")
    return done.stdout


def make_source(bridge, directory, layers, vocabulary):
    """Writes a toy of some layers whose byte-level BPE has a token for each word; the rest of the vocabulary is unused."""
    from tokenizers import Tokenizer, pre_tokenizers, trainers

    shutil.rmtree(directory, ignore_errors=True)
    _run(bridge, "toy", "--family", "mistral", "--num-layers", layers, "--output", directory)
    file = str(directory / "tokenizer.json")
    tokenizer = Tokenizer.from_file(file)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[token.content for _, token in sorted(tokenizer.get_added_tokens_decoder().items())],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([Language(1).text(2000, 0)], trainer)
    tokenizer.save(file)
    return tokenizer


def load_tokenizer(model):
    """The tokenizer of a model."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(model / "tokenizer.json"))


def write_rows(file, tokenizer, language, rows, seed):
    """Writes rows of LENGTH tokens, each of a text of its own."""
    with open(file, "w", encoding="utf-8") as lines:
        for row in range(rows):
            # A sentence has more than six tokens.
            text = language.text(LENGTH // 6, f"{seed} {row}")
            ids = [1, *tokenizer.encode(text, add_special_tokens=False).ids][:LENGTH]
            lines.write(json.dumps({"input_ids": ids, "labels": ids}) + "\n")


def train_command(bridge, model, data, steps, rate, output, *more):
    """A run of `bridge train` over rows in order, for the models of this file."""
    return [
        bridge, "train", "--recipe", "mistral_7b_finetune_config", "--pretrained-checkpoint", model,
        "--dataset-type", "tokenized", f"dataset.train_data_path={data}", f"train.train_iters={steps}",
        f"train.global_batch_size={BATCH}", f"train.micro_batch_size={BATCH}", f"optimizer.lr={rate}",
        f"optimizer.min_lr={rate / 10}", f"scheduler.lr_warmup_iters={min(40, steps // 10 + 1)}", "optimizer.adam_eps=1e-8",
        f"checkpoint.save={output}", "checkpoint.save_interval=1000000", "checkpoint.save_optim=false",
        "model.tensor_model_parallel_size=1", "model.pipeline_model_parallel_size=1", "train.eval_interval=0",
        f"model.seq_length={LENGTH}", f"dataset.seq_length={LENGTH}", "mixed_precision=bf16_mixed", *more,
    ]  # fmt: skip


def steps_of(run):
    """The lines of a run's log.jsonl."""
    return [json.loads(line) for line in (Path(f"{run}_logs") / "log.jsonl").read_text().splitlines()]


def train(bridge, name, sizes, steps, rate, seed=1):
    """A directory with a trained model and its tokenizer, from the cache if it has been trained before."""
    key = "-".join(str(value) for value in [name, *sizes.values(), steps, rate, seed])
    directory = CACHE / "trained" / key
    if (directory / "losses.json").exists():
        return directory
    work = CACHE / "trained" / f"{key}.partial"
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)
    work.mkdir(parents=True)
    source, data = work / "source", work / "rows.jsonl"
    tokenizer = make_source(bridge, source, sizes["num_hidden_layers"], sizes["vocab_size"])
    configuration = json.loads((source / "config.json").read_text())
    configuration |= {"sliding_window": None, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, **sizes}
    (source / "config.json").write_text(json.dumps(configuration, indent=2))
    write_rows(data, tokenizer, Language(seed), steps * BATCH, "training")
    print(f"training {key}: {steps} steps of {BATCH * LENGTH} tokens", flush=True)
    _run(*train_command(bridge, source, data, steps, rate, work / "run", "checkpoint.random_init=true"))
    losses = [step["lm_loss"] for step in steps_of(work / "run") if "lm_loss" in step]
    _run(bridge, "convert", "export", "--megatron-path", work / "run", "--hf-path", work / "model")
    (work / "model" / "losses.json").write_text(json.dumps(losses))
    (work / "model").rename(directory)
    shutil.rmtree(work)
    return directory
