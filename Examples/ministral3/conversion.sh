#!/usr/bin/env bash
# Hugging Face to Megatron and back, and the comparison of the result with the source.
set -euo pipefail
source "$(dirname "$0")/model.sh"
source "$(dirname "$0")/../environment.sh"

# Import, in the layout of TP and PP.
run convert import --hf-model "$HF_MODEL_ID" --megatron-path "$MEGATRON_PATH" --tp "$TP" --pp "$PP"

# Export. The Megatron checkpoint contains the configuration and the tokenizer, so the original is not needed.
run convert export --megatron-path "$MEGATRON_PATH" --hf-path "$HF_EXPORT_PATH"

# Every tensor of the export must equal that of the Megatron checkpoint.
run verify "$MEGATRON_PATH" "$HF_EXPORT_PATH"
