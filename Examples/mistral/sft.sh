#!/usr/bin/env bash
# Full fine-tuning of the checkpoint that conversion.sh writes.
set -euo pipefail
source "$(dirname "$0")/model.sh"
source "$(dirname "$0")/../environment.sh"

TRAIN_ITERS=${TRAIN_ITERS:-100}
GLOBAL_BATCH_SIZE=${GLOBAL_BATCH_SIZE:-16}
MICRO_BATCH_SIZE=${MICRO_BATCH_SIZE:-1}
WARMUP_ITERS=${WARMUP_ITERS:-$((TRAIN_ITERS < 10 ? 0 : 10))}
SAVE_DIR=${SAVE_DIR:-$WORKSPACE/results/${MODEL_NAME}_sft}

# Validation needs a file of its own.
if [ -n "${VALID_DATA_PATH:-}" ]; then
    RUN_OPTIONS+=(dataset.valid_data_path="$VALID_DATA_PATH" validation.eval_iters="${EVAL_ITERS:-1}")
fi

describe_run "$TRAIN_DATA_PATH"
run train --recipe "$RECIPE" --mode sft --pretrained_checkpoint "$MEGATRON_PATH" \
    --dataset-type preloaded dataset.train_data_path="$TRAIN_DATA_PATH" \
    -ms "$TRAIN_ITERS" -gb "$GLOBAL_BATCH_SIZE" -mb "$MICRO_BATCH_SIZE" "${RUN_OPTIONS[@]}" \
    --lr 0.000005 --min_lr 0.0000005 --warmup_iters "$WARMUP_ITERS" \
    scheduler.lr_decay_iters="$TRAIN_ITERS" logger.log_interval=1 \
    --save_dir "$SAVE_DIR/checkpoints" logger.log_dir="$SAVE_DIR"

# The tuned model for transformers.
run convert export --megatron-path "$SAVE_DIR/checkpoints" --hf-path "$SAVE_DIR/hf"
