# The variables of the scripts in mistral/, ministral3/ and gemma3_vl/, which source this file after their model.sh.
# Every variable can be set by the caller; the names are those of Megatron Bridge's examples.

EXAMPLES=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BRIDGE=${BRIDGE:-$EXAMPLES/../.build/release/bridge}
[ -x "$BRIDGE" ] || { echo "found no program at $BRIDGE; run 'make build', or set BRIDGE to the path of bridge" >&2; exit 2; }

# Checkpoints are written to $WORKSPACE/models, training runs to $WORKSPACE/results.
WORKSPACE=${WORKSPACE:-/workspace}

# A hub id, org/name or org/name@revision, or the path of a Hugging Face directory, for example of 'bridge toy'.
HF_MODEL_ID=${HF_MODEL_ID:-$DEFAULT_HF_MODEL_ID}
name=${HF_MODEL_ID%/}
name=${name##*/}
MODEL_NAME=${MODEL_NAME:-${name%%@*}}
MEGATRON_PATH=${MEGATRON_PATH:-$WORKSPACE/models/$MODEL_NAME}
HF_EXPORT_PATH=${HF_EXPORT_PATH:-$WORKSPACE/models/$MODEL_NAME-hf-export}

# The layout of the Megatron checkpoint, and of training when it has several ranks; generation reads any layout.
TP=${TP:-1}
PP=${PP:-1}
NPROC_PER_NODE=${NPROC_PER_NODE:-1}

# A model in a directory needs no network: the image comes from this repository, and training uses synthetic images.
if [ -d "$HF_MODEL_ID" ]; then
    IMAGE_PATH=${IMAGE_PATH:-$EXAMPLES/../Tests/Fixtures/images/rgb.png}
    DATASET_TYPE=${DATASET_TYPE:-mock}
else
    IMAGE_PATH=${IMAGE_PATH:-https://huggingface.co/nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16/resolve/main/images/table.png}
    DATASET_TYPE=${DATASET_TYPE:-hf}
fi
MAX_NEW_TOKENS=${MAX_NEW_TOKENS:-100}

# Options of a training run that some values of the variables need: without SEQ_LENGTH a run takes the recipe's length, or the
# model's maximum if that is less.
RUN_OPTIONS=()
[ "$NPROC_PER_NODE" = 1 ] || RUN_OPTIONS+=(--nproc-per-node "$NPROC_PER_NODE" -tp "$TP" -pp "$PP")
[ -z "${SEQ_LENGTH:-}" ] || RUN_OPTIONS+=(-sl "$SEQ_LENGTH")

# Runs bridge and prints the command.
run() {
    printf '+ bridge'
    printf ' %q' "$@"
    printf '\n'
    "$BRIDGE" "$@"
}

# Prints what a training run uses.
describe_run() {
    local ranks="one process"
    [ "$NPROC_PER_NODE" = 1 ] || ranks="$NPROC_PER_NODE ranks (TP $TP, PP $PP)"
    echo "training: $ranks; the checkpoint in $MEGATRON_PATH may have any layout"
    echo "data: $1"
}
