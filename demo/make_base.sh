#!/usr/bin/env bash
# Makes demo/base, the small model that `roadscribe demo` starts from: pre-trains a Qwen3-VL of 2.8 M parameters on the general part of the
# synthetic world, with the same binary that fine-tunes and evaluates. 45 minutes on 2 quiet cores (clips 5, training 30 and 7); stopped, it goes on
# where it was.
#
#   demo/make_base.sh [CLIPS]        default 8000 clips
set -euo pipefail
cd "$(dirname "$0")/.."
clips=${1:-8000}
work=target/demo-base
mkdir -p "$work"

cargo build --release --locked
roadscribe=${CARGO_TARGET_DIR:-target}/release/roadscribe
[ -f "$work/general/corpus.txt" ] || "$roadscribe" demo --general "$clips" --seed 1000 --out "$work/general"
[ -f "$work/tokenizer.json" ] || cargo xtask tokenizer "$work/merges.txt" --text "$work/general/corpus.txt" --vocabulary 1450 \
    --tokenizer-json "$work/tokenizer.json"
[ -f "$work/model/config.json" ] || "$roadscribe" init --config demo --seed 7 --dtype f32 --tokenizer "$work/tokenizer.json" --out "$work/model"
"$roadscribe" train --device cpu --config demo/see.toml
"$roadscribe" train --device cpu --config demo/read.toml
checkpoint=$work/read/step_000200
mkdir -p demo/base
for file in config.json generation_config.json tokenizer.json tokenizer_config.json special_tokens_map.json preprocessor_config.json \
    video_preprocessor_config.json chat_template.jinja model.safetensors; do
    cp "$checkpoint/$file" demo/base/
done
ls -l demo/base
