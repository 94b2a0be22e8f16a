#!/usr/bin/env bash
# Full fine-tuning of the checkpoint that conversion.sh writes.
set -euo pipefail
source "$(dirname "$0")/model.sh"
source "$(dirname "$0")/../environment.sh"

TRAIN_ITERS=${TRAIN_ITERS:-50}
GLOBAL_BATCH_SIZE=${GLOBAL_BATCH_SIZE:-32}
MICRO_BATCH_SIZE=${MICRO_BATCH_SIZE:-2}
EVAL_ITERS=${EVAL_ITERS:-10}
WARMUP_ITERS=${WARMUP_ITERS:-$((TRAIN_ITERS < 10 ? 0 : 10))}
SAVE_DIR=${SAVE_DIR:-$WORKSPACE/results/${MODEL_NAME}_sft}

[ "$DATASET_TYPE" != hf ] || RUN_OPTIONS+=(dataset.source.dataset_name=cord_v2)

describe_run "$DATASET_TYPE (hf: CORD-v2 from the hub, mock: synthetic images)"
run train --recipe "${RECIPE}_sft_config" --pretrained_checkpoint "$MEGATRON_PATH" \
    --dataset-type "$DATASET_TYPE" \
    -ms "$TRAIN_ITERS" -gb "$GLOBAL_BATCH_SIZE" -mb "$MICRO_BATCH_SIZE" "${RUN_OPTIONS[@]}" \
    --lr 0.00005 --min_lr 0.000005 --warmup_iters "$WARMUP_ITERS" validation.eval_iters="$EVAL_ITERS" \
    scheduler.lr_decay_iters="$TRAIN_ITERS" logger.log_interval=1 \
    --save_dir "$SAVE_DIR/checkpoints" logger.log_dir="$SAVE_DIR"

# The tuned model for transformers.
run convert export --megatron-path "$SAVE_DIR/checkpoints" --hf-path "$SAVE_DIR/hf"
