#!/usr/bin/env bash
# Makes demo/base, the small model that `roadscribe demo` starts from: pre-trains a Qwen3-VL of 2.8 M parameters on the general part of the
# synthetic world, with the same binary that fine-tunes and evaluates. Under an hour on 2 cores; stopped, it goes on where it was.
#
#   demo/make_base.sh
set -euo pipefail
cd "$(dirname "$0")/.."
work=target/demo-base
mkdir -p "$work"

cargo build --release --locked
roadscribe=${CARGO_TARGET_DIR:-target}/release/roadscribe
[ -f "$work/general/corpus.txt" ] || "$roadscribe" demo --general 4000 --seed 1000 --out "$work/general"
[ -f "$work/tokenizer.json" ] || cargo xtask tokenizer "$work/merges.txt" --text "$work/general/corpus.txt" --vocabulary 1450 \
    --tokenizer-json "$work/tokenizer.json"
[ -f "$work/model/config.json" ] || "$roadscribe" init --config demo --seed 7 --dtype f32 --tokenizer "$work/tokenizer.json" --out "$work/model"
model=$work/model

# stage NAME CONFIG STEPS [--set KEY=VALUE]...: trains from the model of the stage before.
stage() {
    local name=$1 config=$2 steps=$3
    shift 3
    "$roadscribe" train --config "demo/$config" --set "policy.model_name_or_path=$model" --set "train.output_dir=$work/$name" "$@"
    model=$work/$name/step_$(printf %06d "$steps")
}

# find_in NAME DATA STEPS: reads lists of choices.
find_in() {
    stage "$1" read.toml "$3" --set "custom.dataset.subdirectories=[\"$2\"]" --set "train.max_num_steps=$3"
}

find_in read_2 words_2 400
find_in read_3 words_3 400
find_in read_4 phrases_4 400
stage see_1 see.toml 300 --set train.max_num_steps=1100 --set train.optm_lr=1.5e-3 --set train.stop_at_step=300
find_in find_words_2 words_2 250
find_in find_words_3 words_3 250
find_in find_words_4 words_4 250
find_in find_phrases_4 phrases_4 300
stage see_2 see.toml 650

mkdir -p demo/base
for file in config.json generation_config.json tokenizer.json tokenizer_config.json special_tokens_map.json preprocessor_config.json \
    video_preprocessor_config.json chat_template.jinja model.safetensors; do
    cp "$model/$file" demo/base/
done
ls -l demo/base
