#!/usr/bin/env bash
# Training on one GPU: correctness, then steps of 2B and 8B, then (if its script is given) the peer, all in one run on one card.
#
#   bench/gpu/sft.sh [OUT_DIR] [PEER_SCRIPT]
#
# OUT_DIR (default runs/gpu-sft) receives a log a part and `sft.jsonl`, a line a measurement. PEER_SCRIPT takes
# `--size 2B|8B --batch N --text 424 --steps K --liger [--nockpt]`. Set PARTS to run some only, for instance PARTS="check 2b".
# BIN names a folder with roadscribe, gpu_check and gpu_model_check built elsewhere; else they are built here.
# Libraries are looked for where ROADSCRIBE_CUDA_PATH, CUDA_HOME and the Python environment say; kernels are cached in OUT_DIR.
set -u
cd "$(dirname "$0")/../.."
out=${1:-runs/gpu-sft}
peer=${2:-}
parts=${PARTS:-"ops check 2b 8b peer"}
mkdir -p "$out"
out=$(cd "$out" && pwd)
if [ -z "${ROADSCRIBE_CUDA_PATH:-}" ]; then
    ROADSCRIBE_CUDA_PATH=$(python3 -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null || true)
    export ROADSCRIBE_CUDA_PATH
fi
export XDG_CACHE_HOME=$out/cache
lib=()
if [ -n "$ROADSCRIBE_CUDA_PATH" ]; then lib=(--lib-dir "$ROADSCRIBE_CUDA_PATH"); fi
bin=${BIN:-$out/bin}
failed=0

# part NAME COMMAND...: runs a command, its output to a log and to the screen, and counts a failure.
part() {
    local name=$1
    shift
    echo "== $name: $*"
    "$@" 2>&1 | tee "$out/$name.log"
    local code=${PIPESTATUS[0]}
    if [ "$code" -ne 0 ]; then
        echo "FAILED $name: exit status $code"
        failed=1
    fi
}

# sft NAME WARMUP STEPS FLAGS...: a measurement; its JSON line goes to sft.jsonl too.
sft() {
    local name=$1 warmup=$2 steps=$3
    shift 3
    part "$name" "$bin/roadscribe" bench sft --device gpu --frames 16 --text 424 --labelled 300 --warmup "$warmup" \
        --steps "$steps" "$@"
    grep '^{' "$out/$name.log" >>"$out/sft.jsonl"
}

wants() { case " $parts " in *" $1 "*) true ;; *) false ;; esac; }

nvidia-smi --query-gpu=name,memory.total,memory.used,power.limit,driver_version --format=csv || true
if [ -z "${BIN:-}" ]; then
    mkdir -p "$bin"
    cargo build --release -p cli || exit 1
    cargo build --release -p tensor --example gpu_check || exit 1
    cargo build --release -p models --example gpu_model_check || exit 1
    built=${CARGO_TARGET_DIR:-target}/release
    cp "$built/roadscribe" "$built/examples/gpu_check" "$built/examples/gpu_model_check" "$bin/" || exit 1
fi
"$bin/roadscribe" doctor || failed=1
if wants ops; then
    part ops "$bin/gpu_check" "${lib[@]}" --cache "$out/cache/roadscribe/kernels" --no-bench
fi
if wants check; then
    part check "$bin/gpu_model_check" "${lib[@]}" --golden golden/models --cache "$out/cache/roadscribe/kernels"
fi
if wants 2b; then
    sft 2b-60gb 5 12 --size 2b --batch 4 --remat auto --memory-gb 60
    sft 2b-60gb-micro2 5 12 --size 2b --batch 4 --micro-batch 2 --remat auto --memory-gb 60
    sft 2b-60gb-bf16-moments 5 12 --size 2b --batch 4 --micro-batch 2 --remat auto --memory-gb 60 --bf16-moments
    sft 2b-free 5 12 --size 2b --batch 4 --remat auto
    sft 2b-full 5 12 --size 2b --batch 4 --remat full
    sft 2b-deterministic 5 12 --size 2b --batch 4 --micro-batch 2 --remat auto --memory-gb 60 --deterministic
fi
if wants 8b; then
    sft 8b-f32 5 12 --size 8b --batch 2 --micro-batch 1 --remat auto
    sft 8b-f32-batch8 5 12 --size 8b --batch 8 --micro-batch 1 --remat auto
    sft 8b-bf16-moments 5 12 --size 8b --batch 2 --remat auto --bf16-moments
    sft 8b-bf16-moments-batch32 2 4 --size 8b --batch 32 --micro-batch 2 --remat auto --bf16-moments
fi
if wants peer && [ -n "$peer" ]; then
    part peer-2b-recompute python3 "$peer" --size 2B --batch 4 --text 424 --steps 10 --liger
    part peer-2b python3 "$peer" --size 2B --batch 4 --text 424 --steps 10 --liger --nockpt
    part peer-8b-recompute python3 "$peer" --size 8B --batch 2 --text 424 --steps 10 --liger
fi
echo "== measured"
cat "$out/sft.jsonl" 2>/dev/null
grep -h '^RES' "$out"/peer-*.log 2>/dev/null
exit $failed
