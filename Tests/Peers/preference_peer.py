"""What trl makes of pairs of answers: the other side of compare_preferences.py."""

import torch
from accelerate import Accelerator
from datasets import Dataset
from torch.utils.data import SequentialSampler
from training_peer import BETAS, CLIP, DECAY, EPSILON
from transformers import PrinterCallback
from trl import DPOConfig, DPOTrainer
from trl.experimental.orpo import ORPOTrainer

METRICS = ("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins")


def padded(rows, fill):
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def collated(pairs):
    """A micro-batch in trl's form: the chosen answers, then the rejected ones; images as the processor made them."""
    sides = [(pair, pair[side]) for side in ("chosen", "rejected") for pair in pairs]
    ids = [pair["prompt"] + answer for pair, answer in sides]
    mask = [[0] * len(pair["prompt"]) + [1] * len(answer) for pair, answer in sides]
    batch = {
        "input_ids": padded(ids, 0), "attention_mask": padded([[1] * len(row) for row in ids], 0),
        "completion_mask": padded(mask, 0),
    }  # fmt: skip
    for key in ("pixel_values", "image_sizes"):
        parts = [pair["inputs"][key] for pair, _ in sides if key in pair["inputs"]]
        if parts and key == "pixel_values":
            # Pictures of other sizes are padded at the right and the bottom, as the processor pads those of one row.
            height, width = (max(part.shape[side] for part in parts) for side in (-2, -1))
            parts = [
                torch.nn.functional.pad(part, (0, width - part.shape[-1], 0, height - part.shape[-2])) for part in parts
            ]
        if parts:
            batch[key] = torch.cat(parts)
    if "image_token" in pairs[0]:
        batch["token_type_ids"] = (batch["input_ids"] == pairs[0]["image_token"]).long()
    return batch


def dpo(model, pairs, folder, loss_type, settings, steps, micro, accumulated, rate, tokenizer):
    """Loss, gradient norm and metrics of each step of trl's DPOTrainer; `loss_type` in trl's words."""
    losses = []

    class Tuner(DPOTrainer):
        # The rows are tokens already, and are taken in the file's order.
        def _prepare_dataset(self, dataset, *arguments, **options):
            return dataset

        def _get_train_sampler(self, *arguments):
            return SequentialSampler(self.train_dataset)

        def compute_loss(self, *arguments, **options):
            result = super().compute_loss(*arguments, **options)
            losses.append((result[0] if isinstance(result, tuple) else result).item())
            return result

    arguments = DPOConfig(
        output_dir=str(folder), loss_type=[loss_type], max_steps=steps, per_device_train_batch_size=micro,
        gradient_accumulation_steps=accumulated, learning_rate=rate, lr_scheduler_type="constant", warmup_steps=0,
        weight_decay=DECAY, adam_beta1=BETAS[0], adam_beta2=BETAS[1], adam_epsilon=EPSILON, max_grad_norm=CLIP,
        bf16=False, use_cpu=True, gradient_checkpointing=False, logging_steps=1, report_to=[], save_strategy="no",
        remove_unused_columns=False, disable_tqdm=True, dataloader_num_workers=0, disable_dropout=True, **settings,
    )  # fmt: skip
    numbered = Dataset.from_list([{"number": number} for number in range(len(pairs))])
    trainer = Tuner(
        model=model, args=arguments, train_dataset=numbered, processing_class=tokenizer,
        data_collator=lambda rows: collated([pairs[row["number"]] for row in rows]),
    )  # fmt: skip
    # Its lines would be between those of the comparison.
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "grad_norm" in entry]
    return [
        {
            "lm_loss": sum(losses[step * accumulated : (step + 1) * accumulated]) / accumulated,
            "grad_norm": logs[step]["grad_norm"], **{key: logs[step][key] for key in METRICS},
        }
        for step in range(steps)
    ]  # fmt: skip


class Losses:
    """What trl's ORPO loss reads of its trainer, which wants to tokenize the rows itself."""

    is_encoder_decoder, aux_loss_enabled, padding_value = False, False, 0

    def __init__(self, beta):
        self.beta, self.accelerator = beta, Accelerator(cpu=True)

    concatenated_inputs = staticmethod(ORPOTrainer.concatenated_inputs)
    get_batch_logps = staticmethod(ORPOTrainer.get_batch_logps)
    concatenated_forward = ORPOTrainer.concatenated_forward
    odds_ratio_loss = ORPOTrainer.odds_ratio_loss
    get_batch_loss_metrics = ORPOTrainer.get_batch_loss_metrics


def orpo(model, pairs, beta, steps, micro, accumulated, rate):
    """The same with trl's ORPO loss in a loop of AdamW."""
    losses = Losses(beta)
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [[p for p in trained if p.ndim > 1], [p for p in trained if p.ndim == 1]]
    optimizer = torch.optim.AdamW(
        [{"params": groups[0], "weight_decay": DECAY}, {"params": groups[1], "weight_decay": 0.0}],
        lr=rate, betas=BETAS, eps=EPSILON,
    )  # fmt: skip
    record, place = [], 0
    for _ in range(steps):
        optimizer.zero_grad()
        total, metrics = 0.0, dict.fromkeys(METRICS, 0.0)
        for _ in range(accumulated):
            taken = [pairs[(place + index) % len(pairs)] for index in range(micro)]
            place += micro
            batch = {}
            for side in ("chosen", "rejected"):
                ids = [pair["prompt"] + pair[side] for pair in taken]
                labels = [[-100] * len(pair["prompt"]) + pair[side] for pair in taken]
                batch[f"{side}_input_ids"] = padded(ids, 0)
                batch[f"{side}_attention_mask"] = padded([[1] * len(row) for row in ids], 0)
                batch[f"{side}_labels"] = padded(labels, -100)
            loss, found = losses.get_batch_loss_metrics(model, batch)
            (loss / accumulated).backward()
            total += loss.item() / accumulated
            metrics = {key: metrics[key] + found[key] / accumulated for key in METRICS}
        norm = torch.nn.utils.clip_grad_norm_(trained, CLIP).item()
        optimizer.step()
        record.append({"lm_loss": total, "grad_norm": norm, **metrics})
    return record
