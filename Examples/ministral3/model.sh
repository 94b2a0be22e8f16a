# Sourced by the scripts of this directory.
MODEL_SIZE=${MODEL_SIZE:-3B}
case "$MODEL_SIZE" in
    3B | 8B | 14B) ;;
    *)
        echo "MODEL_SIZE is $MODEL_SIZE, expected 3B, 8B or 14B" >&2
        exit 2
        ;;
esac
DEFAULT_HF_MODEL_ID=mistralai/Ministral-3-$MODEL_SIZE-Instruct-2512-BF16
RECIPE=ministral3_${MODEL_SIZE,,}
PROMPT=${PROMPT:-Describe this image.}
