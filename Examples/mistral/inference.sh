#!/usr/bin/env bash
# Generates from the Hugging Face model, the Megatron checkpoint and the exported model; run conversion.sh first.
set -euo pipefail
source "$(dirname "$0")/model.sh"
source "$(dirname "$0")/../environment.sh"

# The Hugging Face model.
run generate --hf-model "$HF_MODEL_ID" --prompt "$PROMPT" --max-new-tokens "$MAX_NEW_TOKENS"

# The Megatron checkpoint.
run generate --megatron-path "$MEGATRON_PATH" --prompt "$PROMPT" --max-new-tokens "$MAX_NEW_TOKENS"

# The exported model.
run generate --hf-model "$HF_EXPORT_PATH" --prompt "$PROMPT" --max-new-tokens "$MAX_NEW_TOKENS"
