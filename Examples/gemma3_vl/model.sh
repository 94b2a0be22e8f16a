# Sourced by the scripts of this directory.
MODEL_SIZE=${MODEL_SIZE:-4B}
case "$MODEL_SIZE" in
    4B | 12B | 27B) ;;
    *)
        echo "MODEL_SIZE is $MODEL_SIZE, expected 4B, 12B or 27B" >&2
        exit 2
        ;;
esac
DEFAULT_HF_MODEL_ID=google/gemma-3-${MODEL_SIZE,,}-it
RECIPE=gemma3_vl_${MODEL_SIZE,,}
PROMPT=${PROMPT:-Describe this image.}
