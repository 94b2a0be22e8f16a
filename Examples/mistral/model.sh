# Sourced by the scripts of this directory.
MODEL_SIZE=${MODEL_SIZE:-7B}
case "$MODEL_SIZE" in
    7B) DEFAULT_HF_MODEL_ID=mistralai/Mistral-7B-Instruct-v0.3 RECIPE=mistral_7b_finetune_config ;;
    24B) DEFAULT_HF_MODEL_ID=mistralai/Mistral-Small-24B-Instruct-2501 RECIPE=mistral_small_24b_finetune_config ;;
    *)
        echo "MODEL_SIZE is $MODEL_SIZE, expected 7B or 24B" >&2
        exit 2
        ;;
esac
PROMPT=${PROMPT:-What is artificial intelligence?}
# Conversations in JSON lines.
TRAIN_DATA_PATH=${TRAIN_DATA_PATH:-$(dirname "${BASH_SOURCE[0]}")/conversations.jsonl}
